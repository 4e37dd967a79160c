/** Optional features of kernels, and the way that ktrail works without each. docs/reference/kernels.md shows the same table. */
import { atLeast, preempts } from './facts.ts'
import table from './features.json' with { type: 'json' }
import type { KernelFacts } from './facts.ts'
import { chooseMode } from './plan.ts'
import type { AttachMode } from './plan.ts'

type Name = keyof typeof table

export interface Feature {
  readonly name: string
  /** The first Linux version, the build option, or both. */
  readonly needs: string
  readonly isIn: (facts: KernelFacts) => boolean
  /** Only root can read it. */
  readonly onlyRoot?: boolean
  /** The way that ktrail works on a kernel without it. */
  readonly without: string
}

const IS_IN: Readonly<Record<Name, Feature['isIn']>> = {
  bpf_get_func_arg: ({ loops }) => loops,
  bpf_loop: ({ loops }) => loops,
  'types of modules': (facts) => atLeast(facts, 5, 11),
  // Since kernel commit d741bf41d7c7, return probes run with interrupts on, and the kernel need not keep signals for later.
  'several signals at a return': (facts) => atLeast(facts, 5, 11),
  'kernel stacks at a return': (facts) => atLeast(facts, 5, 16),
  'kprobe.multi': ({ fprobe }) => fprobe,
  'maps that grow in tracing programs': (facts) => atLeast(facts, 6, 1),
  'raw tracepoints': (facts) => atLeast(facts, 6, 1),
  bpf_rdonly_cast: ({ typedLoads }) => typedLoads,
  'counters of skipped runs': (facts) => atLeast(facts, 6, 7),
  'kprobe.session': (facts) => facts.fprobe && facts.session !== 'none' && atLeast(facts, 6, 14),
  'real-time priority': (facts) => facts.realTime || !preempts(facts),
  'sequence locks in /proc/kallsyms': ({ renameLock, mountLock }) => renameLock !== 0n && mountLock !== 0n,
  'security hooks': ({ security }) => security,
  'error injection': ({ override, errorInjection }) => override || errorInjection,
}

export const FEATURES: readonly Feature[] = Object.entries(table).map(([name, feature]) => ({
  name,
  isIn: IS_IN[name as Name],
  ...feature,
}))

/** The features that a kernel lacks, each with the way that ktrail works without it. */
export const lackingFeatures = (facts: KernelFacts): Readonly<Record<string, string>> =>
  Object.fromEntries(FEATURES.filter(({ isIn }) => !isIn(facts)).map(({ name, without }) => [name, without]))

/** `without`: works, but worse. `missing`: ktrail cannot run, or not see an operation that a policy needs. `refused`: a policy that this kernel cannot run. */
export type FindingState = 'ok' | 'without' | 'unknown' | 'missing' | 'refused'

export interface Finding {
  readonly state: FindingState
  readonly text: string
}

/** Modes of functions that are shown by another text than their name. */
const MODES: Partial<Record<AttachMode, string>> = {
  fentry: 'fentry and fexit joined',
  join: 'joined entry and return',
}

function preemption(facts: KernelFacts): Finding {
  if (facts.preemption === 'unknown') {
    const text =
      'preemption: expected it in /sys/kernel/debug/sched/preempt (root, debugfs) or in the kernel command line; treated as full'
    return { state: 'unknown', text }
  }
  const effect = preempts(facts)
    ? 'preempted; fexit programs are not used, because a preempted one would hide calls of other tasks'
    : 'not preempted'
  return { state: 'ok', text: `preemption: ${facts.preemption}, tasks in kernel code are ${effect}` }
}

/** Findings about a kernel that can run ktrail. `isRoot`: whether the facts were read as root. */
export function kernelFindings(facts: KernelFacts, isRoot: boolean): Finding[] {
  const modes = [false, true].map((wanted): Finding => {
    const mode = chooseMode({ return: wanted }, facts, 'auto')
    return { state: 'ok', text: `hooks ${wanted ? 'with' : 'without'} a return value: ${MODES[mode] ?? mode}` }
  })
  const features = FEATURES.map(({ name, needs, isIn, onlyRoot, without }): Finding => {
    if (isIn(facts)) return { state: 'ok', text: name }
    if (onlyRoot && !isRoot) return { state: 'unknown', text: `${name}: only root can see them` }
    return { state: 'without', text: `${name} (needs ${needs}): ${without}` }
  })
  return [preemption(facts), ...modes, ...features]
}
