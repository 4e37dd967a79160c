/**
 * Checks the paths when something there may have changed: inotify events wake it, no timer does.
 *
 * It watches each path and each policy file in it (a file can be a mount of its own). It also watches every directory with a symlink on the
 * way: Kubernetes changes its files by a swap of `..data`. A path that does not exist is awaited in its nearest directory. The watches are
 * made anew before each look, so a change is seen by the look or wakes the next one.
 *
 * Changes by other hosts on a network file system, and mounts, send no event. So the paths are also checked every POLL_MS if some of them
 * may lie on such a file system or have no watch. Else the list of mounts is read every MOUNTS_MS. The paths are then checked when it has
 * changed, and at each SAFETY_READS reading, because a full queue of inotify loses events.
 */
import { hash } from 'node:crypto'
import { readFileSync, watch as watchPath } from 'node:fs'
import type { FSWatcher } from 'node:fs'
import { basename } from 'node:path'
import { watchTargets } from './watch-targets.ts'
import type { WatchTargets } from './watch-targets.ts'

/** An editor writes a file in several steps. */
const SETTLE_MS = 100
const POLL_MS = 10_000
const MOUNTS_MS = 60_000
const SAFETY_READS = 10
/** Reasons name files, which others may choose. */
const MOST_REASONS = 5

export interface WatchOptions {
  /** Must not reject. */
  readonly look: () => Promise<void>
  /** Whether a later check may differ although nothing at the paths has changed: then one follows within MOUNTS_MS. */
  readonly looksAgain?: () => boolean
  /** Called when changes are found by polling, once per reason, of the first few. */
  readonly onPolls: (reason: string) => void
  /** Watches a path; throws like fs.watch. */
  readonly watch?: typeof watchPath
  /** The mounts that this process sees; throws if they cannot be read. */
  readonly mounts?: () => string
}

const ownMounts = (): string => readFileSync('/proc/self/mountinfo', 'latin1')

/** The first check is immediate. Disposing ends the watches; a running check continues. */
export class PathWatch implements Disposable {
  readonly #paths: readonly string[]
  readonly #options: WatchOptions
  readonly #reasons = new Set<string>()
  #watchers: FSWatcher[] = []
  #timer: NodeJS.Timeout | undefined
  /** Hash of the mounts at the last check; undefined: unknown. */
  #mounts: string | undefined
  #reads = 0
  /** A check is due within SETTLE_MS. */
  #settling = false
  #looking = false
  /** A path changed during the check. */
  #again = false
  #closed = false

  constructor(paths: readonly string[], options: WatchOptions) {
    this.#paths = paths
    this.#options = options
    void this.#round()
  }

  #changed(): void {
    if (this.#closed || this.#settling) return
    if (this.#looking) this.#again = true
    else this.#schedule(SETTLE_MS)
  }

  #schedule(ms: number): void {
    clearTimeout(this.#timer)
    this.#settling = ms === SETTLE_MS
    this.#timer = setTimeout(() => void this.#round(), ms)
  }

  async #round(): Promise<void> {
    this.#settling = false
    this.#looking = true
    this.#again = false
    this.#mounts = this.#hashOfMounts()
    this.#reads = 0
    const targets = await watchTargets(this.#paths)
    if (this.#closed) return
    const reason = this.#watch(targets)
    if (reason !== undefined && this.#reasons.size < MOST_REASONS && !this.#reasons.has(reason)) {
      this.#reasons.add(reason)
      this.#options.onPolls(reason)
    }
    await this.#options.look()
    this.#looking = false
    if (this.#closed) return
    if (this.#again) this.#schedule(SETTLE_MS)
    else if (reason === undefined) this.#awaitMounts()
    else this.#schedule(POLL_MS)
  }

  #awaitMounts(): void {
    this.#timer = setTimeout(() => {
      const mounts = this.#hashOfMounts()
      const changed = mounts === undefined || mounts !== this.#mounts
      if (changed || ++this.#reads === SAFETY_READS || this.#options.looksAgain?.() === true) void this.#round()
      else this.#awaitMounts()
    }, MOUNTS_MS)
  }

  #hashOfMounts(): string | undefined {
    try {
      return hash('sha256', (this.#options.mounts ?? ownMounts)())
    } catch {
      return undefined
    }
  }

  /** Replaces the watches. Returns why changes may stay unseen. */
  #watch({ names, unseen }: WatchTargets): string | undefined {
    const { watch = watchPath } = this.#options
    const before = this.#watchers
    this.#watchers = []
    let reason = unseen
    for (const [path, only] of names) {
      try {
        const watcher = watch(path, (_, name) => {
          // An event with the folder's own name is about the folder: it was moved or deleted.
          if (only === undefined || name === null || only.has(name) || name === basename(path)) this.#changed()
        })
        this.#watchers.push(watcher)
        watcher.on('error', () => this.#changed())
      } catch (error) {
        reason ??= refusal(path, error)
      }
    }
    // Old watches are closed only now, so that the kernel keeps the shared ones.
    for (const watcher of before) watcher.close()
    return reason
  }

  [Symbol.dispose](): void {
    this.#closed = true
    clearTimeout(this.#timer)
    for (const watcher of this.#watchers) watcher.close()
    this.#watchers = []
  }
}

/** A limit of the user or the process is one reason, whichever path meets it first. */
function refusal(path: string, error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code === 'ENOSPC') return 'the limit of inotify watches is reached; raise sysctl fs.inotify.max_user_watches'
  if (code === 'EMFILE') return 'the limit is reached; raise sysctl fs.inotify.max_user_instances, or ulimit -n'
  return `${path} cannot be watched: ${error instanceof Error ? error.message : String(error)}`
}
