/** The built BPF objects and their shared maps. */
import { fileURLToPath } from 'node:url'
import type { BpfMap } from '../../native/types.ts'

const BUILD = new URL('../../bpf/build/', import.meta.url)

/** Path of a built object. */
export const objectPath = (file: string): string => fileURLToPath(new URL(file, BUILD))

/** Maps of process.bpf.o that hook objects share; each object uses those that its file declares. */
export type SharedMaps = Readonly<Record<'ring' | 'cpu_state' | 'processes', BpfMap>>
