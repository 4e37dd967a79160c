/** Facts about a kernel, as plain data: collector/kernel/read-facts.ts reads them once, at the start. */

export const MODELS = ['none', 'voluntary', 'full', 'lazy'] as const
/** `unknown` is treated like `full`, which is safe. */
export type Preemption = (typeof MODELS)[number] | 'unknown'

export interface KernelFacts {
  readonly release: string
  /** [6, 12] */
  readonly version: readonly [number, number]
  readonly arch: 'x64' | 'arm64'
  readonly preemption: Preemption
  /** CONFIG_FPROBE: the multi kinds exist. Debian's 6.1 is new enough but built without it. */
  readonly fprobe: boolean
  /** CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS, on arm64 from Linux 6.4: kernel functions can have fentry, fexit and fmod_ret programs. */
  readonly trampolines: boolean
  /** The helper bpf_loop, and with it bpf_get_func_arg and bpf_get_func_ret (Linux 5.17). */
  readonly loops: boolean
  /** The kfunc bpf_rdonly_cast (Linux 6.2): kernel memory is read through typed pointers. */
  readonly typedLoads: boolean
  /** The form of the kfuncs of kprobe.session: `none` before Linux 6.10, `plain` without an argument, `context` with the context (7.x). */
  readonly session: 'none' | 'plain' | 'context'
  /** Memory, pids and cpuset are on the unified hierarchy of cgroups, or nowhere. */
  readonly unifiedCgroups: boolean
  /** CONFIG_SECURITY: the functions that security modules hook exist. */
  readonly security: boolean
  /** The active security modules, as `landlock,apparmor,bpf`; '' if securityfs does not show them. */
  readonly lsms?: string
  /** CONFIG_BPF_KPROBE_OVERRIDE: a kprobe can make a system call fail. */
  readonly override: boolean
  /** CONFIG_FUNCTION_ERROR_INJECTION: fmod_ret can do the same. */
  readonly errorInjection: boolean
  /** Whether the agent may have a real-time priority, so that no other task preempts it in an access to a map. */
  readonly realTime: boolean
  /** Addresses of the kernel's sequence locks; 0n if kallsyms does not show them. */
  readonly renameLock: bigint
  readonly mountLock: bigint
}

/** Whether tasks are preempted in kernel code; true if that is not known. */
export const preempts = ({ preemption }: Pick<KernelFacts, 'preemption'>): boolean =>
  preemption !== 'none' && preemption !== 'voluntary'

export const ARCH: KernelFacts['arch'] = process.arch === 'arm64' ? 'arm64' : 'x64'

/** Called for a script before the lookup of its interpreter; bpf/process.bpf.c hooks it. */
export const SCRIPT_HOOK = 'security_bprm_check'

/** Called when an exec is about to change credentials; also hooked. */
export const CREDENTIALS_HOOK = 'security_bprm_committing_creds'

/** include/uapi/linux/bpf.h: a map grows with its entries. Tracing programs may use such a map since 6.1 (kernel commit 34dd3bad1a6f). */
export const BPF_F_NO_PREALLOC = 1

export const atLeast = (kernel: Pick<KernelFacts, 'version'>, major: number, minor: number): boolean =>
  kernel.version[0] > major || (kernel.version[0] === major && kernel.version[1] >= minor)
