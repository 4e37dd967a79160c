/** Warnings about parts of a policy that this machine's kernel lacks. They are no mistakes: the policy may be for other machines. */
import { release } from 'node:os'
import type { Policy } from '../../../config/policy/policy.ts'
import type { Problem } from '../../../config/yaml/problems.ts'
import { hasBtf, NativeError } from '../../../native/index.ts'
import { ARCH } from '../../plan/facts.ts'
import { lackingOf } from '../../plan/plan.ts'
import { symbolsOf } from '../../kernel/symbols.ts'

const kernel = { arch: ARCH }

/** Empty without type information, or without an addon to read it. */
export async function functionWarnings(policy: Policy): Promise<Problem[]> {
  try {
    if (!hasBtf()) return []
    return lackingOf(policy, kernel, await symbolsOf([policy], kernel)).map((problem) => ({
      ...problem,
      message: `${problem.message} (kernel of this machine: ${release()})`,
    }))
  } catch (error) {
    if (error instanceof NativeError) return []
    throw error
  }
}
