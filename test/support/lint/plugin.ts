/** The lint rules of this project, an oxlint plugin (.oxlintrc.json). One file a rule. */
import { rooms } from './rooms.ts'

export default { meta: { name: 'ktrail' }, rules: { rooms } }
