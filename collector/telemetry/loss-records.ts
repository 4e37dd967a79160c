/**
 * Reports losses as events: reads the counters of the kernel side and the accounting of the exporters and makes loss records for every
 * exporter. At most one record per ten seconds, stage, exporter and reason, because a record per loss would make an overload worse.
 * Form of the records: docs/reference/otlp-records.md. Events that a killed agent held in memory are not reported.
 */
import type { LossEvent, LossKind } from '../../exporters/contract/event.ts'
import type { LostRanges } from '../delivery/lost-ranges.ts'
import type { Log } from '../host/log.ts'
import { ExporterLosses } from './exporter-losses.ts'
import type { LossAccounting } from './exporter-losses.ts'
import type { Losses } from './losses.ts'

const INTERVAL_MS = 10_000

/** A loss record without time and number. */
export type LossDraft = Omit<LossEvent, 'type' | 'seq' | 'time'>

interface Lossy {
  readonly name: string
  accounting(): LossAccounting
}

export interface LossRecordOptions {
  /** Losses between hooks and events. */
  readonly losses: Pick<Losses, 'list' | 'report'>
  /** The present exporters. */
  readonly exporters: readonly Lossy[]
  /** Number ranges of the events that exporters lost. */
  readonly ranges: LostRanges
  readonly log: Log
}

const NO_RANGE = { firstSeq: undefined, lastSeq: undefined, numbers: undefined }

export class LossRecords {
  readonly #options: LossRecordOptions
  /** By object and not by name: a removed exporter and a later one of its name have each their own counters. */
  readonly #exporters = new Map<Lossy, ExporterLosses>()
  readonly #kernel = new Map<string, number>()
  #pending: LossDraft[] = []
  /** Published records. */
  published = 0
  #closedMs: number

  /** `nowMs`: start of the first interval, monotonic. */
  constructor(options: LossRecordOptions, nowMs: number) {
    this.#options = options
    this.#closedMs = nowMs
  }

  get losses(): LossRecordOptions['losses'] {
    return this.#options.losses
  }

  /** Whether loss records wait to be published. */
  get pending(): boolean {
    return this.#pending.length > 0
  }

  /** Logs new losses, and makes records of them when the interval is over. Call it every few seconds. */
  look(nowMs: number): void {
    this.#options.losses.report()
    this.#readExporters()
    if (nowMs - this.#closedMs < INTERVAL_MS) return
    this.#closedMs = nowMs
    this.#close(false)
  }

  /** The next check makes records, although the interval is not over. */
  hurry(): void {
    this.#closedMs = -Infinity
  }

  /** At the stop: makes records of all unreported losses, also before the interval is over. */
  finish(): void {
    this.#readExporters()
    this.#close(true)
  }

  /**
   * Passes the pending records to `give`, which must offer them, and nothing else, to the exporters before it returns.
   * Returns the result of `give`; undefined when nothing is pending.
   */
  publish(give: (drafts: readonly LossDraft[]) => Promise<void> | undefined): Promise<void> | undefined {
    if (this.#pending.length === 0) return undefined
    const drafts = this.#pending
    this.#pending = []
    this.published += drafts.length
    return this.offer(() => give(drafts))
  }

  /**
   * Calls `give`, which must offer records about the agent, and nothing else, to the exporters before it returns. Their own loss causes no
   * record.
   */
  offer(give: () => Promise<void> | undefined): Promise<void> | undefined {
    const { exporters } = this.#options
    const before = exporters.map((exporter) => exporter.accounting().accepted)
    const wait = give()
    for (const [i, exporter] of exporters.entries()) {
      const { accepted } = exporter.accounting()
      // A filter may keep some of the loss records out.
      this.#exporterOf(exporter).offered(accepted - (before[i] ?? accepted), accepted)
    }
    return wait
  }

  #readExporters(): void {
    const { exporters } = this.#options
    for (const exporter of exporters) this.#exporterOf(exporter).look(exporter.accounting())
    for (const known of this.#exporters.keys()) if (!exporters.includes(known)) this.#exporters.delete(known)
  }

  #exporterOf(exporter: Lossy): ExporterLosses {
    const known = this.#exporters.get(exporter)
    if (known !== undefined) return known
    const made = new ExporterLosses()
    this.#exporters.set(exporter, made)
    return made
  }

  #close(all: boolean): void {
    this.#closeKernel()
    for (const [{ name: exporter }, losses] of this.#exporters) {
      for (const { reason, count } of losses.take(all))
        this.#closeExporter({ stage: 'exporter', exporter, reason }, count)
    }
  }

  /** Events lost before the fan-out have no numbers. The metrics and the log list them by hook. */
  #closeKernel(): void {
    for (const [reason, losses] of Map.groupBy(this.#options.losses.list(), (loss) => loss.reason)) {
      const count = losses.reduce((sum, loss) => sum + loss.count, 0)
      const reported = this.#kernel.get(reason) ?? 0
      if (count <= reported) continue
      this.#kernel.set(reason, count)
      const loss = { stage: 'kernel', exporter: '', reason } as const
      this.#pending.push({ loss, count: count - reported, ...NO_RANGE })
    }
  }

  #closeExporter(loss: LossKind, count: number): void {
    const range = this.#options.ranges.take(loss.exporter, loss.reason)
    // Only a range of exactly these events.
    const { firstSeq, lastSeq, numbers } = range?.events === count ? range : NO_RANGE
    this.#pending.push({ loss, count, firstSeq, lastSeq, numbers })
    const { exporter, reason } = loss
    this.#options.log.warn({ exporter, reason, count, firstSeq, lastSeq }, 'an exporter lost events')
  }
}
