/**
 * Names of rotated files, as in Tetragon (lumberjack): `events.jsonl` becomes `events-2026-11-24T14-03-09.123.jsonl`, compressed
 * `….jsonl.gz`, and while compressing `….jsonl.gz.1f2e3d4c.tmp`. Files of other names are never touched.
 */
import { randomBytes } from 'node:crypto'
import { basename, dirname, extname, join } from 'node:path'
import { ifMissing } from '../../contract/errors.ts'
import type { FileStat, FileSystem } from './file-system.ts'

const STAMP = /^(\d{4}-\d\d-\d\d)T(\d\d)-(\d\d)-(\d\d\.\d{3})/
export const COMPRESSED = '.gz'
const UNFINISHED = /^\.gz\.[0-9a-f]{8}\.tmp$/

/** A rotated file in the folder. */
export interface Rotated {
  readonly path: string
  /** Time of rotation, from its name: milliseconds since 1970. */
  readonly wallMs: number
  readonly compressed: boolean
  readonly sizeBytes: number
  /** Permission bits. */
  readonly mode: number
}

/** The path of a file rotated at this time (milliseconds since 1970). */
export function rotatedName(path: string, wallMs: number): string {
  const extension = extname(path)
  const stamp = new Date(wallMs).toISOString().slice(0, -1).replaceAll(':', '-')
  return join(dirname(path), `${basename(path, extension)}-${stamp}${extension}`)
}

/**
 * The temporary name of a compressed file until it is complete. Random, so that two agents that share a path by mistake do not
 * use each other's incomplete file.
 */
export function unfinishedName(rotated: string): string {
  return `${rotated}${COMPRESSED}.${randomBytes(4).toString('hex')}.tmp`
}

/**
 * A rotated name that is free, compressed or not: tries later milliseconds until one is free. Returns it with its time.
 */
export async function freeName(
  files: FileSystem,
  path: string,
  wallMs: number,
): Promise<{ readonly name: string; readonly wallMs: number }> {
  for (let ms = wallMs; ; ms++) {
    const name = rotatedName(path, ms)
    if (!(await exists(files, name)) && !(await exists(files, name + COMPRESSED))) return { name, wallMs: ms }
  }
}

export async function exists(files: FileSystem, path: string): Promise<boolean> {
  return (await found(files, path)) !== undefined
}

/** The rotated files of `path`, oldest first, and the paths of incomplete compressed files. */
export async function listRotated(
  files: FileSystem,
  path: string,
): Promise<{ readonly rotated: readonly Rotated[]; readonly unfinished: readonly string[] }> {
  const folder = dirname(path)
  const rotated: Rotated[] = []
  const unfinished: string[] = []
  for (const name of (await files.readdir(folder)).toSorted()) {
    const read = readName(path, name)
    if (read === undefined) continue
    const full = join(folder, name)
    if (read.kind === 'unfinished') unfinished.push(full)
    const stat = read.kind === 'unfinished' ? undefined : await found(files, full)
    if (stat?.isFile() !== true) continue
    const compressed = read.kind === 'compressed'
    rotated.push({ path: full, wallMs: read.wallMs, compressed, sizeBytes: stat.size, mode: stat.mode & 0o7777 })
  }
  return { rotated: rotated.toSorted((a, b) => a.wallMs - b.wallMs), unfinished }
}

interface ReadName {
  readonly wallMs: number
  readonly kind: 'plain' | 'compressed' | 'unfinished'
}

function readName(path: string, name: string): ReadName | undefined {
  const extension = extname(path)
  const stem = `${basename(path, extension)}-`
  if (!name.startsWith(stem)) return undefined
  const stamp = STAMP.exec(name.slice(stem.length))
  if (stamp === null) return undefined
  const [text, day, hours, minutes, seconds] = stamp
  const wallMs = Date.parse(`${day}T${hours}:${minutes}:${seconds}Z`)
  if (Number.isNaN(wallMs)) return undefined
  const rest = name.slice(stem.length + text.length)
  if (!rest.startsWith(extension)) return undefined
  const after = rest.slice(extension.length)
  if (after === '') return { wallMs, kind: 'plain' }
  if (after === COMPRESSED) return { wallMs, kind: 'compressed' }
  return UNFINISHED.test(after) ? { wallMs, kind: 'unfinished' } : undefined
}

function found(files: FileSystem, path: string): Promise<FileStat | undefined> {
  return files.lstat(path).catch(ifMissing)
}
