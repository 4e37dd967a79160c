/** The OTLP sinks of the soak: one that is always up, and one that is down half of the time. */
import { FakeSink, OK } from '../support/otlp/server.ts'
import type { Answer, Received } from '../support/otlp/server.ts'
import type { Account } from './account.ts'

/** A sink that accounts for the numbers in `event.uid`, which is `<epoch>-<number>`. */
export class CountingSink implements AsyncDisposable {
  /** Requests that it could not read. */
  readonly failures: unknown[] = []
  readonly #account: Account
  readonly #prefix: Buffer
  #sink: FakeSink | undefined
  #port = 0
  /** Its answer instead of accepting the request. */
  refusal: Answer | undefined

  constructor(epoch: string, account: Account) {
    this.#account = account
    this.#prefix = Buffer.from(`${epoch}-`)
  }

  /** Listens, always on the same port. */
  async up(): Promise<void> {
    if (this.#sink !== undefined) return
    this.#sink = await FakeSink.start((request) => this.#answer(request), undefined, this.#port)
    this.#port = this.#sink.port
  }

  /** Connections are reset, then refused. */
  async down(): Promise<void> {
    const sink = this.#sink
    this.#sink = undefined
    await sink?.[Symbol.asyncDispose]()
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/v1/logs`
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.down()
  }

  #answer({ body }: Received): Answer {
    // No longer needed, and large.
    if (this.#sink !== undefined) this.#sink.requests.length = 0
    if (this.refusal !== undefined) return this.refusal
    for (let at = body.indexOf(this.#prefix); at >= 0; at = body.indexOf(this.#prefix, at + 1)) {
      // One byte before it gives the length of the text; a digit that follows may be the tag of the next field.
      const text = body.toString('latin1', at + this.#prefix.length, at + (body[at - 1] ?? 0))
      if (!/^\d+$/.test(text)) this.failures.push(new Error(`expected a number after the epoch, got "${text}"`))
      this.#account.take(Number(text))
    }
    return OK
  }
}
