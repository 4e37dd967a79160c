import { checkOutcome } from '../contract/outcome.ts'
import type { Batch, Encoding, Exporter, Outcome } from '../contract/exporter.ts'
import type { PackageExporter } from '../sinks/npm/api.ts'

/** An exporter that records violations of the contract, which a sender would hide. */
export class WatchedExporter implements Exporter {
  readonly type: string
  readonly encoding: Encoding
  readonly maxConcurrency: number
  /** Sentences; empty after a successful test. */
  readonly broken: string[] = []
  readonly #inner: PackageExporter
  #inSend = 0

  constructor(inner: PackageExporter) {
    this.type = inner.type
    this.encoding = inner.encoding
    this.maxConcurrency = inner.maxConcurrency ?? 1
    this.#inner = inner
  }

  get counters(): Readonly<Record<string, number>> {
    return this.#inner.counters ?? {}
  }

  start(): Promise<void> {
    return this.#inner.start()
  }

  async send(batch: Batch, signal: AbortSignal): Promise<Outcome> {
    if (++this.#inSend > this.maxConcurrency) this.broken.push(`${this.#inSend} calls of send at once`)
    try {
      const outcome = await this.#inner.send(batch, signal)
      const problem = checkOutcome(batch, outcome)
      if (problem !== undefined) this.broken.push(`send of ${batch.count} events: ${problem}`)
      return outcome
    } catch (error) {
      this.broken.push(`send threw instead of returning an outcome: ${String(error)}`)
      throw error
    } finally {
      this.#inSend--
    }
  }

  stop(): Promise<void> {
    return this.#inner.stop()
  }

  /** Like `await using`; exporters without this method are stopped, as the agent does. */
  async [Symbol.asyncDispose](): Promise<void> {
    await (this.#inner[Symbol.asyncDispose]?.() ?? this.#inner.stop())
  }
}
