/** The error for a policy that cannot run, with the place in its file. */
import type { Policy } from '../../config/policy/policy.ts'
import { formatProblem } from '../../config/yaml/problems.ts'
import type { Position } from '../../config/yaml/problems.ts'
import { CollectorError } from '../errors.ts'

/** POLICY_REFUSED with a position in a policy's file. */
export function refusedAt(
  { file }: Pick<Policy, 'file'>,
  at: Position,
  message: string,
  cause?: unknown,
): CollectorError {
  return new CollectorError('POLICY_REFUSED', formatProblem({ file, ...at, message }), { cause })
}
