/** Looks for files with several links below a folder, in slices: such a file may be reached by a name outside. */
import { lstat, opendir } from 'node:fs/promises'
import type { Stats } from 'node:fs'

/** Files asked about at once: what Node's pool of threads works off without a pause. */
const AT_ONCE = 16

const SLASH = Buffer.from('/')

/** What one look saw. */
export interface Looked {
  files: number
  /** Folders that could not be read, for instance because they went away meanwhile. */
  unread: number
}

/**
 * The files with several links below a folder, on its own file system. Names are bytes: they need not be UTF-8. Counts into `looked`.
 */
export async function* linksBelow(folder: string, looked: Looked): AsyncGenerator<Buffer> {
  const top = await statOf(Buffer.from(folder))
  if (top === undefined) return
  const left: Buffer[] = [Buffer.from(folder)]
  for (;;) {
    const at = left.pop()
    if (at === undefined) return
    try {
      for await (const part of partsOf(at)) {
        const stats = await Promise.all(part.map(statOf))
        for (const [i, stat] of stats.entries()) {
          const path = part[i]
          if (stat === undefined || path === undefined || stat.dev !== top.dev) continue
          looked.files++
          if (stat.isDirectory()) left.push(path)
          else if (stat.nlink > 1) yield path
        }
      }
    } catch {
      looked.unread++
    }
  }
}

/** Paths in a folder, some at a time. */
async function* partsOf(folder: Buffer): AsyncGenerator<Buffer[]> {
  // Names are bytes then, which Node's types do not know.
  const entries = await opendir(folder, { encoding: 'buffer' as BufferEncoding, bufferSize: AT_ONCE })
  let part: Buffer[] = []
  for await (const { name } of entries) {
    part.push(Buffer.concat([folder, SLASH, Buffer.from(name)]))
    if (part.length < AT_ONCE) continue
    yield part
    part = []
  }
  if (part.length > 0) yield part
}

const statOf = (path: Buffer): Promise<Stats | undefined> => lstat(path).catch(() => undefined)
