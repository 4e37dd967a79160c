/** Limits of programs in the trampoline of a function (fentry, fexit, fmod_ret): the parts of its calls that they can see. */
import type { KernelFunction } from '../../../native/types.ts'
import { PARAMS_MAX } from '../../wire/wire.ts'
import type { ArgumentSpec, HookSpec } from '../../../config/policy/policy.ts'
import { readsAtReturn } from '../../../config/policy/types/bytes.ts'

/** Functions that only decide whether a call is permitted: no argument changes until they return, and texts are the kernel's copies. */
const ONLY_ASKS = /^(?:security_\w+|may_open)$/
const NEVER_RETURNS = /^(?:(?:__\w+_)?sys_exit(?:_group)?|do_(?:group_)?exit)$/

/** Kernels refuse fexit on other functions (kernel/bpf/verifier.c noreturn_deny). */
export const returns = ({ call = '' }: Partial<Pick<HookSpec, 'call'>>): boolean => !NEVER_RETURNS.test(call)

/**
 * Whether a program that runs only at the return sees the same values as one at the entry. During the call another thread, or the function itself,
 * may
 * change a text or bytes in memory, or rename the file of a path. If calls are judged at their return, only bytes are read before.
 */
export function fitsFexit(spec: Partial<Pick<HookSpec, 'call' | 'args'>>): boolean {
  const { call = '', args = [] } = spec
  if (!returns(spec)) return false
  if (!ONLY_ASKS.test(call) && !readsAtReturn(args)) return args.every(staysSame)
  return !args.some(({ type, size }) => type.kind === 'bytes' && size?.returned === undefined)
}

/** A number argument of the function, or a property of the task. */
const staysSame = ({ type: { kind, pointed }, resolve, source }: ArgumentSpec): boolean =>
  source !== undefined ||
  (resolve === undefined && pointed !== true && (kind === 'number' || kind === 'wide' || kind === 'none'))

/** Numbers, and pointers to structs whose members the kernel's BTF has. */
const PLAIN = /^(?:[^*([]+|struct (?:file|path|dentry|inode|pt_regs) \*)$/

/**
 * Parameters that a program in the function's trampoline may load without a helper, a bit each (kernel/bpf/btf.c btf_ctx_access). Fewer than the
 * kernel permits, because a pointer to a type that BTF only declares looks the same.
 */
export function plainParams({ params }: Pick<KernelFunction, 'params'>): number {
  let plain = 0
  for (const [i, { base, sizeBytes }] of params.slice(0, PARAMS_MAX).entries()) {
    // A struct may stand in two registers, and moves the parameters behind it.
    if (/^(?:struct|union) [^*]*$/.test(base)) break
    if (sizeBytes > 0 && sizeBytes <= 8 && PLAIN.test(base)) plain |= 1 << i
  }
  return plain
}
