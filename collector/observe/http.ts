/** The agent on HTTP. Answers GET and HEAD; knows nothing of what it serves. */
import { createServer } from 'node:http'
import type { Server } from 'node:http'
import { CollectorError } from '../errors.ts'

export interface Answer {
  readonly status: number
  readonly type?: string
  readonly body: string
}

export type Pages = Readonly<Record<string, () => Answer | Promise<Answer>>>

/** Listens and answers; throws CollectorError LISTEN_FAILED with the address when it can not. */
export async function serve(address: { host: string; port: number }, pages: Pages): Promise<Server> {
  const server = createServer((request, response) => {
    // Not through URL: that throws on what a stranger may send, such as "//".
    const path = (request.url ?? '/').split('?', 1)[0] ?? '/'
    const page = Object.hasOwn(pages, path) ? pages[path] : undefined
    const end = ({ status, type = 'text/plain; charset=utf-8', body }: Answer): void => {
      response.writeHead(status, { 'Content-Type': type }).end(request.method === 'HEAD' ? undefined : body)
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('Allow', 'GET, HEAD')
      end({ status: 405, body: `expected GET, got ${request.method}\n` })
    } else if (page === undefined) {
      end({ status: 404, body: `no such page; there are ${Object.keys(pages).join(', ')}\n` })
    } else {
      Promise.resolve()
        .then(page)
        .then(end, (error: unknown) =>
          end({ status: 500, body: `${error instanceof Error ? error.message : error}\n` }),
        )
    }
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const at = `${address.host}:${address.port}`
      const why =
        cause.code === 'EADDRINUSE' ? 'another program listens there; set server.http to a free port' : cause.message
      reject(new CollectorError('LISTEN_FAILED', `cannot listen on ${at}: ${why}`, { cause }))
    })
    server.listen(address.port, address.host, resolve)
  })
  return server
}

/** Where it listens. */
export function addressOf(server: Server): string {
  const address = server.address()
  return typeof address === 'object' && address !== null ? `${address.address}:${address.port}` : String(address)
}

/** Waits for nobody who still asks. */
export function closeServer(server: Server): Promise<void> {
  server.closeAllConnections()
  return new Promise((resolve) => server.close(() => resolve()))
}
