import type { Outcome } from '../contract/exporter.ts'
import type { RequestOutcome, SendStats } from '../contract/accounting.ts'
import { isDescribed } from '../contract/encoded.ts'
import { ExportError } from '../contract/errors.ts'
import type { Clock } from '../../config/base/time/clock.ts'
import { Histogram, LATENCY_SECONDS, REQUEST_SECONDS } from '../runtime/histogram.ts'
import type { QueuedPart } from '../buffer/queue.ts'

const REQUEST_OUTCOMES: Readonly<Record<Exclude<Outcome['status'], 'retryable'>, RequestOutcome>> = {
  delivered: 'ok',
  partial: 'partial',
  rejected: 'permanent',
  hold: 'config',
}

/** A sender's statistics. */
export class Meters implements SendStats {
  readonly requests: Record<RequestOutcome, number> = {
    ok: 0,
    partial: 0,
    retry: 0,
    timeout: 0,
    permanent: 0,
    config: 0,
  }
  duplicatesPossible = 0
  readonly requestSeconds = new Histogram(REQUEST_SECONDS)
  readonly latencySeconds = new Histogram(LATENCY_SECONDS)
  /** Running `send` calls. */
  inFlight = 0
  retryWaitMs = 0
  lastSuccessMs = 0
  readonly #clock: Clock

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** A `send` call has ended after `ms`. */
  answered(outcome: Outcome, ms: number): void {
    this.requests[requestOutcome(outcome)]++
    this.requestSeconds.add(ms / 1000)
  }

  /** The first `count` events of these parts were delivered. Adds one value per part, for its first event. */
  delivered(held: readonly QueuedPart[], count: number): void {
    if (count <= 0) return
    const wallMs = this.#clock.wallMs()
    const nowMs = this.#clock.nowMs()
    this.lastSuccessMs = wallMs
    let left = count
    for (const { part, acceptedMs } of held) {
      if (left <= 0) return
      const events = Math.min(left, part.count)
      const ms = isDescribed(part) ? wallMs - (part.times[0] ?? wallMs) : nowMs - acceptedMs
      this.latencySeconds.add(ms / 1000, events)
      left -= events
    }
  }

  /** A copy, for `Sender.stats`. */
  read(): SendStats {
    return { ...this, requests: { ...this.requests } }
  }
}

function requestOutcome(outcome: Outcome): RequestOutcome {
  if (outcome.status !== 'retryable') return REQUEST_OUTCOMES[outcome.status]
  return outcome.error instanceof ExportError && outcome.error.code === 'TIMEOUT' ? 'timeout' : 'retry'
}
