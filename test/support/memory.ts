/** Memory of a process, by /proc/PID/status. Source: proc(5). */
import { readFileSync } from 'node:fs'

export interface ProcessMemory {
  readonly residentBytes: number
  /** Its own (RssAnon). The rest is pages of files and the ring: the kernel reclaims file pages when it needs them. */
  readonly privateBytes: number
  /** Address space. */
  readonly virtualBytes: number
}

export function memoryOf(pid: number | 'self'): ProcessMemory {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const bytes = (field: string): number => {
    const kB = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]
    if (kB === undefined)
      throw new Error(`/proc/${pid}/status: expected a field ${field}, got ${JSON.stringify(status)}`)
    return 1024 * Number(kB)
  }
  return { residentBytes: bytes('VmRSS'), privateBytes: bytes('RssAnon'), virtualBytes: bytes('VmSize') }
}
