/** A broker that announces 2 GB, floods, or is an HTTP server. */
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { Socket } from 'node:net'
import { flood } from '../../../support/otlp/server.ts'

const GARBAGE = Buffer.alloc(1 << 20, 0x41)
export const TWO_GB: Buffer = Buffer.from('7d000000', 'hex')
export const HTTP: Buffer = Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')
/** An answer to no request, and many of them. */
export const STRAY: Buffer = Buffer.from('0000000400bc614e', 'hex')
export const STRAYS: Buffer = Buffer.concat(Array.from({ length: 8192 }, () => STRAY))

/** A server that sends `head` and then garbage as fast as it can, at once or after the first request. */
export async function hostile(
  head: Buffer | ((request: Buffer) => Buffer),
  at: 'connection' | 'data',
  garbage: Buffer | null = GARBAGE,
): Promise<{ readonly address: string } & AsyncDisposable> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => {}))
    const begin = (request: Buffer): void => {
      socket.write(typeof head === 'function' ? head(request) : head)
      if (garbage !== null) flood(socket, garbage)
    }
    if (at === 'connection') begin(Buffer.alloc(0))
    else socket.once('data', begin)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return {
    address: `127.0.0.1:${typeof address === 'object' ? address?.port : 0}`,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
