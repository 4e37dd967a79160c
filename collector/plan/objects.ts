/** The built BPF objects and their shared maps. */
import type { BpfMap } from '../../native/types.ts'
import type { KernelFacts } from './facts.ts'

/** The object of hooks for a kernel; bpf/README.md explains how they differ. */
export function hookObject({ loops, typedLoads, session }: KernelFacts): string {
  if (!loops) return 'hook.bounded.bpf.o'
  return `hook.${typedLoads ? { none: 'typed_old', plain: 'typed', context: 'typed_ctx' }[session] : 'probe'}.bpf.o`
}

/** The object of the process table for a kernel. */
export const processObject = ({ loops }: KernelFacts): string => (loops ? 'process.bpf.o' : 'process.bounded.bpf.o')

/** Maps of the process object that hook objects share; each object uses the ones that its file declares. */
export const SHARED_MAPS = [
  'ring',
  'cpu_state',
  'processes',
  'process_changes',
  'images',
  'verdicts',
  'conditions',
  'generation',
  'program_starts',
  'program_ends',
  'condition_pids',
  'workloads',
  'privileges',
  'privileges_wanted',
  '.data.change',
  'denials',
] as const

export type SharedMaps = Readonly<Record<(typeof SHARED_MAPS)[number], BpfMap>>

/** Initial bytes of variables of an object, by name. */
export type Constants = Readonly<Record<string, Buffer>>
