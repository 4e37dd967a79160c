/**
 * `quarantine/` in a spool's folder: files that are no segments to read, kept for somebody to look at. Only what its own bytes
 * show to be spoilt is ever deleted there; the device may give tomorrow what it refuses today.
 */
import { ignoring } from './file-access.ts'
import type { SpoolFiles } from './files.ts'

/** Ends the names of those that may go. */
const DAMAGED = '.damaged'
/** So many of them stay, the newest; it is 32 segments of the default size. */
const MAX_FILES = 32
const MAX_BYTES = 512 << 20

/** A file that is no segment to read, and why. */
export interface Unfit {
  readonly name: string
  readonly why: string
  /** Its own bytes show it. */
  readonly damaged: boolean
}

/** Moves a file there, under a name that says when. Returns `name: why`, and what went wrong. */
export async function setAside(dir: string, file: Unfit, files: SpoolFiles, wallMs: number): Promise<string> {
  const { name, why, damaged } = file
  await ignoring(files.mkdir(`${dir}/quarantine`))
  const to = `${dir}/quarantine/${Math.floor(wallMs)}-${name}${damaged ? DAMAGED : ''}`
  const failed = await ignoring(files.rename(`${dir}/${name}`, to))
  return `${name}: ${why}${failed === '' ? '' : `, and it can not be moved: ${failed}`}`
}

/** Removes the oldest damaged files beyond the bounds, so that a failing disk cannot fill itself. Returns their names. */
export async function prune(dir: string, files: SpoolFiles): Promise<readonly string[]> {
  const room = `${dir}/quarantine`
  const names = await files.readdir(room).catch(() => [])
  const removed: string[] = []
  let bytes = 0
  for (const [i, name] of names
    .filter((one) => one.endsWith(DAMAGED))
    .toSorted()
    .toReversed()
    .entries()) {
    bytes += await files.stat(`${room}/${name}`).then(
      ({ size }) => size,
      () => 0,
    )
    const stays = i === 0 || (i < MAX_FILES && bytes <= MAX_BYTES)
    if (!stays && (await ignoring(files.unlink(`${room}/${name}`))) === '') removed.push(name)
  }
  return removed
}
