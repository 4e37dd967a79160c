/** A file system of a few megabytes for one process: tmpfs in a mount namespace of its own, seen from outside through /proc. */
import { execFile } from 'node:child_process'
import { rmSync, statfsSync, writeFileSync } from 'node:fs'
import { promisify } from 'node:util'

/** Mounts `$1` megabytes at `$2` and executes the rest. */
const MOUNT = 'mount -t tmpfs -o "size=$1m,mode=700" ktrail "$2" && shift 2 && exec "$@"'

/** The command prefix that gives a process the small disk at `mountPoint`; or the reason why it cannot. */
export async function smallDisk(
  megabytes: number,
  mountPoint: string,
): Promise<{ readonly wrapper: readonly string[] } | { readonly missing: string }> {
  const asRoot = process.getuid?.() === 0
  const wrapper = ['unshare', asRoot ? '-m' : '-mr', 'sh', '-c', MOUNT, 'sh', String(megabytes), mountPoint]
  try {
    await promisify(execFile)(wrapper[0] ?? '', [...wrapper.slice(1), 'true'])
    return { wrapper }
  } catch (error) {
    const text = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : String(error)
    return { missing: `no tmpfs can be mounted in a namespace here: ${text.split('\n')[0]}` }
  }
}

/** The small disk of a process, from outside. */
export class SmallDisk {
  readonly #path: string

  constructor(pid: number, mountPoint: string) {
    this.#path = `/proc/${pid}/root${mountPoint}`
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.#path)
    return bavail * bsize
  }

  /** Fills the free space, as another program would. */
  fill(): void {
    const chunk = Buffer.alloc(4096)
    for (;;) {
      try {
        writeFileSync(`${this.#path}/ballast`, chunk, { flag: 'a' })
      } catch {
        return
      }
    }
  }

  /** Frees it again. */
  free(): void {
    rmSync(`${this.#path}/ballast`, { force: true })
  }
}
