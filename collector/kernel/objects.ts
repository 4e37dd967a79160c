/** The built BPF objects and their shared maps. */
import { fileURLToPath } from 'node:url'
import type { BpfMap } from '../../native/types.ts'
import type { KernelFacts } from './facts.ts'

const BUILD = new URL('../../bpf/build/', import.meta.url)

/** Path of a built object. */
export const objectPath = (file: string): string => fileURLToPath(new URL(file, BUILD))

/** The object of hooks for a kernel; bpf/core_fixes.h explains how they differ. */
export function hookObject({ typedLoads, session }: KernelFacts): string {
  if (!typedLoads) return 'hook.probe.bpf.o'
  return session === 'context' ? 'hook.typed_ctx.bpf.o' : 'hook.typed.bpf.o'
}

/** Maps of process.bpf.o that hook objects share; each object uses those that its file declares. */
export type SharedMaps = Readonly<Record<'ring' | 'cpu_state' | 'processes', BpfMap>>
