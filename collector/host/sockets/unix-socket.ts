/** Listening on a Unix socket: at most one program per path; the leftover socket of a killed program is replaced. */
import { once } from 'node:events'
import { lstat, mkdir, unlink } from 'node:fs/promises'
import { connect } from 'node:net'
import type { Server } from 'node:net'
import { dirname } from 'node:path'
import { errnoOf } from '../../../config/base/unreadable.ts'

/** Only the agent's user may connect, because connecting needs write permission. */
const UMASK = 0o177

/** The occupant of a path that is not free. */
export type Holder = 'a program that listens' | 'a file that is not a socket'

/**
 * Makes `server` listen on `path` with mode 0600. Creates a missing folder, and replaces a socket without a listener. Anything else is left alone;
 * the result is the occupant of the path. Rejects with the system's error.
 */
export async function listenOnPath(server: Server, path: string): Promise<Holder | undefined> {
  await mkdir(dirname(path), { recursive: true, mode: 0o755 })
  if (await listens(server, path)) return undefined
  const info = await lstat(path).catch(ignoreMissing)
  if (info !== undefined) {
    if (!info.isSocket()) return 'a file that is not a socket'
    if (await answers(path)) return 'a program that listens'
    await unlink(path).catch(ignoreMissing)
  }
  // If it is taken again, another program was faster.
  return (await listens(server, path)) ? undefined : 'a program that listens'
}

/** False: the path is taken. */
function listens(server: Server, path: string): Promise<boolean> {
  const listening = once(server, 'listening').then(
    () => true,
    (error: unknown) => {
      if (errnoOf(error) === 'EADDRINUSE') return false
      throw error
    },
  )
  // The socket is created during the call, so the mask affects nothing else in this process.
  const before = process.umask(UMASK)
  try {
    server.listen(path)
  } finally {
    process.umask(before)
  }
  return listening
}

/** Whether a program listens on the path. */
export function answers(path: string): Promise<boolean> {
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

function ignoreMissing(error: unknown): undefined {
  if (errnoOf(error) === 'ENOENT') return undefined
  throw error
}
