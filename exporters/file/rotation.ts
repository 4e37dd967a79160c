/** Names of rotated files and which of them to keep. `events.jsonl` → `events-2026-11-24T14-03-09.123.jsonl`. */
import { basename, dirname, extname, join } from 'node:path'
import { errnoOf } from '../errors.ts'
import type { FileSystem } from './file-system.ts'

const STAMP = /^\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}$/

/** The name that a file rotated at this moment (ms since 1970) gets, beside the file itself. */
export function rotatedName(path: string, wallMs: number): string {
  const extension = extname(path)
  const stamp = new Date(wallMs).toISOString().slice(0, -1).replaceAll(':', '-')
  return join(dirname(path), `${basename(path, extension)}-${stamp}${extension}`)
}

/**
 * A rotated name that nobody has yet: later milliseconds are tried until one is free. Returns it with its time.
 */
export async function freeName(
  files: FileSystem,
  path: string,
  wallMs: number,
): Promise<{ readonly name: string; readonly wallMs: number }> {
  for (let ms = wallMs; ; ms++) {
    const name = rotatedName(path, ms)
    try {
      await files.lstat(name)
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return { name, wallMs: ms }
      throw error
    }
  }
}

/** Deletes the oldest rotated files of `path`, so that `keep` stay. Files of other names are not touched. */
export async function prune(files: FileSystem, path: string, keep: number): Promise<number> {
  const extension = extname(path)
  const stem = `${basename(path, extension)}-`
  const ours = (name: string): boolean =>
    name.startsWith(stem) &&
    name.endsWith(extension) &&
    STAMP.test(name.slice(stem.length, name.length - extension.length))
  const folder = dirname(path)
  const rotated = (await files.readdir(folder)).filter(ours).toSorted()
  const surplus = rotated.slice(0, Math.max(0, rotated.length - keep))
  for (const name of surplus) await files.unlink(join(folder, name))
  return surplus.length
}
