import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import type { Socket } from 'node:net'
import { AuditedRecords } from '../otlp/audited.ts'
import { seqOf } from '../otlp/decode.ts'
import { FakeSink, OK } from '../otlp/server.ts'
import type { Answer } from '../otlp/server.ts'
import { Ledger } from './ledger.ts'

/** How a sink is down: its answer to every request, or the state of its port. */
export interface Absence {
  readonly answer?: Answer
  readonly port?: 'closed' | 'silent'
}

/** An OTLP sink on a port that stays the same while it is down. */
export class Pulled implements AsyncDisposable {
  readonly ledger: Ledger = new Ledger('pulled', { ordered: true })
  readonly audit: AuditedRecords = new AuditedRecords()
  answer: Answer | undefined
  #server: FakeSink | undefined
  #silence: Silence | undefined
  #port = 0

  static async start(): Promise<Pulled> {
    const pulled = new Pulled()
    await pulled.back()
    return pulled
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/v1/logs`
  }

  async pull({ answer, port }: Absence): Promise<void> {
    this.answer = answer
    if (port === undefined) return
    await this.#server?.[Symbol.asyncDispose]()
    this.#server = undefined
    if (port === 'silent') this.#silence = await Silence.start(this.#port)
  }

  async back(): Promise<void> {
    this.answer = undefined
    await this.#silence?.[Symbol.asyncDispose]()
    this.#silence = undefined
    if (this.#server !== undefined) return
    const server: FakeSink = await FakeSink.start(
      (request) => {
        // The data is large and no longer needed.
        server.requests.length = 0
        if (this.answer !== undefined) return this.answer
        const { records } = request.logs()
        this.ledger.take(0, records.map(seqOf))
        this.audit.add(records)
        return OK
      },
      undefined,
      this.#port,
    )
    this.#port = server.port
    this.#server = server
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#silence?.[Symbol.asyncDispose]()
    // The server first: it would keep a failed test from ending.
    await this.#server?.[Symbol.asyncDispose]()
    assert.deepEqual(this.#server?.failures ?? [], [])
  }
}

/** Accepts connections, reads nothing, sends nothing. */
class Silence implements AsyncDisposable {
  readonly #sockets = new Set<Socket>()
  readonly #server = net.createServer((socket) => {
    this.#sockets.add(socket)
    socket.on('error', () => undefined)
    socket.pause()
  })

  static async start(port: number): Promise<Silence> {
    const silence = new Silence()
    silence.#server.listen(port, '127.0.0.1')
    await once(silence.#server, 'listening')
    return silence
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }
}
