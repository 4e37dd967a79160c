/**
 * Says when something under the policies' places may have changed: by inotify where it works, and once a second in any
 * case, because some file systems tell nothing (network mounts, virtiofs) and Kubernetes swaps a symlink.
 */
import { watch as watchPath } from 'node:fs'
import type { FSWatcher } from 'node:fs'

const POLL_MS = 1000
/** An editor writes a file in several steps. */
const SETTLE_MS = 100

export function watchPaths(paths: readonly string[], look: () => void): Disposable {
  let settling: NodeJS.Timeout | undefined
  const soon = (): void => {
    settling ??= setTimeout(() => {
      settling = undefined
      look()
    }, SETTLE_MS)
  }
  const watchers = paths.flatMap((place): FSWatcher[] => {
    try {
      const watcher = watchPath(place, soon)
      watcher.on('error', () => watcher.close())
      return [watcher]
    } catch {
      return [] // polled below
    }
  })
  const poll = setInterval(look, POLL_MS)
  return {
    [Symbol.dispose]() {
      clearInterval(poll)
      clearTimeout(settling)
      for (const watcher of watchers) watcher.close()
    },
  }
}
