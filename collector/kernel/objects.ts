/** The built BPF objects and their shared maps. */
import type { BpfMap } from '../../native/types.ts'
import type { KernelFacts } from './facts.ts'

/** The object of hooks for a kernel; bpf/core_fixes.h explains how they differ. */
export function hookObject({ loops, typedLoads, session }: KernelFacts): string {
  if (!loops) return 'hook.bounded.bpf.o'
  if (!typedLoads) return 'hook.probe.bpf.o'
  return { none: 'hook.typed_old.bpf.o', plain: 'hook.typed.bpf.o', context: 'hook.typed_ctx.bpf.o' }[session]
}

/** The object of the process table for a kernel. */
export const processObject = ({ loops }: KernelFacts): string => (loops ? 'process.bpf.o' : 'process.bounded.bpf.o')

/** Maps of the process object that hook objects share; each object uses those that its file declares. */
export const SHARED_MAPS = [
  'ring',
  'cpu_state',
  'processes',
  'images',
  'verdicts',
  'conditions',
  'generation',
  'program_starts',
  'program_ends',
  'condition_pids',
  'workloads',
] as const

export type SharedMaps = Readonly<Record<(typeof SHARED_MAPS)[number], BpfMap>>
