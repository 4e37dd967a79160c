/** The image of a process that ran before the agent, read from /proc (`struct image` in bpf/process/conditions.h). */
import { readlinkSync } from 'node:fs'
import { cachedStat } from '../../../native/index.ts'
import { errnoOf } from '../../../config/base/unreadable.ts'
import { innerPid } from '../../host/proc-stat.ts'
import { readOr } from '../../host/read.ts'
import { IMAGE, PROGRAM, PROGRAM_END, PROGRAM_START } from '../../wire/wire.ts'

/** The path of its program; empty for a kernel thread; undefined if it cannot be read. */
export type ProgramPath = Buffer | undefined

const DELETED = Buffer.from(' (deleted)')

/**
 * The path as the process saw it at its exec: without the mark of a file that was deleted since. A file in memory, which never had a name,
 * keeps the mark.
 */
export function readProgram(procfs: string, pid: number): ProgramPath {
  const link = `${procfs}/${pid}/exe`
  try {
    const path = readlinkSync(link, 'buffer')
    const named = path.length - DELETED.length
    const marked = path.subarray(named).equals(DELETED) && !path.toString('latin1').startsWith('/memfd:')
    return marked && cachedStat(link)?.links === 0 ? path.subarray(0, named) : path
  } catch (error) {
    // A kernel thread, or a process that has just ended.
    return errnoOf(error) === 'ENOENT' ? Buffer.alloc(0) : undefined
  }
}

/** The bytes of a process's image, with the present program of its parent. */
export function readImage(procfs: string, pid: number, parentPid: number): Buffer {
  const bytes = Buffer.alloc(IMAGE.bytes)
  programBytes(readProgram(procfs, pid)).copy(bytes, IMAGE.program)
  programBytes(parentPid === 0 ? undefined : readProgram(procfs, parentPid)).copy(bytes, IMAGE.parent)
  bytes.writeUInt32LE(innerPid(readOr(`${procfs}/${pid}/status`) ?? ''), IMAGE.innerPid)
  return bytes
}

/** struct program */
export function programBytes(path: ProgramPath): Buffer {
  const bytes = Buffer.alloc(PROGRAM.bytes)
  if (path === undefined) return bytes
  bytes[PROGRAM.known] = 1
  bytes.writeUInt32LE(path.length, PROGRAM.len)
  path.copy(bytes, PROGRAM.start, 0, PROGRAM_START)
  bytes.set(path.subarray(-PROGRAM_END).toReversed(), PROGRAM.end)
  return bytes
}
