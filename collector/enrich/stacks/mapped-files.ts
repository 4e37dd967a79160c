/** The code that a process has mapped, from /proc/PID/maps, which the process can make long. */
import { createReadStream } from 'node:fs'

/** A mapping with code. */
export interface Mapping {
  readonly start: number
  readonly end: number
  /** Offset of its start in the file. */
  readonly offset: number
  readonly device: string
  readonly inode: number
  /** As the kernel writes it: `/usr/bin/cat`, `/tmp/a (deleted)`, `[vdso]`; '' without a file. */
  readonly path: string
}

/** Code that is mapped behind this much of the list is not found: some 10,000 mappings. */
const MAX_BYTES = 1 << 20
/** start-end, permissions with x, offset, device, inode, path */
const LINE = /^([0-9a-f]{1,13})-([0-9a-f]{1,13}) ..x. ([0-9a-f]{1,13}) ([0-9a-f]+:[0-9a-f]+) (\d{1,20}) *(.*)$/

/** Rejects if the process is gone. */
export async function readMappings(procfs: string, pid: number): Promise<Mapping[]> {
  const found: Mapping[] = []
  let rest = ''
  const file = createReadStream(`${procfs}/${pid}/maps`, { encoding: 'utf8', end: MAX_BYTES - 1 })
  for await (const text of file as AsyncIterable<string>) {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    found.push(...lines.flatMap((line) => parseMapping(line) ?? []))
  }
  return found
}

function parseMapping(line: string): Mapping | undefined {
  const [, start, end, offset, device, inode, path] = LINE.exec(line) ?? []
  if (start === undefined || end === undefined || offset === undefined || path === undefined) return undefined
  return {
    start: Number.parseInt(start, 16),
    end: Number.parseInt(end, 16),
    offset: Number.parseInt(offset, 16),
    device: device ?? '',
    inode: Number(inode),
    path,
  }
}
