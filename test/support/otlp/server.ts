/** A scripted sink: an HTTP server that keeps its requests and answers as its script decides. */
import { once } from 'node:events'
import http from 'node:http'
import https from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { Writable } from 'node:stream'
import { inflate, requestFrom } from './decode.ts'
import type { LogsRequest } from './decode.ts'

export interface Received {
  readonly method: string
  readonly path: string
  /** The connection of the request. */
  readonly peer: string
  readonly headers: Readonly<Record<string, string>>
  readonly raw: Buffer
  /** After decompression. */
  readonly body: Buffer
  /** Parsed on demand; throws if it is not OTLP. */
  logs(): LogsRequest
}

export interface Answer {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array | string
  /** `reset` before any answer, `cut` in the middle of the body, `never` answers, `endless` body, `upgrade` to nothing, `100 Continue` for ever. */
  readonly fault?: 'reset' | 'cut' | 'never' | 'endless' | 'upgrade' | 'continue'
}

export type Script = (request: Received, call: number) => Answer | Promise<Answer>

export const OK: Answer = { status: 200 }

export class FakeSink implements AsyncDisposable {
  readonly requests: Received[] = []
  /** Errors that the script threw. */
  readonly failures: unknown[] = []
  /** Connections so far. */
  connections = 0
  script: Script
  readonly #server: http.Server
  readonly #sockets = new Set<Socket>()
  readonly #scheme: string

  constructor(script: Script, tls: https.ServerOptions | undefined) {
    this.script = script
    const handle: http.RequestListener = (request, response) => void this.#handle(request, response)
    this.#server = tls === undefined ? http.createServer(handle) : https.createServer(tls, handle)
    this.#scheme = tls === undefined ? 'http' : 'https'
    this.#server.on(tls === undefined ? 'connection' : 'secureConnection', (socket: Socket) => {
      this.connections++
      this.#sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => this.#sockets.delete(socket))
    })
  }

  static async start(script: Script = () => OK, tls?: https.ServerOptions, port = 0): Promise<FakeSink> {
    const sink = new FakeSink(script, tls)
    sink.#server.listen(port, '127.0.0.1')
    await once(sink.#server, 'listening')
    return sink
  }

  get port(): number {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a TCP server that listens
    return (this.#server.address() as AddressInfo).port
  }

  get url(): string {
    return `${this.#scheme}://127.0.0.1:${this.port}/v1/logs`
  }

  async #handle(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    try {
      for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
    } catch {
      return
    }
    const raw = Buffer.concat(chunks)
    const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)]))
    const encoding = headers['content-encoding'] ?? ''
    const received: Received = {
      method: request.method ?? '',
      path: request.url ?? '',
      peer: String(request.socket.remotePort),
      headers,
      raw,
      body: inflate(raw, encoding),
      logs: () => requestFrom(raw, headers['content-type'] ?? '', encoding),
    }
    this.requests.push(received)
    let answer: Answer
    try {
      answer = await this.script(received, this.requests.length - 1)
    } catch (error) {
      // A script fails if a request is not as expected: the test must see that, and the sender must not hang.
      this.failures.push(error)
      answer = { status: 500, body: String(error) }
    }
    if (answer.fault === 'reset') return void request.socket.resetAndDestroy()
    if (answer.fault === 'never') return
    if (answer.fault === 'continue') return flood(request.socket, CONTINUE)
    if (answer.fault === 'upgrade') return void request.socket.write(UPGRADE)
    response.writeHead(answer.status, { ...answer.headers })
    if (answer.fault === 'cut') {
      response.write('x')
      return void setImmediate(() => request.socket.destroy())
    }
    if (answer.fault === 'endless') return endless(response)
    response.end(answer.body ?? '')
  }

  /** Closes connections that are idle from the side of the sink. */
  dropConnections(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.dropConnections()
    if (!this.#server.listening) return
    this.#server.close()
    await once(this.#server, 'close')
  }
}

const UPGRADE = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'

const CONTINUE = Buffer.from('HTTP/1.1 100 Continue\r\n\r\n'.repeat(1000))

function endless(response: http.ServerResponse): void {
  flood(response, Buffer.alloc(16 << 10, 'x'))
}

/** Writes as fast as the other side reads. */
export function flood(to: Writable, chunk: Buffer): void {
  const more = (): void => {
    while (!to.destroyed && to.write(chunk));
    if (!to.destroyed) to.once('drain', more)
  }
  more()
}

/** google.rpc.Status in protobuf: code 1, message 2. */
export function rpcStatus(message: string): Buffer {
  const text = Buffer.from(message)
  return Buffer.concat([Buffer.of(0x08, 3, 0x12), varint(text.length), text])
}

/** ExportLogsServiceResponse in protobuf with a partial success. */
export function partialSuccess(rejected: number, message: string): Buffer {
  const text = Buffer.from(message)
  const inner = Buffer.concat([Buffer.of(0x08), varint(rejected), Buffer.of(0x12), varint(text.length), text])
  return Buffer.concat([Buffer.of(0x0a), varint(inner.length), inner])
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80)
  return Buffer.of(...bytes, rest)
}
