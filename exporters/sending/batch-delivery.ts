/**
 * Sends one batch until every event of it is settled:
 *
 *     sendWithin ─▶ Outcome ─┬▶ delivered, rejected: settled
 *         ▲                  └▶ retryable, hold: wait and retry
 *         └──────────────────────┘
 */
import { ExportError } from '../contract/errors.ts'
import type { Batch, Exporter, Outcome, Refusal } from '../contract/exporter.ts'
import type { MemoryBuffer } from '../buffer/memory-buffer.ts'
import type { Counters } from '../buffer/counters.ts'
import type { Signal, Clock, Random } from '../../config/base/time/clock.ts'
import type { ConcurrencyLimit } from './concurrency.ts'
import { spanOf, spanOfSome } from '../contract/encoded.ts'
import type { Span } from '../contract/encoded.ts'
import type { InFlightBatch, Sum, Failure } from '../buffer/in-flight-batch.ts'
import type { Meters } from './meters.ts'
import type { ChainConfig } from './config.ts'
import { holdDelayMs, retryDelayMs } from './retry.ts'
import { sendWithin } from '../runtime/timeout.ts'

/** Stores events that a sink permanently refused. */
export interface DeadLetterRecords {
  /** Throws ExportError if it can never work. */
  start(): Promise<void>
  /** Reopens the file after log rotation. */
  reopen(): Promise<void>
  /**
   * Writes the refused events and returns for each refusal how many of its last events were not written. Never rejects; settles
   * within a limited time, and soon after `signal` aborts. Reads the batch's bytes until then.
   */
  write(batch: Batch, refusals: readonly Refusal[], signal: AbortSignal): Promise<readonly number[]>
  /** Current values by name. */
  readonly counters: Readonly<Record<string, number>>
  /** Finishes writing and closes. */
  close(): Promise<void>
}

export interface BatchDeliveryDeps {
  readonly exporter: Exporter
  readonly config: Pick<ChainConfig, 'retry' | 'timeout'>
  readonly clock: Clock
  readonly random: Random
  readonly accounting: Counters
  readonly meters: Meters
  readonly limit: ConcurrencyLimit
  readonly deadLetters: DeadLetterRecords | undefined
  /** Ends waits for a retry. */
  readonly nudge: Signal
  /** Aborts when no time is left. */
  readonly deadline: AbortSignal
  /** No further try: another delivery sends the rest. */
  readonly halted: () => boolean
  readonly stopping: () => boolean
  readonly buffer: Pick<MemoryBuffer, 'keeps' | 'ack'>
  /** Events are settled. */
  readonly onSettled: () => void
  /** The failure of a batch has changed. */
  readonly onFailure: () => void
}

/** `afterMs: 0` is only accepted after progress; otherwise it would loop without a pause. */
function pauseOf({ afterMs, taken = 0 }: Extract<Outcome, { status: 'retryable' }>): number | undefined {
  return afterMs === undefined || (afterMs <= 0 && taken <= 0) ? undefined : afterMs
}

/** A batch's refusals, and how many events of each are missing in the dead-letter file. */
interface Refused {
  readonly refusals: readonly Refusal[]
  readonly unrecorded: readonly number[]
}

interface Try {
  /** Number of the try in this delivery, from 1, since a part of the batch was taken. */
  readonly attempt: number
  /** The batch was sent before, perhaps by an earlier delivery. */
  readonly again: boolean
}

function refusalsOf(outcome: Outcome, { count }: Batch): readonly Refusal[] {
  if (outcome.status === 'partial' || outcome.status === 'retryable') return outcome.refusals ?? []
  if (outcome.status !== 'rejected' || count === 0) return []
  const which = Array.from({ length: count }, (_, i) => i)
  return [{ reason: outcome.reason, events: count, which, message: outcome.error.message }]
}

export class BatchDelivery {
  readonly #deps: BatchDeliveryDeps

  constructor(deps: BatchDeliveryDeps) {
    this.#deps = deps
  }

  /** Returns when the batch is settled, halted or the deadline is over; the caller then handles the rest. */
  async run(inFlightBatch: InFlightBatch): Promise<void> {
    await this.#run(inFlightBatch)
    this.#settleLast(inFlightBatch)
  }

  async #run(inFlightBatch: InFlightBatch): Promise<void> {
    const { accounting, deadLetters, deadline, nudge, config, clock, meters, buffer } = this.#deps
    const over = (): boolean => inFlightBatch.count === 0 || deadline.aborted || this.#deps.halted()
    /** Tries without progress. */
    let attempt = 0
    for (;;) {
      const { max_age } = config.retry
      if (max_age !== undefined) this.#expire(inFlightBatch, clock.nowMs() - max_age)
      if (over()) return
      const again = inFlightBatch.sent
      if (again) {
        accounting.retry()
        meters.duplicatesPossible += Math.min(inFlightBatch.unacknowledged, inFlightBatch.count)
      }
      const batch = inFlightBatch.batch()
      const { problem } = inFlightBatch
      const outcome: Outcome =
        problem === undefined
          ? await this.#send(inFlightBatch, batch)
          : { status: 'hold', error: new ExportError('UNUSABLE', problem) }
      const refusals = refusalsOf(outcome, batch)
      const unrecorded =
        refusals.length === 0 || deadLetters === undefined ? [] : await deadLetters.write(batch, refusals, deadline)
      // The batch is kept; the next delivery or the next run sends it again.
      const keeps = this.#deps.halted() || (deadline.aborted && buffer.keeps)
      if (keeps && unrecorded.some((events) => events > 0)) return
      attempt = outcome.status === 'retryable' && (outcome.taken ?? 0) > 0 ? 1 : attempt + 1
      const waitMs = this.#apply(inFlightBatch, batch, outcome, { refusals, unrecorded }, { attempt, again })
      if (over()) return
      // While stopping, waits only shortly, so that the grace period allows another try.
      meters.retryWaitMs = this.#deps.stopping() ? Math.min(waitMs, config.retry.initial) : waitMs
      await nudge.wait(meters.retryWaitMs)
      meters.retryWaitMs = 0
    }
  }

  async #send(inFlightBatch: InFlightBatch, batch: Batch): Promise<Outcome> {
    const { exporter, config, deadline, clock, meters, limit } = this.#deps
    const startMs = clock.nowMs()
    /** Counts each call once; a call that does not end is counted as a timeout while it runs. */
    let counted = false
    const count = (outcome: Outcome): void => {
      if (counted) return
      counted = true
      const nowMs = clock.nowMs()
      meters.answered(outcome, nowMs - startMs)
      limit.answered(nowMs - startMs, outcome.status === 'retryable' || outcome.status === 'hold', nowMs)
    }
    const onUnresponsive = (error: Error): void => {
      count({ status: 'retryable', error })
      this.#note(inFlightBatch, 'retrying', error.message)
    }
    limit.started(meters.inFlight)
    meters.inFlight++
    inFlightBatch.sent = true
    const outcome = await sendWithin(exporter, batch, {
      timeoutMs: config.timeout,
      stop: deadline,
      clock,
      onUnresponsive,
    })
    meters.inFlight--
    count(outcome)
    return outcome
  }

  /** Counts the outcome and frees space in the buffer; returns how long to wait if events are left. */
  #apply(
    inFlightBatch: InFlightBatch,
    batch: Batch,
    outcome: Outcome,
    refused: Refused,
    { attempt, again }: Try,
  ): number {
    const { exporter, config, random } = this.#deps
    switch (outcome.status) {
      case 'delivered':
        this.#settle(inFlightBatch, batch, inFlightBatch.count, refused)
        this.#note(inFlightBatch, 'none', '')
        // After a retry the bytes may still be read by an earlier call that timed out.
        if (!again && exporter.releases === true) for (const { memory } of batch.parts) memory?.done()
        return 0
      case 'partial':
      case 'rejected':
        this.#settle(inFlightBatch, batch, inFlightBatch.count, refused)
        this.#note(inFlightBatch, 'none', refused.refusals[0]?.message ?? '')
        return 0
      case 'retryable':
        this.#settle(inFlightBatch, batch, outcome.taken ?? 0, refused)
        inFlightBatch.unacknowledged = outcome.unacknowledged ?? inFlightBatch.count
        inFlightBatch.acknowledged = (outcome.acknowledged ?? []).map((index) => index - (outcome.taken ?? 0))
        // First: #note copies the batch to the disk.
        this.#settleLast(inFlightBatch)
        this.#note(inFlightBatch, 'retrying', outcome.error.message)
        return retryDelayMs(attempt, config.retry, random, pauseOf(outcome))
      case 'hold':
        inFlightBatch.unacknowledged = 0
        inFlightBatch.acknowledged = outcome.acknowledged ?? []
        outcome.repaired?.then(
          () => this.#deps.nudge.notify(),
          () => undefined,
        )
        this.#note(inFlightBatch, outcome.forGood === true ? 'failed' : 'hold', outcome.error.message)
        return holdDelayMs(++inFlightBatch.holds, config.retry)
    }
  }

  /** Settles the first `count` events: delivered, except the refusals. */
  #settle(inFlightBatch: InFlightBatch, batch: Batch, count: number, { refusals, unrecorded }: Refused): void {
    if (count <= 0) return
    const { accounting, meters } = this.#deps
    const { held } = inFlightBatch
    const sum = inFlightBatch.takeHead(count)
    let delivered = sum.events
    for (const [i, { reason, events, which }] of refusals.entries()) {
      const refused = Math.min(Math.max(0, events), delivered)
      const lost = Math.min(unrecorded[i] ?? 0, refused)
      const span = (from: number, to?: number): Span | undefined =>
        which === undefined ? spanOf(batch) : spanOfSome(batch, which.slice(from, to))
      if (lost < refused) accounting.reject(reason, refused - lost, span(0, refused - lost))
      if (lost > 0) accounting.drop('dead_letter_failed', lost, span(refused - lost))
      delivered -= refused
    }
    accounting.deliver(delivered, delivered === 0 ? 0 : sum.bytes)
    meters.delivered(held, delivered)
    this.#ack(inFlightBatch, sum)
  }

  /** At the end, settles acknowledged events. Copies on the disk can only be settled in order; the next run sends the others again. */
  #settleLast(inFlightBatch: InFlightBatch): void {
    const { deadline, halted } = this.#deps
    if (deadline.aborted && !halted() && inFlightBatch.memoryOnly) this.#settleAcknowledged(inFlightBatch)
  }

  #settleAcknowledged(inFlightBatch: InFlightBatch, count?: number): void {
    if (inFlightBatch.acknowledged.length === 0) return
    const { held } = inFlightBatch
    const sum = inFlightBatch.takeAcknowledged(count)
    if (sum.events === 0) return
    this.#deps.accounting.deliver(sum.events, sum.bytes)
    this.#deps.meters.delivered(held, sum.events)
    this.#ack(inFlightBatch, sum)
  }

  #expire(inFlightBatch: InFlightBatch, beforeMs: number): void {
    this.#settleAcknowledged(inFlightBatch, inFlightBatch.olderThan(beforeMs))
    const span = spanOf(inFlightBatch.batch())
    const sum = inFlightBatch.takeHead(inFlightBatch.olderThan(beforeMs))
    if (sum.events === 0) return
    this.#deps.accounting.drop('expired', sum.events, span)
    this.#ack(inFlightBatch, sum)
  }

  #ack(inFlightBatch: InFlightBatch, sum: Sum): void {
    this.#deps.buffer.ack(inFlightBatch, sum)
    this.#deps.onSettled()
  }

  /** The batch has this failure now; `error` is '' if nothing was refused either. */
  #note(inFlightBatch: InFlightBatch, failure: Failure, error: string): void {
    this.#deps.accounting.note(error)
    inFlightBatch.failure = failure
    this.#deps.onFailure()
  }
}
