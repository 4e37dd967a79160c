/** One agent a host: a second would report everything twice and take the other's accesses for a user's. */
import { rm } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import type { Server } from 'node:net'
import { CollectorError } from '../errors.ts'

/**
 * In a folder that only root writes to, so that nobody else can hold it. A socket and not a file with a pid in it: the
 * kernel knows whether its owner lives, also after kill -9.
 */
const PATH = '/run/ktrail.lock'

/** Takes the lock; throws CollectorError ALREADY_RUNNING. */
export async function takeLock(path: string = PATH): Promise<Disposable> {
  const server = (await listen(path)) ?? (await replaceDead(path))
  server.unref()
  return { [Symbol.dispose]: () => void server.close() }
}

/** undefined: the name is taken, by an agent or by what one that was killed left. */
function listen(path: string): Promise<Server | undefined> {
  const server = createServer((socket) => socket.destroy())
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      if (cause.code === 'EADDRINUSE') resolve(undefined)
      else reject(refused(`cannot take the lock ${path} that keeps a second agent away: ${cause.message}`, cause))
    })
    server.listen(path, () => resolve(server))
  })
}

async function replaceDead(path: string): Promise<Server> {
  const running =
    'another ktrail agent runs on this host: stop it first (systemctl stop ktrail, or see `pgrep -af ktrail`)'
  if (await answers(path)) throw refused(running)
  await rm(path, { force: true })
  const server = await listen(path)
  // Somebody else was faster.
  if (server === undefined) throw refused(running)
  return server
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      resolve(true)
      socket.destroy()
    })
    socket.once('error', (error: NodeJS.ErrnoException) =>
      resolve(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'),
    )
  })
}

function refused(message: string, cause?: Error): CollectorError {
  return new CollectorError('ALREADY_RUNNING', message, { cause })
}
