/**
 * The lock of a spool's folder: a listening socket in it. The kernel lets go of it when its process ends, however that
 * ends; a lock file with a process id in it would lie after a reboot and in containers, where ids repeat.
 */
import { randomBytes } from 'node:crypto'
import { open, rename, stat, unlink } from 'node:fs/promises'
import { createConnection, createServer } from 'node:net'
import type { Server } from 'node:net'
import { errnoOf } from '../../../contract/errors.ts'

/** A folder's lock, held until released or until the process ends. */
export interface Lock {
  release(): Promise<void>
}

/** Takes the lock or says which process has it. Rejects when the folder cannot be used at all. */
export async function lockFolder(folder: string): Promise<Lock | { readonly heldBy: number }> {
  // Socket addresses are short (108 bytes), folders need not be: go through the descriptor.
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
      // The descriptor stays open as long: closing the server removes the socket by this very path.
      return { release: () => close(server).then(() => handle.close()) }
    }
  } finally {
    if (!held) await handle.close()
  }
}

/** The process that has the lock (0: not known which), without touching it; undefined when none has. */
export async function lockHolder(folder: string): Promise<number | undefined> {
  const handle = await open(folder, 'r')
  try {
    return (await ask(`/proc/self/fd/${handle.fd}/lock`)) ?? (await ask(await nameOf(folder)))
  } finally {
    await handle.close()
  }
}

/** For file systems without sockets: a name in the kernel, made from the folder's identity. */
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
 * Removes the socket of a dead process. It is moved aside first and asked again there: of two processes that found it
 * dead, the slower one must not remove what the faster one has just made. Returns who is alive after all.
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

/** The process that listens there; undefined when none does. */
function ask(path: string): Promise<number | undefined> {
  return new Promise((resolve) => {
    let said = ''
    const socket = createConnection(path)
    // A holder that is stopped or busy does not answer, yet it holds.
    socket.setTimeout(500, () => socket.destroy())
    socket.on('data', (bytes) => (said += bytes.toString('latin1')))
    socket.on('error', (error) => resolve(['ECONNREFUSED', 'ENOENT'].includes(errnoOf(error)) ? undefined : 0))
    socket.on('close', () => resolve(Number.parseInt(said, 10) || 0))
  })
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()))
}
