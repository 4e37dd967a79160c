/** One agent a host: a second would report everything twice and take the other's accesses for a user's. */
import { createServer } from 'node:net'
import { CollectorError } from './errors.ts'

/** An abstract socket name: held by the kernel for this process alone, gone with it however it ends, no file left. */
const NAME = '\0ktrail-agent'

/** Takes the lock; throws CollectorError ALREADY_RUNNING. */
export async function takeLock(): Promise<Disposable> {
  const server = createServer((socket) => socket.destroy())
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const message =
        cause.code === 'EADDRINUSE'
          ? 'another ktrail agent runs on this host: stop it first (systemctl stop ktrail, or see `pgrep -af ktrail`)'
          : `cannot take the lock that keeps a second agent away: ${cause.message}`
      reject(new CollectorError('ALREADY_RUNNING', message, { cause }))
    })
    server.listen(NAME, resolve)
  })
  server.unref()
  return { [Symbol.dispose]: () => void server.close() }
}
