/**
 * A small HTTP server for the agent's pages: answers one GET or HEAD per connection, then closes it.
 *
 * Clients may be hostile. Node's own server handles all requests of one read, up to 3,600, before anything else gets its turn. It keeps
 * 44 kB for a connection that has sent nothing. This server never reads past the first request, and libuv accepts one connection per turn
 * of the event loop. So the ring is read between any two answers.
 */
import { createServer } from 'node:net'
import type { Socket } from 'node:net'
import { pipeline } from 'node:stream'
import type { Readable } from 'node:stream'
import { http } from '../../config/base/http.ts'
import type { Address } from '../../config/base/addresses.ts'
import { listenAt } from '../host/sockets/listen.ts'
import { HEAD_BYTES, parseHead } from './http-head.ts'
import type { Head } from './http-head.ts'

export interface Answer {
  readonly status: number
  readonly type?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body: string | Buffer
}

/** An answer of no known length: sent until the stream ends or the client is gone, then destroyed. The page bounds how many are open. */
export interface StreamedAnswer extends Omit<Answer, 'body'> {
  readonly stream: Readable
}

export type Page = (request: Head) => Answer | StreamedAnswer | Promise<Answer>
export type Pages = Readonly<Record<string, Page>>

export interface Bounds {
  /** Open connections. A new one displaces the oldest, so that idle connections lock no client out. */
  readonly connections: number
  /** From the start of a connection until the client has received its answer, or the head of a stream. */
  readonly lifeMs: number
  /** A stream ends when nothing could be sent for this time. */
  readonly stallMs: number
}

const BOUNDS: Bounds = { connections: 64, lifeMs: 10_000, stallMs: 60_000 }

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
  // Apart from the others, so that new connections do not displace them.
  const streaming = new Set<Socket>()
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
      streaming.delete(socket)
    })
    socket.on('error', () => {}) // 'close' follows
    readHead(socket, async (head) => {
      const answer = 'status' in head ? head : await answerTo(head, pages)
      const headOnly = 'method' in head && head.method === 'HEAD'
      if (!('stream' in answer)) return sendWhole(socket, answer, headOnly)
      if (socket.destroyed || headOnly) {
        answer.stream.destroy()
        return sendWhole(socket, { ...answer, body: '' }, headOnly)
      }
      clearTimeout(life)
      open.delete(socket)
      streaming.add(socket)
      sendStream(socket, answer, bounds.stallMs)
    })
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
        for (const socket of [...open, ...streaming]) socket.destroy()
      }),
  }
}

/** Passes the head of the first request, or the answer to an invalid one, to `done`. Reads nothing afterwards. */
function readHead(socket: Socket, done: (head: Head | Answer) => Promise<void>): void {
  let text = ''
  const take = (bytes: Buffer): void => {
    text += bytes.toString('latin1', 0, HEAD_BYTES + 1 - text.length)
    const head = parseHead(text)
    if (head === undefined) return
    socket.off('data', take).pause()
    void done(head)
  }
  socket.on('data', take)
}

function sendWhole(socket: Socket, answer: Answer, headOnly: boolean): void {
  if (socket.destroyed) return
  const { body } = answer
  const bytes = typeof body === 'string' ? Buffer.from(body) : body
  socket.cork() // one system call for both
  // A 304 has no body, and the length would be that of the page.
  socket.write(headOf(answer, answer.status === 304 ? {} : { 'Content-Length': bytes.length }))
  if (!headOnly) socket.write(bytes)
  socket.destroySoon()
}

/** The end of the connection is the end of the body. */
function sendStream(socket: Socket, answer: StreamedAnswer, stallMs: number): void {
  socket.write(headOf(answer, {}))
  socket.setTimeout(stallMs, () => socket.destroy())
  // The client has nothing more to send; reading shows when it is gone.
  socket.on('data', () => socket.destroy()).resume()
  socket.on('end', () => socket.destroy())
  pipeline(answer.stream, socket, () => socket.destroy())
}

function headOf({ status, type = 'text/plain; charset=utf-8', headers }: Omit<Answer, 'body'>, length: object): string {
  const fields = {
    'Content-Type': type,
    ...length,
    Date: new Date().toUTCString(),
    Connection: 'close',
    'X-Content-Type-Options': 'nosniff',
    'Cross-Origin-Resource-Policy': 'same-origin',
    ...headers,
  }
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status} ${http.STATUS_CODES[status] ?? ''}\r\n${lines.join('')}\r\n`
}

async function answerTo(request: Head, pages: Pages): Promise<Answer | StreamedAnswer> {
  const { method, path } = request
  if (method !== 'GET' && method !== 'HEAD') {
    return { status: 405, headers: { Allow: 'GET, HEAD' }, body: `expected GET, got ${method}\n` }
  }
  const page = Object.hasOwn(pages, path) ? pages[path] : undefined
  if (page === undefined) return { status: 404, body: `no such page: expected ${Object.keys(pages).join(', ')}\n` }
  try {
    return await page(request)
  } catch (error) {
    return { status: 500, body: `${error instanceof Error ? error.message : error}\n` }
  }
}
