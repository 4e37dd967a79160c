/** Errors for refusals by the kernel, with their place in a policy. */
import type { Policy } from '../../config/policy/policy.ts'
import type { Position } from '../../config/yaml/problems.ts'
import { NativeError } from '../../native/index.ts'
import { CollectorError } from '../errors.ts'
import { refusedAt } from '../plan/refusal.ts'

/** The kernel refused a function's program. */
export class FunctionRefused extends Error {
  readonly symbol: string

  constructor(symbol: string, cause: unknown) {
    super(String(cause), { cause })
    this.symbol = symbol
  }

  /** The error for the function to whose program, or binding, an error of native belongs; else for the first function. */
  static of(functions: ReadonlyArray<{ readonly symbol: string }>, cause: unknown): FunctionRefused {
    const target = cause instanceof NativeError ? cause.target : ''
    const slot = Number(/_(\d+)$/.exec(target)?.[1])
    const refused = functions.find(({ symbol }) => symbol === target) ?? functions[slot] ?? functions[0]
    return new FunctionRefused(refused?.symbol ?? '', cause)
  }
}

interface Hooked {
  readonly symbol: string
  readonly spec: { readonly at: Position }
}

/** The error with the place in a policy's file: of the first added hook on the function, else of the first one. */
export function refusal(
  error: NativeError,
  plans: ReadonlyArray<{ readonly policy: Policy; readonly hooks: readonly Hooked[] }>,
  symbol: string,
): CollectorError {
  const hooks = plans.flatMap(({ policy, hooks: planned }) => planned.map((hook) => ({ policy, hook })))
  const blamed = hooks.find(({ hook }) => hook.symbol === symbol) ?? hooks[0]
  if (blamed === undefined) return new CollectorError('POLICY_REFUSED', error.message, { cause: error })
  return refusedAt(blamed.policy, blamed.hook.spec.at, error.message, error)
}
