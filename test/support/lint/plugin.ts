/** The lint rules of this project, an oxlint plugin (.oxlintrc.json). One file a rule. */
import { prose } from './prose-rule.ts'
import { rooms } from './rooms.ts'

export default { meta: { name: 'ktrail' }, rules: { prose, rooms } }
