/**
 * The lock of a spool's folder: a listening socket in it, which the kernel releases when the process ends. A lock file with a process
 * id would be wrong after a reboot and in containers, where ids repeat.
 */
import { randomBytes } from 'node:crypto'
import { open, rename, stat, unlink } from 'node:fs/promises'
import { createConnection, createServer } from 'node:net'
import type { Server } from 'node:net'
import { errnoOf } from '../../../contract/errors.ts'

/** A folder's lock, held until released or the process ends. */
export interface Lock {
  release(): Promise<void>
}

/** Takes the lock, or returns the process that has it. Rejects if the folder is unusable. */
export async function lockFolder(folder: string): Promise<Lock | { readonly heldBy: number }> {
  // Socket addresses have at most 108 bytes, so use the path of the folder's descriptor.
  const handle = await open(folder, 'r')
  let held = false
  try {
    const path = `/proc/self/fd/${handle.fd}/lock`
    for (let tries = 0; ; tries++) {
      const server = await listen(path)
      if (server instanceof Error) {
        if (errnoOf(server) !== 'EADDRINUSE') return await lockByName(folder)
        const heldBy = await clearStale(path)
        if (heldBy !== undefined || tries === 10) return { heldBy: heldBy ?? 0 }
        continue
      }
      held = true
      // Keep the descriptor open: closing the server removes the socket through this path.
      return { release: () => close(server).then(() => handle.close()) }
    }
  } finally {
    if (!held) await handle.close()
  }
}

/** For messages. */
export function holderText({ heldBy }: { readonly heldBy: number }): string {
  return heldBy > 0 ? `process ${heldBy}` : 'another process'
}

/** The process that has the lock (0: unknown); undefined if none has. Does not change the lock. */
export async function lockHolder(folder: string): Promise<number | undefined> {
  const handle = await open(folder, 'r')
  try {
    return (await ask(`/proc/self/fd/${handle.fd}/lock`)) ?? (await ask(await nameOf(folder)))
  } finally {
    await handle.close()
  }
}

/** For file systems without sockets: an abstract socket name from the folder's identity. */
async function lockByName(folder: string): Promise<Lock | { readonly heldBy: number }> {
  const path = await nameOf(folder)
  const server = await listen(path)
  if (!(server instanceof Error)) return { release: () => close(server) }
  if (errnoOf(server) !== 'EADDRINUSE') throw server
  return { heldBy: (await ask(path)) ?? 0 }
}

async function nameOf(folder: string): Promise<string> {
  const { dev, ino } = await stat(folder)
  return `\0ktrail-spool-${dev}-${ino}`
}

function listen(path: string): Promise<Server | Error> {
  return new Promise((resolve) => {
    const server = createServer((socket) => {
      socket.on('error', () => socket.destroy())
      socket.end(String(process.pid))
    })
    server.once('error', (error) => resolve(error))
    server.listen(path, () => resolve(server.unref()))
  })
}

/**
 * Removes the socket of a dead process. Renames it and connects again first: of two processes that found it dead, the slower one
 * must not remove the new socket of the faster one. Returns the process if it is alive.
 */
async function clearStale(path: string): Promise<number | undefined> {
  const heldBy = await ask(path)
  if (heldBy !== undefined) return heldBy
  const aside = `${path}.${randomBytes(4).toString('hex')}`
  try {
    await rename(path, aside)
    const alive = await ask(aside)
    await (alive === undefined ? unlink(aside) : rename(aside, path))
    return alive
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
}

/** The process that listens there; undefined if none does. */
function ask(path: string): Promise<number | undefined> {
  return new Promise((resolve) => {
    const socket = createConnection(path)
    // A stopped or busy process does not answer, but still has the lock.
    socket.setTimeout(500, () => socket.destroy())
    // The answer comes whole. Any user can take the abstract name, and send without end.
    socket.once('data', (bytes) => {
      resolve(Number.parseInt(bytes.toString('latin1'), 10) || 0)
      socket.destroy()
    })
    socket.on('error', (error) => resolve(['ECONNREFUSED', 'ENOENT'].includes(errnoOf(error)) ? undefined : 0))
    socket.on('close', () => resolve(0))
  })
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()))
}
