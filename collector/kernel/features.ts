/** What ktrail uses of a kernel where it is there, and what it does without. docs/kernels.md shows the same table. */
import { atLeast, preempts } from './facts.ts'
import type { KernelFacts } from './facts.ts'
import { chooseMode } from './plan.ts'

export interface Feature {
  readonly name: string
  /** The first Linux version, the build option, or both. */
  readonly needs: string
  readonly isIn: (facts: KernelFacts) => boolean
  /** Another user than root cannot tell. */
  readonly onlyRoot?: true
  /** What ktrail does on a kernel without it. */
  readonly without: string
}

export const FEATURES: readonly Feature[] = [
  {
    name: 'bpf_get_func_arg',
    needs: 'Linux 5.17',
    isIn: ({ loops }) => loops,
    without: 'no hook is attached as fexit or fentry; kprobes of entry and return are joined in a map',
  },
  {
    name: 'bpf_loop',
    needs: 'Linux 5.17',
    isIn: ({ loops }) => loops,
    without: 'policies with SameFile, UnderDir or aggregate are refused',
  },
  {
    name: 'types of modules',
    needs: 'Linux 5.11, CONFIG_DEBUG_INFO_BTF_MODULES',
    isIn: (facts) => atLeast(facts, 5, 11),
    without: 'functions of modules cannot be hooked',
  },
  {
    name: 'kernel stacks at a return',
    needs: 'Linux 5.16',
    isIn: (facts) => atLeast(facts, 5, 16),
    without: 'a kernelStackTrace ends at kretprobe_trampoline where the return of the function is probed',
  },
  {
    name: 'kprobe.multi',
    needs: 'Linux 5.18, CONFIG_FPROBE',
    isIn: ({ fprobe }) => fprobe,
    without: 'each hook is a plain kprobe, and a hooked call costs more',
  },
  {
    name: 'maps that grow in tracing programs',
    needs: 'Linux 6.1',
    isIn: (facts) => atLeast(facts, 6, 1),
    without:
      'the tables of processes take all their memory (44 MiB) at the start, and have room for what 32,768 processes run; SameFile and UnderDir for 8,192 files',
  },
  {
    name: 'raw tracepoints',
    needs: 'Linux 6.1',
    isIn: (facts) => atLeast(facts, 6, 1),
    without: 'policies with raw: true are refused',
  },
  {
    name: 'bpf_rdonly_cast',
    needs: 'Linux 6.2',
    isIn: ({ typedLoads }) => typedLoads,
    without: 'kernel memory is read by calls of a helper, and a hooked call costs more',
  },
  {
    name: 'counters of skipped runs',
    needs: 'Linux 6.7',
    isIn: (facts) => atLeast(facts, 6, 7),
    without: 'runs of kprobes that the kernel skips are lost without being counted as missed_run',
  },
  {
    name: 'kprobe.session',
    needs: 'Linux 6.14, CONFIG_FPROBE',
    isIn: (facts) => facts.fprobe && facts.session !== 'none' && atLeast(facts, 6, 14),
    without:
      'where the kernel preempts tasks in kernel code, entry and return are joined; with many callers at once returns are missed, and their events have no return value',
  },
  {
    name: 'real-time priority',
    needs: 'CAP_SYS_NICE, or RLIMIT_RTPRIO of 1',
    isIn: (facts) => facts.realTime || !preempts(facts),
    onlyRoot: true,
    without:
      'where the kernel preempts tasks in kernel code, it runs no kprobe on a CPU while the agent is preempted there in an access to a map; these calls are missed, and counted as missed_run from Linux 6.7 on',
  },
  {
    name: 'sequence locks in /proc/kallsyms',
    needs: 'CONFIG_KALLSYMS_ALL',
    isIn: ({ renameLock, mountLock }) => renameLock !== 0n && mountLock !== 0n,
    onlyRoot: true,
    without: 'a rename or mount during the walk of a path goes unnoticed',
  },
  {
    name: 'security hooks',
    needs: 'CONFIG_SECURITY',
    isIn: ({ security }) => security,
    without: 'the binary of a script is the name given to execve, and policies cannot hook security_ functions',
  },
  {
    name: 'error injection',
    needs: 'CONFIG_FUNCTION_ERROR_INJECTION',
    isIn: ({ override, errorInjection }) => override || errorInjection,
    without: 'policies cannot have system calls fail (Override, enforcers); functions security_* they can',
  },
]

/** The features that a kernel lacks, each with what ktrail does without it. */
export const lackingFeatures = (facts: KernelFacts): Readonly<Record<string, string>> =>
  Object.fromEntries(FEATURES.filter(({ isIn }) => !isIn(facts)).map(({ name, without }) => [name, without]))

/** `without`: works, but worse. `missing`: ktrail cannot run, or not see an operation that a policy needs. `refused`: a policy that this kernel cannot run. */
export type FindingState = 'ok' | 'without' | 'unknown' | 'missing' | 'refused'

export interface Finding {
  readonly state: FindingState
  readonly text: string
}

const MODES = {
  'kprobe.multi': 'kprobe.multi',
  kprobe: 'kprobe',
  fexit: 'fexit',
  fentry: 'fentry and fexit joined',
  'kprobe.session': 'kprobe.session',
  join: 'joined entry and return',
  tracepoint: 'tracepoint',
  raw_tracepoint: 'raw tracepoint',
  override: 'kprobe with bpf_override_return',
  fmod_ret: 'fmod_ret',
} as const

function preemption(facts: KernelFacts): Finding {
  switch (facts.preemption) {
    case 'none':
    case 'voluntary':
      return { state: 'ok', text: `preemption: ${facts.preemption}, tasks in kernel code are not preempted` }
    case 'full':
    case 'lazy':
      return {
        state: 'ok',
        text: `preemption: ${facts.preemption}, tasks in kernel code are preempted; a preempted fexit program would hide calls of other tasks, so none is used`,
      }
    case 'unknown':
      return {
        state: 'unknown',
        text: 'preemption: expected it in /sys/kernel/debug/sched/preempt (root, debugfs) or in the kernel command line; treated as full',
      }
  }
}

/** What is to be known of a kernel that can run ktrail. `isRoot`: whether the facts were read as root. */
export function kernelFindings(facts: KernelFacts, isRoot: boolean): Finding[] {
  const modes = [false, true].map((wanted): Finding => {
    const mode = MODES[chooseMode({ return: wanted }, facts, 'auto')]
    return { state: 'ok', text: `hooks ${wanted ? 'with' : 'without'} a return value: ${mode}` }
  })
  const features = FEATURES.map(({ name, needs, isIn, onlyRoot, without }): Finding => {
    if (isIn(facts)) return { state: 'ok', text: name }
    if (onlyRoot && !isRoot) return { state: 'unknown', text: `${name}: only root can see them` }
    return { state: 'without', text: `${name} (needs ${needs}): ${without}` }
  })
  return [preemption(facts), ...modes, ...features]
}
