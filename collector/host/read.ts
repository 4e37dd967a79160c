/** Files that a host may not have, or not show. */
import { closeSync, constants, fstatSync, openSync, readFileSync, readSync } from 'node:fs'

/** The text; undefined if the file cannot be read. */
export function readOr(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

/** The first bytes as text; '' for a pipe, device or folder. `flags` of open(2) are added. Throws what Node throws. */
export function readAtMost(path: string, most: number, flags: number = 0): string {
  const fd = openSync(path, constants.O_NONBLOCK | flags)
  try {
    if (!fstatSync(fd).isFile()) return ''
    const bytes = Buffer.alloc(most)
    let length = 0
    for (let got = -1; got !== 0 && length < most; length += got)
      got = readSync(fd, bytes, length, most - length, length)
    return bytes.toString('utf8', 0, length)
  } finally {
    closeSync(fd)
  }
}
