/** One agent a host: a second would report everything twice and take the other's accesses for a user's. */
import { createServer } from 'node:net'
import { CollectorError } from '../errors.ts'
import { listenOnPath } from './unix-socket.ts'

/**
 * In a folder that only root writes to, so that nobody else can hold it. A socket and not a file with a pid in it: the
 * kernel knows whether its owner lives, also after kill -9.
 */
const PATH = '/run/ktrail.lock'

/** Takes the lock; throws CollectorError ALREADY_RUNNING. */
export async function takeLock(path: string = PATH): Promise<Disposable> {
  const server = createServer((socket) => socket.destroy())
  const holder = await listenOnPath(server, path).catch((cause: unknown) => {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw refused(`cannot take the lock ${path} that keeps a second agent away: ${why}`, cause)
  })
  if (holder === 'a program that listens') {
    throw refused(
      'another ktrail agent runs on this host: stop it first (systemctl stop ktrail, or see `pgrep -af ktrail`)',
    )
  }
  if (holder !== undefined) {
    throw refused(`cannot take the lock ${path} that keeps a second agent away: it is held by ${holder}; remove it`)
  }
  server.unref()
  return { [Symbol.dispose]: () => void server.close() }
}

function refused(message: string, cause?: unknown): CollectorError {
  return new CollectorError('ALREADY_RUNNING', message, { cause })
}
