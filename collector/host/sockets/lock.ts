/** One agent per host: a second one would report everything twice, and report the first one's accesses. */
import { mkdir } from 'node:fs/promises'
import { createServer } from 'node:net'
import { dirname } from 'node:path'
import { CollectorError } from '../../errors.ts'
import { listenOnPath } from './unix-socket.ts'

/**
 * In a folder that only root can write to, so that no other user can take the lock; a unit or a container needs this one folder. A socket
 * instead of a pid file: the kernel releases it when its owner ends, also after kill -9.
 */
const PATH = '/run/ktrail/lock'

/** Takes the lock; throws CollectorError ALREADY_RUNNING. */
export async function takeLock(path: string = PATH): Promise<Disposable> {
  const server = createServer((socket) => socket.destroy())
  const taken = mkdir(dirname(path), { recursive: true, mode: 0o755 }).then(() => listenOnPath(server, path))
  const holder = await taken.catch((cause: unknown) => {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw refused(`cannot take the lock ${path} (one agent per host): ${why}`, cause)
  })
  if (holder === 'a program that listens') {
    throw refused(
      'another ktrail agent runs on this host: stop it first (systemctl stop ktrail, or see `pgrep -af ktrail`)',
    )
  }
  if (holder !== undefined) {
    throw refused(`cannot take the lock ${path} (one agent per host): the path is used by ${holder}; remove it`)
  }
  server.unref()
  return { [Symbol.dispose]: () => void server.close() }
}

function refused(message: string, cause?: unknown): CollectorError {
  return new CollectorError('ALREADY_RUNNING', message, { cause })
}
