/** The OTLP sinks of the soak: one that is always up, and one that is down half of the time. */
import { FakeSink, OK } from '../support/otlp/server.ts'
import type { Answer, Received } from '../support/otlp/server.ts'
import type { Account } from './account.ts'

/** The key of the attribute with an event's number. */
const UID = Buffer.from('log.record.uid')

/** A sink that accounts for the numbers in `log.record.uid`, which is `<run>-<number>`. */
export class CountingSink implements AsyncDisposable {
  /** Requests that it could not read. */
  readonly failures: unknown[] = []
  readonly #account: Account
  #sink: FakeSink | undefined
  #port = 0
  /** Its answer instead of accepting the request. */
  refusal: Answer | undefined

  constructor(account: Account) {
    this.#account = account
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
    // The data is large and no longer needed.
    if (this.#sink !== undefined) this.#sink.requests.length = 0
    if (this.refusal !== undefined) return this.refusal
    for (let at = body.indexOf(UID); at >= 0; at = body.indexOf(UID, at + 1)) {
      // The key, then AnyValue (tag, length) with a string (tag, length).
      const from = at + UID.length + 4
      const text = body.toString('latin1', from, from + (body[from - 1] ?? 0))
      const number = /^[^-]+-(\d+)$/.exec(text)?.[1]
      if (number === undefined)
        this.failures.push(new Error(`expected a log.record.uid such as RUN-123, got "${text}"`))
      else this.#account.take(Number(number))
    }
    return OK
  }
}
