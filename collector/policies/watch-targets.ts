/** Places where a change of policy files shows: the targets to watch for a list of files and folders. */
import type { Stats } from 'node:fs'
import { lstat, readlink, statfs } from 'node:fs/promises'
import { basename, dirname, isAbsolute, join } from 'node:path'
import { policyFilesAt } from '../../config/policy/sources/files.ts'
import { answered } from '../../config/base/time/answered.ts'
import { inLibrary } from '../../config/base/paths.ts'
import { errnoOf } from '../../config/base/unreadable.ts'

export interface WatchTargets {
  /** Files, and directories with the names in them that matter; undefined: all. */
  readonly names: ReadonlyMap<string, ReadonlySet<string> | undefined>
  /** The reason why changes may send no event; undefined if they all do. */
  readonly unseen: string | undefined
}

/**
 * File systems that only this kernel changes, and so it sends an event for each change (include/uapi/linux/magic.h): ext2 to ext4, xfs, btrfs,
 * tmpfs, ramfs, overlay, f2fs, zfs, bcachefs, squashfs, erofs. Others are network mounts, FUSE, virtiofs, 9p.
 */
const LOCAL = new Set([
  0xef53, 0x58465342, 0x9123683e, 0x01021994, 0x858458f6, 0x794c7630, 0xf2f52010, 0x2fc12fc1, 0xca451a4e, 0x73717368,
  0xe0f5e1e2,
])
/** The kernel's limit (include/linux/namei.h MAXSYMLINKS). */
const MOST_LINKS = 40

/** Never rejects: a path that cannot be read is `unseen`. */
export async function watchTargets(paths: readonly string[]): Promise<WatchTargets> {
  const found = new Found()
  for (const path of paths) {
    // The library changes only with ktrail itself.
    if (inLibrary(path)) continue
    try {
      const real = await answered(path, () => found.follow('/', partsOf(path)))
      if (real === undefined) continue
      const files = (await policyFilesAt(real)).filter((file) => file !== real)
      // One by one: a symlink to a file system that does not answer must not make its folder unreadable.
      for (const file of files) {
        const name = basename(file)
        await answered(join(path, name), () => found.follow(real, [name])).catch(found.cannotRead(file))
      }
    } catch (error) {
      found.cannotRead(path)(error)
    }
  }
  return found
}

function partsOf(path: string): string[] {
  return (isAbsolute(path) ? path : `${process.cwd()}/${path}`).split('/')
}

class Found implements WatchTargets {
  readonly names = new Map<string, Set<string> | undefined>()
  unseen: string | undefined
  readonly #local = new Map<number, boolean>()

  readonly cannotRead =
    (path: string) =>
    (error: unknown): void => {
      this.unseen ??= `${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`
    }

  /** Looks a path up as the kernel does, from a directory without symlinks on. Returns the real path; undefined if it does not exist. */
  async follow(from: string, parts: readonly string[]): Promise<string | undefined> {
    const rest = [...parts]
    let at = from
    let links = 0
    let device = (await lstat(from)).dev
    for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
      if (name === '' || name === '.') continue
      if (name === '..') {
        at = dirname(at)
        continue
      }
      const next = join(at, name)
      const entry = await statOf(next)
      if (entry !== undefined && !entry.isSymbolicLink()) {
        at = next
        device = entry.dev
        continue
      }
      await this.#add(at, device, name)
      if (entry === undefined || ++links > MOST_LINKS) return undefined
      const target = await readlink(next)
      rest.unshift(...target.split('/'))
      if (isAbsolute(target)) at = '/'
    }
    await this.#add(at, device)
    return at
  }

  /** Without a name, all names matter. */
  async #add(path: string, device: number, name?: string): Promise<void> {
    const only = this.names.get(path)
    if (name === undefined) this.names.set(path, undefined)
    else if (only !== undefined) only.add(name)
    else if (!this.names.has(path)) this.names.set(path, new Set([name]))
    await this.#checkEvents(path, device)
  }

  async #checkEvents(path: string, device: number): Promise<void> {
    let local = this.#local.get(device)
    if (local === undefined) {
      local = LOCAL.has((await statfs(path)).type)
      this.#local.set(device, local)
    }
    if (!local) this.unseen ??= `${path} is on a file system that may not report changes`
  }
}

async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path)
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errnoOf(error))) return undefined
    throw error
  }
}
