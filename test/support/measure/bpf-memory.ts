/** Kernel memory of the BPF maps and programs of a process, by /proc/PID/fdinfo. */
import { readFileSync, readdirSync } from 'node:fs'

/** The texts of its descriptors. */
export function descriptors(pid: number | 'self'): string[] {
  const folder = `/proc/${pid}/fdinfo`
  return readdirSync(folder).flatMap((fd) => {
    try {
      return [readFileSync(`${folder}/${fd}`, 'utf8')]
    } catch {
      return [] // the descriptor of the listing itself, or one that was closed
    }
  })
}

export const field = (text: string, name: string): number =>
  Number(new RegExp(`^${name}:\\s*(\\d+)`, 'm').exec(text)?.[1])

/** Each map and program once. */
function objects(pid: number | 'self'): Iterable<string> {
  const byId = descriptors(pid).flatMap((text) => {
    const id = /^(?:map_id|prog_id):\s*\d+/m.exec(text)?.[0]
    return id === undefined ? [] : [[id, text] as const]
  })
  return new Map(byId).values()
}

const sum = (numbers: Iterable<number>): number => [...numbers].reduce((all, each) => all + each, 0)

/** All bytes. Before Linux 6.4 (kernel commit 90a5527d7686) also those that maps which grow might have some day, and per-CPU ones once. */
export const kernelBytes = (pid: number | 'self' = 'self'): number =>
  sum(Iterator.from(objects(pid)).map((text) => field(text, 'memlock') || 0))

/** include/uapi/linux/bpf.h BPF_MAP_TYPE_PERCPU_ARRAY */
const PERCPU_ARRAY = 6

/** Bytes of per-CPU arrays on each CPU. */
export const perCpuBytes = (pid: number | 'self' = 'self'): number =>
  sum(
    Iterator.from(objects(pid))
      .filter((text) => field(text, 'map_type') === PERCPU_ARRAY)
      .map((text) => Math.ceil(field(text, 'value_size') / 8) * 8 * field(text, 'max_entries')),
  )
