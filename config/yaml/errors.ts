import { formatProblem } from './problems.ts'
import type { Problem } from './problems.ts'

/** sysexits.h EX_CONFIG: what a command exits with when a file of the user is wrong. */
export const EXIT_CONFIG = 78

/** For callers that throw rather than pass problems on. `message` has one `file:line:col: message` a line. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly code = 'CONFIG_INVALID'
  readonly problems: readonly Problem[]

  /** `problems` is never empty. */
  constructor(problems: readonly Problem[]) {
    super(problems.map(formatProblem).join('\n'))
    this.problems = problems
  }
}
