/**
 * The event pipeline: pulls events from ingest through enrichment into delivery, and publishes records about the agent in between.
 *
 *   ring ─▶ ingest ─▶ enrichment ─▶ delivery
 *
 * Publishing waits for an exporter that blocks, and so the ring fills.
 */
import type { ChangeEvent, LossEvent, RunEvent } from '../exporters/contract/event.ts'
import { systemClock } from '../config/base/time/clock.ts'
import { waitAtMost } from '../config/base/time/deadline.ts'
import type { Clock } from '../config/base/time/clock.ts'
import type { Delivery } from './delivery/delivery.ts'
import type { Enrichment } from './enrich/enrichment.ts'
import type { Ingest } from './ingest/ingest.ts'
import type { ChangeRecords } from './delivery/change-records.ts'
import type { Log } from './host/log.ts'
import type { LossRecords } from './telemetry/loss-records.ts'
import type { NamespaceCounts } from './telemetry/metrics/namespaces.ts'
import type { RunRecords } from './telemetry/run-records.ts'

export interface LineParts {
  readonly ingest: Pick<Ingest, 'bytesRead' | 'endWaiting' | 'events' | 'lastNs' | 'now' | 'reading' | 'wake'>
  readonly enrichment: Enrichment
  readonly delivery: Pick<Delivery, 'publish' | 'fanout'>
  readonly lossRecords: LossRecords
  readonly runRecords: RunRecords
  readonly changes: Pick<ChangeRecords, 'due' | 'take'>
  readonly namespaces: Pick<NamespaceCounts, 'add'> | undefined
  /** Called for all that comes from the ring. */
  readonly working: () => void
  readonly log: Pick<Log, 'error'>
}

export class Line {
  /** Rejects when events can no longer be read or delivered. */
  readonly failed: Promise<never>
  readonly #parts: LineParts
  /** Time for delivering held events when the agent stops; a reload sets another. */
  graceMs: number
  readonly #fail: (error: unknown) => void
  readonly #stopping = new AbortController()
  readonly #clock: Clock
  /** Never rejects. */
  #ended: Promise<void> = Promise.resolve()
  #runEnd: { readonly untilNs: bigint; readonly next: () => void; readonly done: () => void; due: boolean } | undefined

  constructor(parts: LineParts, graceMs: number, clock: Clock = systemClock) {
    this.#clock = clock
    this.#parts = parts
    this.graceMs = graceMs
    const { promise, reject } = Promise.withResolvers<never>()
    promise.catch(() => {}) // without a listener the rejection would end the process
    this.failed = promise
    this.#fail = reject
  }

  start(): void {
    this.#ended = this.#run().catch((error: unknown) => {
      this.#parts.log.error({ error: String(error) }, 'reading the ring failed')
      this.#fail(error)
    })
  }

  /** Housekeeping, every few seconds. */
  tick(): void {
    const failure = this.#parts.delivery.fanout.failure()
    if (failure !== undefined) this.#fail(failure)
  }

  /**
   * Reads the ring to its end, for at most `ms`, and passes on the events that wait for enrichment. A blocking exporter can delay this: call it
   * again when that exporter has been stopped.
   */
  async stop(ms: number): Promise<void> {
    const { ingest, enrichment } = this.#parts
    ingest.reading.ended = true
    enrichment.end()
    this.#stopping.abort()
    await waitAtMost(this.#ended, ms, this.#clock)
  }

  /**
   * Ends the run in the stream, when all records until a boot time have been read and published: publishes its last records and calls `next`. Reading
   * goes on.
   */
  endRun(untilNs: bigint, next: () => void): Promise<void> {
    return new Promise((done) => {
      this.#runEnd = { untilNs, next, done, due: false }
      this.#parts.ingest.wake()
    })
  }

  /** Called when the ring is empty. */
  #wantsTurn(): boolean {
    const { enrichment, lossRecords, runRecords, changes } = this.#parts
    if (this.#runEnd !== undefined) this.#runEnd.due = true
    return this.#runEnd?.due === true || lossRecords.pending || runRecords.due || changes.due || enrichment.due
  }

  async #run(): Promise<void> {
    const { ingest, enrichment, delivery, runRecords, changes, namespaces, working } = this.#parts
    const wantsTurn = (): boolean => this.#wantsTurn()
    // Events that wait for enrichment come free without a wakeup of the ring.
    const polls = (): boolean => enrichment.waits
    let { bytesRead } = ingest
    await this.#publishRun('start')
    for await (const events of ingest.events(this.#stopping.signal, wantsTurn, polls)) {
      // A heartbeat of an idle agent is no work.
      if (ingest.bytesRead !== bytesRead) working()
      bytesRead = ingest.bytesRead
      const passed = enrichment.pass(events)
      namespaces?.add(passed)
      await delivery.publish(passed)
      if (changes.due) await this.#publishChanges(changes.take())
      await this.#publishLosses()
      if (runRecords.due) await this.#publishRun('heartbeat')
      const end = this.#runEnd
      if (end === undefined || !(end.due || ingest.lastNs >= end.untilNs)) continue
      this.#runEnd = undefined
      enrichment.end()
      await delivery.publish(enrichment.pass(ingest.endWaiting()))
      enrichment.end(this.#stopping.signal.aborted)
      await this.#publishLast()
      end.next()
      end.done()
    }
    // Flush first, so that the last loss records include events that a sink still refuses.
    await delivery.fanout.flush(this.graceMs / 2)
    await this.#publishLast()
  }

  /** The last records of a run. */
  async #publishLast(): Promise<void> {
    const { changes, lossRecords } = this.#parts
    await this.#publishChanges(changes.take(true))
    lossRecords.finish()
    await this.#publishLosses()
    await this.#publishRun('stop')
  }

  #publishRun(phase: RunEvent['phase']): Promise<void> | undefined {
    const { ingest, delivery, lossRecords, runRecords } = this.#parts
    const record = runRecords.make(phase, ingest.now(), this.#clock.nowMs())
    return record && lossRecords.offer(() => delivery.publish([record]))
  }

  #publishChanges(records: readonly ChangeEvent[]): Promise<void> | undefined {
    const { delivery, lossRecords } = this.#parts
    return lossRecords.offer(() => delivery.publish(records))
  }

  #publishLosses(): Promise<void> | undefined {
    const { ingest, delivery, lossRecords } = this.#parts
    return lossRecords.publish((drafts) => {
      const time = ingest.now()
      return delivery.publish(drafts.map((draft): LossEvent => ({ type: 'events_lost', seq: 0, time, ...draft })))
    })
  }
}
