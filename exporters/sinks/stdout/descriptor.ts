/**
 * A descriptor that the process was given, as a file that LogFile can write. Its offset is shared with whoever else writes there (the
 * shell, the agent's log under 2>&1) and is kept to, so that nobody writes over anybody.
 */
import { constants, fstat, ftruncate, readFileSync, write, writev } from 'node:fs'
import { promisify } from 'node:util'
import type { OpenFile } from '../file/file-system.ts'

const stat = promisify(fstat)
const truncate = promisify(ftruncate)
const writeAt = promisify(write)
const writeAll = promisify(writev)

/** The file of the descriptor, or the device. It is never closed, read, synced or given another mode. */
export function descriptorFile(fd: number): OpenFile {
  const appends = isAppending(fd)
  /** Where something was cut off while the offset stayed behind it: the next bytes belong there. */
  let gap: { from: number; readonly to: number } | undefined
  return {
    async writev(buffers) {
      while (gap !== undefined) {
        const bytes = gap.to - gap.from
        // Else somebody has written behind the gap, and would stand in the middle of our line: a blank line fills it.
        const ours = (await stat(fd)).size <= gap.from
        const filling = ours ? Buffer.concat(buffers).subarray(0, bytes) : Buffer.from('\n'.padStart(bytes))
        const { bytesWritten } = await writeAt(fd, filling, 0, filling.length, gap.from)
        gap = gap.from + bytesWritten < gap.to ? { from: gap.from + bytesWritten, to: gap.to } : undefined
        if (ours) return bytesWritten
      }
      return (await writeAll(fd, [...buffers])).bytesWritten
    },
    async truncate(size) {
      const now = await stat(fd)
      // A device has taken it for good.
      if (!now.isFile()) return
      await truncate(fd, size)
      if (!appends) gap = { from: size, to: gap?.to ?? now.size }
    },
    stat: () => stat(fd),
    read: () => Promise.resolve(0),
    datasync: none,
    chmod: none,
    close: none,
  }
}

const none = (): Promise<void> => Promise.resolve()

/** Opened with O_APPEND (`>>`): then the offset does not matter. */
function isAppending(fd: number): boolean {
  const flags = /^flags:\s*([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1]
  return (Number.parseInt(flags ?? '0', 8) & constants.O_APPEND) !== 0
}
