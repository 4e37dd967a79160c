/** A broker in this process for kafkajs: it supports five old requests, and a test decides about each. */
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { Server, Socket } from 'node:net'

export const PRODUCE = 0
export const METADATA = 3
const HANDSHAKE = 17
const API_VERSIONS = 18
export const AUTHENTICATE = 36

/** The one supported version of each. */
const VERSIONS = [
  [PRODUCE, 3],
  [METADATA, 1],
  [HANDSHAKE, 1],
  [API_VERSIONS, 0],
  [AUTHENTICATE, 0],
] as const

/** The result of a request: an answer, none at all, its first bytes and a reset, or bytes that are not Kafka. */
export type Deed = 'answer' | 'silence' | 'half' | 'reset' | 'garbage'

export class FakeBroker implements AsyncDisposable {
  /** Error of each topic, 0 for none. */
  readonly topics: Record<string, number> = { events: 0 }
  readonly requests: number[] = []
  connections = 0
  deed: (apiKey: number) => Deed = () => 'answer'
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #host: string

  private constructor(host: string) {
    this.#host = host
    this.#server = createServer((socket) => this.#serve(socket))
  }

  static async start(host = '127.0.0.1', port = 0): Promise<FakeBroker> {
    const broker = new FakeBroker(host)
    broker.#server.listen(port, host)
    await once(broker.#server, 'listening')
    return broker
  }

  get port(): number {
    const address = this.#server.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  }

  get address(): string {
    return `${this.#host.includes(':') ? `[${this.#host}]` : this.#host}:${this.port}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #serve(socket: Socket): void {
    this.connections++
    this.#sockets.add(socket)
    socket.on('error', () => undefined)
    socket.once('close', () => this.#sockets.delete(socket))
    let read = Buffer.alloc(0)
    socket.on('data', (chunk) => {
      read = Buffer.concat([read, chunk])
      while (read.length >= 4 && read.length >= 4 + read.readInt32BE(0)) {
        const end = 4 + read.readInt32BE(0)
        this.#answer(socket, read.subarray(4, end))
        read = read.subarray(end)
      }
    })
  }

  #answer(socket: Socket, request: Buffer): void {
    const apiKey = request.readInt16BE(0)
    this.requests.push(apiKey)
    const deed = this.deed(apiKey)
    // Before any of it is read: a request without an answer may come from any client.
    if (deed === 'silence') return
    const body = Buffer.concat([request.subarray(4, 8), this.#bodyOf(apiKey, request)])
    const answer = Buffer.concat([int32(body.length), body])
    switch (deed) {
      case 'answer':
        return void socket.write(answer)
      case 'half':
        return void socket.write(answer.subarray(0, 7), () => socket.resetAndDestroy())
      case 'reset':
        return void socket.resetAndDestroy()
      case 'garbage':
        return void socket.write(int32(-1))
    }
  }

  #bodyOf(apiKey: number, request: Buffer): Buffer {
    // After the name of the client.
    const rest = request.subarray(10 + request.readInt16BE(8))
    switch (apiKey) {
      case API_VERSIONS:
        return Buffer.concat([
          int16(0),
          int32(VERSIONS.length),
          ...VERSIONS.flatMap(([key, version]) => [int16(key), int16(version), int16(version)]),
        ])
      case METADATA: {
        const topics = namesIn(rest).map((name) => this.#topic(name))
        const self = [int32(1), int32(1), text(this.#host), int32(this.port), int16(-1), int32(1)]
        return Buffer.concat([...self, int32(topics.length), ...topics])
      }
      case PRODUCE: {
        // Transactional id, acks and time-out, and how many topics; then the name of the only one.
        const name = rest.subarray(14, 14 + rest.readInt16BE(12)).toString()
        const one = [int32(1), text(name), int32(1), int32(0), int16(0), Buffer.alloc(16)]
        return Buffer.concat([...one, int32(0)])
      }
      case HANDSHAKE:
        return Buffer.concat([int16(0), int32(1), text('PLAIN')])
      default:
        return Buffer.concat([int16(58), text('wrong password'), int32(0)])
    }
  }

  #topic(name: string): Buffer {
    const error = this.topics[name] ?? 3
    const partition = [int16(0), int32(0), int32(1), int32(1), int32(1), int32(1), int32(1)]
    const head = [int16(error), text(name), Buffer.from([0])]
    return Buffer.concat(error === 0 ? [...head, int32(1), ...partition] : [...head, int32(0)])
  }
}

function namesIn(list: Buffer): string[] {
  const names: string[] = []
  let at = 4
  for (let i = 0; i < list.readInt32BE(0); i++) {
    const end = at + 2 + list.readInt16BE(at)
    names.push(list.subarray(at + 2, end).toString())
    at = end
  }
  return names
}

function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeInt16BE(value)
  return bytes
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

function text(value: string): Buffer {
  return Buffer.concat([int16(value.length), Buffer.from(value)])
}
