import { formatProblem } from './problems.ts'
import type { Problem } from './problems.ts'

/** sysexits.h EX_CONFIG: what a command exits with when a file of the user is wrong. */
export const EXIT_CONFIG = 78

export type ConfigErrorCode = 'CONFIG_INVALID' | 'POLICY_INVALID' | 'FILE_UNREADABLE'

/**
 * For callers that throw rather than pass problems on. `message` has one `file:line:col: message` a line.
 * `problems` is never empty.
 */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly code: ConfigErrorCode
  readonly problems: readonly Problem[]
  readonly exitCode = EXIT_CONFIG

  constructor(code: ConfigErrorCode, problems: readonly Problem[]) {
    super(problems.map(formatProblem).join('\n'))
    this.code = code
    this.problems = problems
  }
}
