/** A third-party exporter. Violations of the contract are reported and never reach the accounting. */
import { ExportError, textOf } from '../../contract/errors.ts'
import type { Batch, Encoding, Exporter, Outcome } from '../../contract/exporter.ts'
import { checkOutcome, notSent } from '../../contract/outcome.ts'
import { systemClock } from '../../../config/base/time/clock.ts'
import type { Clock } from '../../../config/base/time/clock.ts'
import type { PackageExporter } from './api.ts'
import { attempt } from './attempt.ts'

/** Valid metric labels. */
const COUNTER = /^[a-z][a-z0-9_]{0,63}$/

export interface GuardDeps {
  readonly clock?: Clock | undefined
  readonly warn: (text: string) => void
}

export class GuardedExporter implements Exporter {
  readonly type: string
  readonly encoding: Encoding
  readonly maxConcurrency: number
  readonly reopen?: () => Promise<void>
  readonly probe?: (signal: AbortSignal) => Promise<string>
  readonly #inner: PackageExporter
  readonly #clock: Clock
  readonly #warn: (text: string) => void
  #open = false
  #stopping: Promise<void> | undefined

  /** `type`, as in the config, names it in messages. */
  constructor(type: string, inner: PackageExporter, deps: GuardDeps) {
    this.type = type
    this.encoding = inner.encoding
    this.maxConcurrency = inner.maxConcurrency ?? 1
    this.#inner = inner
    this.#clock = deps.clock ?? systemClock
    this.#warn = deps.warn
    if (inner.reopen !== undefined) this.reopen = async () => inner.reopen?.()
    if (inner.probe !== undefined) this.probe = async (signal) => String(await inner.probe?.(signal))
  }

  /** Throws ExportError: UNUSABLE with the package's error, TIMEOUT if it takes too long. */
  async start(): Promise<void> {
    await attempt(this.type, 'start', () => this.#inner.start(), this.#clock)
    this.#open = this.#stopping === undefined
  }

  /** An invalid outcome becomes `hold`: the package must be fixed, and no event is lost meanwhile. */
  async send(batch: Batch, signal: AbortSignal): Promise<Outcome> {
    if (!this.#open) return notSent('CLOSED', `${this.type} is not open`)
    const outcome: Outcome = await this.#inner.send(batch, signal)
    const problem = checkOutcome(batch, outcome)
    if (problem === undefined) return unhurried(outcome)
    const message = `${this.type} broke the contract of send: ${problem}; report it to the authors of the package`
    return { status: 'hold', error: new ExportError('CONTRACT', message) }
  }

  /** Never rejects, so that a package cannot keep the agent from ending. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  /** Its counters with valid names and values of at least 0. A decrease reads as a counter reset. */
  get counters(): Readonly<Record<string, number>> {
    try {
      const pairs = Object.entries(this.#inner.counters ?? {})
      return Object.fromEntries(
        pairs.filter(([name, value]) => COUNTER.test(name) && Number.isFinite(value) && value >= 0),
      )
    } catch {
      return {}
    }
  }

  async #stop(): Promise<void> {
    this.#open = false
    try {
      await this.#inner.stop()
    } catch (error) {
      this.#warn(`${this.type}: cannot stop: ${textOf(error)}`)
    }
  }
}

/** `afterMs: 0` would retry without a pause; the sending chain's doubling wait is used instead. */
function unhurried(outcome: Outcome): Outcome {
  if (outcome.status !== 'retryable' || outcome.afterMs !== 0) return outcome
  const { afterMs: _, ...rest } = outcome
  return rest
}
