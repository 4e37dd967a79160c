/**
 * Facts about the running kernel: read once at the start and passed on as plain data, so that planning needs no kernel.
 */
import { release } from 'node:os'
import type { KernelFunction } from '../../native/types.ts'
import { readOr } from '../host/read.ts'

const MODELS = ['none', 'voluntary', 'full', 'lazy'] as const
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

/** `6.12.95+deb12-amd64` → [6, 12]; [0, 0] for other texts. */
export function parseRelease(text: string): readonly [number, number] {
  const match = /^(\d+)\.(\d+)/.exec(text)
  return match ? [Number(match[1]), Number(match[2])] : [0, 0]
}

const known = (word: string | undefined): Preemption | undefined => MODELS.find((model) => model === word)

/**
 * The preemption model, from the first source that has it: the scheduler's debugfs file (the current mode is in parentheses), the kernel command
 * line, the kernel's build version.
 */
export function parsePreemption(debugfs: string | undefined, cmdline: string, version: string): Preemption {
  const current = known(debugfs === undefined ? undefined : /\((\w+)\)/.exec(debugfs)?.[1])
  if (current !== undefined) return current
  const asked = known(/(?:^|\s)preempt=(\w+)/.exec(cmdline)?.[1])
  if (asked !== undefined) return asked
  if (/PREEMPT_RT|PREEMPT(?!_DYNAMIC)/.test(version)) return 'full'
  return /PREEMPT_DYNAMIC/.test(version) ? 'unknown' : 'voluntary'
}

/** Whether no controller that places processes is on v1. `text`: of /proc/cgroups, which newer kernels write for v1 only. */
export const areUnified = (text: string): boolean => !/^(?:memory|pids|cpuset)\t[1-9]/m.test(text)

const sessionOf = (isReturn: KernelFunction | undefined): KernelFacts['session'] => {
  if (isReturn === undefined) return 'none'
  return isReturn.params.length === 0 ? 'plain' : 'context'
}

/**
 * Reads the facts; `symbols` looks addresses up (native `kernelSymbols`), `functions` asks the kernel's BTF (native `kernelFunctions`), `realTime` is that of native. Helpers and
 * kfuncs are found by name: distributions backport them, so a version proves little.
 */
export async function readKernelFacts(
  symbols: (names: string[]) => Promise<ReadonlyMap<string, bigint>>,
  functions: (names: string[]) => Promise<ReadonlyMap<string, KernelFunction>>,
  realTime: () => boolean,
): Promise<KernelFacts> {
  const addresses = await symbols([
    'rename_lock',
    'mount_lock',
    'register_fprobe_ips',
    'register_ftrace_direct',
    SCRIPT_HOOK,
  ])
  const offered = await functions([
    'bpf_loop',
    'bpf_rdonly_cast',
    'bpf_session_is_return',
    'bpf_override_return',
    'within_error_injection_list',
  ])
  return {
    release: release(),
    version: parseRelease(release()),
    arch: ARCH,
    preemption: parsePreemption(
      readOr('/sys/kernel/debug/sched/preempt'),
      readOr('/proc/cmdline') ?? '',
      readOr('/proc/version') ?? '',
    ),
    fprobe: addresses.has('register_fprobe_ips'),
    trampolines: addresses.has('register_ftrace_direct'),
    loops: offered.has('bpf_loop'),
    typedLoads: offered.has('bpf_rdonly_cast'),
    session: sessionOf(offered.get('bpf_session_is_return')),
    unifiedCgroups: areUnified(readOr('/proc/cgroups') ?? ''),
    security: addresses.has(SCRIPT_HOOK),
    lsms: readOr('/sys/kernel/security/lsm')?.trim() ?? '',
    override: offered.has('bpf_override_return'),
    errorInjection: offered.has('within_error_injection_list'),
    realTime: realTime(),
    renameLock: addresses.get('rename_lock') ?? 0n,
    mountLock: addresses.get('mount_lock') ?? 0n,
  }
}
