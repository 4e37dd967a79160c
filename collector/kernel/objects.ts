/** The built BPF objects, and their maps that are shared. */
import { fileURLToPath } from 'node:url'
import type { BpfMap } from '../../native/types.ts'

const BUILD = new URL('../../bpf/build/', import.meta.url)

/** Path of a built object. */
export const objectPath = (file: string): string => fileURLToPath(new URL(file, BUILD))

/** Maps of process.bpf.o that the hook objects share; each takes those that its file has. */
export type SharedMaps = Readonly<Record<'ring' | 'cpu_state' | 'processes', BpfMap>>
