/** Reads the facts about the running kernel. */
import { release } from 'node:os'
import type { KernelFunction } from '../../native/types.ts'
import { readOr } from '../host/read.ts'
import { ARCH, MODELS, SCRIPT_HOOK } from '../plan/facts.ts'
import type { KernelFacts, Preemption } from '../plan/facts.ts'

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
