/** Searches files with several links below a folder, a folder at a time: a name outside may lead to such a file. */
import type { FolderRead } from '../../../native/types.ts'
import { Unanswered } from './reach.ts'

const SLASH = Buffer.from('/')

/** Counters of one search. */
export interface Looked {
  files: number
  folders: number
  /** Files with several links. */
  links: number
  /** Folders that could not be read, for instance because they went away meanwhile. */
  unread: number
}

/**
 * The files with several links below a folder, on its own file system. Names are bytes: they need not be UTF-8. Counts into `looked`. Throws Unanswered
 * if the file system does not answer.
 */
export async function* linksBelow(
  folder: string,
  looked: Looked,
  readFolder: (path: Buffer) => Promise<FolderRead>,
): AsyncGenerator<Buffer> {
  const left: Buffer[] = [Buffer.from(folder)]
  for (;;) {
    const at = left.pop()
    if (at === undefined) return
    looked.folders++
    const read = await readFolder(at).catch((error: unknown) => {
      if (error instanceof Unanswered) throw error
      return undefined
    })
    if (read === undefined) {
      looked.unread++
      continue
    }
    looked.files += read.files
    for (const name of namesIn(read.folders)) left.push(Buffer.concat([at, SLASH, name]))
    for (const name of namesIn(read.linked)) {
      looked.links++
      yield Buffer.concat([at, SLASH, name])
    }
  }
}

function* namesIn(names: Buffer): Generator<Buffer> {
  for (let from = 0; from < names.length;) {
    const end = names.indexOf(0, from)
    yield names.subarray(from, end)
    from = end + 1
  }
}
