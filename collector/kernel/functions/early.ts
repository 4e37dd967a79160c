/** What a hook must read when a call is made, not when it returns. */
import type { ArgumentSpec, HookSpec } from '../../../config/policy/policy.ts'
import { readsAtReturn } from '../../../config/policy/types/bytes.ts'

/** They only ask whether a call may go on: nothing that they were given changes until they return, and texts are the kernel's own copies. */
const ONLY_ASKS = /^(?:security_\w+|may_open)$/

/**
 * During the call another thread may change a text or bytes in its memory, or rename what a path leads to, or the function itself does.
 * Where calls are judged at their return, only bytes are read before.
 */
export function readsEarly({ call = '', args = [] }: Partial<Pick<HookSpec, 'call' | 'args'>>): boolean {
  if (!ONLY_ASKS.test(call) && !readsAtReturn(args)) return !args.every(staysSame)
  return args.some(({ type, size }) => type.kind === 'bytes' && size?.returned === undefined)
}

/** A number that the function was given, and what is known of the task. */
const staysSame = ({ type: { kind, pointed }, resolve, source }: ArgumentSpec): boolean =>
  source !== undefined ||
  (resolve === undefined && pointed !== true && (kind === 'number' || kind === 'wide' || kind === 'none'))
