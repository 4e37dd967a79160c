/**
 * A small HTTP server for the agent's pages: answers one GET or HEAD per connection, then closes it.
 *
 * Clients may be hostile. Node's own server handles all requests of one read, up to 3,600, before anything else gets its turn, and keeps
 * 44 kB for a connection that has sent nothing. This server never reads past the first request, and libuv accepts one connection per turn of
 * the event loop, so the ring is read between any two answers.
 */
import { STATUS_CODES } from 'node:http'
import { createServer } from 'node:net'
import type { Socket } from 'node:net'
import type { Address } from '../../config/yaml/addresses.ts'
import { listenAt } from '../host/listen.ts'
import { HEAD_BYTES, parseHead } from './http-head.ts'
import type { Head } from './http-head.ts'

export interface Answer {
  readonly status: number
  readonly type?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body: string | Buffer
}

/** `authorization` is what the client sent in the header of that name. */
export type Page = (authorization: string | undefined) => Answer | Promise<Answer>
export type Pages = Readonly<Record<string, Page>>

export interface Bounds {
  /** Open connections. A new one displaces the oldest, so that idle connections lock no client out. */
  readonly connections: number
  /** From the start of a connection until the client has received its answer. */
  readonly lifeMs: number
}

const BOUNDS: Bounds = { connections: 64, lifeMs: 10_000 }

export interface PageServer extends AsyncDisposable {
  /** The listening address, in the config's notation. */
  readonly address: string
}

/**
 * Listens and answers until disposed; disposing waits for no client. Throws CollectorError LISTEN_FAILED with the address.
 * `warn` is called for the first connection that could not be accepted.
 */
export async function serve(
  address: Address,
  pages: Pages,
  warn: (message: string) => void,
  bounds: Bounds = BOUNDS,
): Promise<PageServer> {
  // Oldest first.
  const open = new Set<Socket>()
  const server = createServer((socket) => {
    for (const oldest of open.values().take(open.size < bounds.connections ? 0 : 1)) {
      open.delete(oldest)
      oldest.destroy()
    }
    open.add(socket)
    const life = setTimeout(() => socket.destroy(), bounds.lifeMs)
    socket.on('close', () => {
      clearTimeout(life)
      open.delete(socket)
    })
    socket.on('error', () => {}) // 'close' follows
    readHead(socket, (head) => void respond(socket, head, pages))
  })
  const where = await listenAt(server, address, 'server.http')
  let warned = false
  server.on('error', ({ message }) => {
    if (!warned) warn(`${where} could not accept a connection (further failures are not logged): ${message}`)
    warned = true
  })
  return {
    address: where,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of open) socket.destroy()
      }),
  }
}

/** Passes the head of the first request, or the answer to an invalid one, to `done`. Reads nothing afterwards. */
function readHead(socket: Socket, done: (head: Head | Answer) => void): void {
  let text = ''
  const take = (bytes: Buffer): void => {
    text += bytes.toString('latin1', 0, HEAD_BYTES + 1 - text.length)
    const head = parseHead(text)
    if (head === undefined) return
    socket.off('data', take).pause()
    done(head)
  }
  socket.on('data', take)
}

async function respond(socket: Socket, head: Head | Answer, pages: Pages): Promise<void> {
  const {
    status,
    type = 'text/plain; charset=utf-8',
    headers,
    body,
  } = 'status' in head ? head : await answerTo(head, pages)
  if (socket.destroyed) return
  const bytes = typeof body === 'string' ? Buffer.from(body) : body
  const fields = {
    'Content-Type': type,
    'Content-Length': bytes.length,
    Date: new Date().toUTCString(),
    Connection: 'close',
    ...headers,
  }
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.cork() // one system call for both
  socket.write(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${lines.join('')}\r\n`)
  if (!('method' in head && head.method === 'HEAD')) socket.write(bytes)
  socket.destroySoon()
}

async function answerTo({ method, path, authorization }: Head, pages: Pages): Promise<Answer> {
  if (method !== 'GET' && method !== 'HEAD') {
    return { status: 405, headers: { Allow: 'GET, HEAD' }, body: `expected GET, got ${method}\n` }
  }
  const page = Object.hasOwn(pages, path) ? pages[path] : undefined
  if (page === undefined) return { status: 404, body: `no such page; there are ${Object.keys(pages).join(', ')}\n` }
  try {
    return await page(authorization)
  } catch (error) {
    return { status: 500, body: `${error instanceof Error ? error.message : error}\n` }
  }
}
