/**
 * Calls `look` when something below the paths may have changed: after inotify events, and once a second in any case, because some file
 * systems send no events (network mounts, virtiofs) and Kubernetes swaps a symlink.
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
  const watchers = paths.flatMap((path): FSWatcher[] => {
    try {
      const watcher = watchPath(path, soon)
      watcher.on('error', () => watcher.close())
      return [watcher]
    } catch {
      return [] // the poll below covers it
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
