/**
 * An inherited descriptor, as a file for LogFile. Its offset is shared with other writers (the shell, the agent's log with 2>&1),
 * so writes go to the offset and never overwrite theirs.
 */
import { constants, fstat, ftruncate, readFileSync, write, writev } from 'node:fs'
import { promisify } from 'node:util'
import type { OpenFile } from '../file/file-system.ts'

const stat = promisify(fstat)
const truncate = promisify(ftruncate)
const writeAt = promisify(write)
const writeAll = promisify(writev)

/** The file or device of the descriptor. Never closed, read or synced; its mode is not changed. */
export function descriptorFile(fd: number): OpenFile {
  const appends = isAppending(fd)
  /** The new end after a cut, while the offset is still behind it. The next write goes there. */
  let gap: { from: number; readonly to: number } | undefined
  return {
    async writev(buffers) {
      while (gap !== undefined) {
        const bytes = gap.to - gap.from
        // Otherwise another process has written behind the gap; a blank line fills it, so that our line is not split.
        const ours = (await stat(fd)).size <= gap.from
        const filling = ours ? Buffer.concat(buffers).subarray(0, bytes) : Buffer.from('\n'.padStart(bytes))
        const { bytesWritten } = await writeAt(fd, filling, 0, filling.length, gap.from)
        gap = gap.from + bytesWritten < gap.to ? { from: gap.from + bytesWritten, to: gap.to } : undefined
        if (ours) return { bytesWritten }
      }
      return writeAll(fd, [...buffers])
    },
    async truncate(size) {
      const now = await stat(fd)
      // A device cannot be truncated.
      if (!now.isFile()) return
      await truncate(fd, size)
      if (!appends) gap = { from: size, to: gap?.to ?? now.size }
    },
    stat: () => stat(fd),
    read: () => Promise.resolve({ bytesRead: 0 }),
    datasync: none,
    chmod: none,
    close: none,
  }
}

const none = (): Promise<void> => Promise.resolve()

/** Opened with O_APPEND (`>>`), so the offset does not matter. */
function isAppending(fd: number): boolean {
  const flags = /^flags:\s*([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1]
  return (Number.parseInt(flags ?? '0', 8) & constants.O_APPEND) !== 0
}
