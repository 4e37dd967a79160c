/**
 * Looks at the paths when something there may have changed: inotify events wake it, no timer does.
 *
 * Watched are each path and each policy file in it (a file can be a mount of its own), and every directory in which a symlink on the way
 * lies: Kubernetes changes its files by a swap of `..data`. A path that does not exist is awaited in its nearest directory. The watches are
 * made anew before each look, so a change is seen by the look or wakes the next one.
 *
 * Not every change sends an event: those by other hosts on a network file system, and mounts. So the paths are also looked at every POLL_MS
 * where some of them may lie on such a file system or have no watch, else every SAFETY_MS.
 */
import { watch as watchPath } from 'node:fs'
import type { FSWatcher } from 'node:fs'
import { basename } from 'node:path'
import { watchTargets } from './watch-targets.ts'
import type { WatchTargets } from './watch-targets.ts'

/** An editor writes a file in several steps. */
const SETTLE_MS = 100
const POLL_MS = 10_000
const SAFETY_MS = 60_000

export interface WatchOptions {
  /** Must not reject. */
  readonly look: () => Promise<void>
  /** Called when changes are found by polling, once per reason. */
  readonly onPolls: (reason: string) => void
  /** How a path is watched; throws like fs.watch. */
  readonly watch?: typeof watchPath
}

/** The first look is at once. Disposing ends the watches; a running look goes on. */
export function watchPaths(paths: readonly string[], options: WatchOptions): Disposable {
  return new PathWatch(paths, options)
}

class PathWatch implements Disposable {
  readonly #paths: readonly string[]
  readonly #options: WatchOptions
  readonly #reasons = new Set<string>()
  #watchers: FSWatcher[] = []
  #timer: NodeJS.Timeout | undefined
  /** A look is due within SETTLE_MS. */
  #settling = false
  #looking = false
  /** Something changed during the look. */
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
    const targets = await watchTargets(this.#paths)
    if (this.#closed) return
    const reason = this.#watch(targets)
    if (reason !== undefined && !this.#reasons.has(reason)) {
      this.#reasons.add(reason)
      this.#options.onPolls(reason)
    }
    await this.#options.look()
    this.#looking = false
    if (this.#closed) return
    if (this.#again) this.#schedule(SETTLE_MS)
    else this.#schedule(reason === undefined ? SAFETY_MS : POLL_MS)
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
          // With its own name it tells of itself: it was moved or deleted.
          if (only === undefined || name === null || only.has(name) || name === basename(path)) this.#changed()
        })
        this.#watchers.push(watcher)
        watcher.on('error', () => this.#changed())
      } catch (error) {
        reason ??= refusal(path, error)
      }
    }
    // Only now: the kernel keeps what both watch.
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

/** Not by path: with many files it would be many reasons. */
function refusal(path: string, error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code === 'ENOSPC') return 'this user has no inotify watches left (sysctl fs.inotify.max_user_watches)'
  if (code === 'EMFILE') return 'no inotify instance or descriptor is left (sysctl fs.inotify.max_user_instances)'
  return `${path} cannot be watched: ${error instanceof Error ? error.message : String(error)}`
}
