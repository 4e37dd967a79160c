/**
 * `quarantine/` in a spool's folder: unreadable segments, kept for inspection. Only files with damaged bytes are ever deleted
 * there; a device error may be temporary.
 */
import { ignoring } from './file-access.ts'
import type { SpoolFiles } from './files.ts'

/** Suffix of files that may be deleted. */
const DAMAGED = '.damaged'
/** The newest files to keep: 32 segments of the default size. */
const MAX_FILES = 32
const MAX_BYTES = 512 << 20

/** An unreadable segment, and why. */
export interface Unfit {
  readonly name: string
  readonly why: string
  /** Its bytes are damaged. */
  readonly damaged: boolean
}

/** Moves a file there, with the time in its name. Returns `name: why`, and a failure to move it. */
export async function setAside(dir: string, file: Unfit, files: SpoolFiles, wallMs: number): Promise<string> {
  const { name, why, damaged } = file
  await ignoring(files.mkdir(`${dir}/quarantine`))
  const to = `${dir}/quarantine/${Math.floor(wallMs)}-${name}${damaged ? DAMAGED : ''}`
  const failed = await ignoring(files.rename(`${dir}/${name}`, to))
  return `${name}: ${why}${failed === '' ? '' : `, and it cannot be moved: ${failed}`}`
}

/** Removes the oldest damaged files above the limits, so that a failing disk does not fill up. Returns their names. */
export async function prune(dir: string, files: SpoolFiles): Promise<readonly string[]> {
  const room = `${dir}/quarantine`
  const names = await files.readdir(room).catch(() => [])
  const damaged = names.filter((name) => name.endsWith(DAMAGED)).toSorted()
  const removed: string[] = []
  let bytes = 0
  for (const [i, name] of damaged.toReversed().entries()) {
    bytes += await files.stat(`${room}/${name}`).then(
      ({ size }) => size,
      () => 0,
    )
    const stays = i === 0 || (i < MAX_FILES && bytes <= MAX_BYTES)
    if (!stays && (await ignoring(files.unlink(`${room}/${name}`))) === '') removed.push(name)
  }
  return removed
}
