import { formatProblem } from './problems.ts'
import type { Problem } from './problems.ts'

/** sysexits.h EX_CONFIG: the exit code for a wrong config or policy. */
export const EXIT_CONFIG = 78

/** For callers that throw instead of returning problems. `message` has one `file:line:col: message` per line. */
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
