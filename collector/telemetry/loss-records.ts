/**
 * Loss as data: what the counters of the kernel side and the accounting of the exporters have lost, as events for every
 * exporter. Added up in time, one record at most each ten seconds for a stage, exporter and reason: a record for each
 * loss would make an overload worse. Form of the records: docs/reference/otlp.md.
 *
 * What a killed agent held in memory no record can tell.
 */
import type { LossEvent, LossKind } from '../../exporters/contract/event.ts'
import type { LostRanges } from '../delivery/lost-ranges.ts'
import type { Log } from './log.ts'
import { ExporterLosses } from './exporter-losses.ts'
import type { LossAccounting } from './exporter-losses.ts'
import type { Losses } from './losses.ts'

const INTERVAL_MS = 10_000

/** A loss record before it has a time and a number. */
export type LossDraft = Omit<LossEvent, 'type' | 'seq' | 'time'>

export interface LossRecordOptions {
  /** Between the hooks and the events. */
  readonly losses: Pick<Losses, 'list'>
  readonly exporters: ReadonlyArray<{ readonly name: string; accounting(): LossAccounting }>
  /** Which events the exporters have lost. */
  readonly ranges: LostRanges
  readonly log: Log
}

const NO_RANGE = { firstSeq: undefined, lastSeq: undefined }

export class LossRecords {
  readonly #options: LossRecordOptions
  readonly #exporters = new Map<string, ExporterLosses>()
  readonly #kernel = new Map<string, number>()
  #pending: LossDraft[] = []
  /** Records handed out so far. */
  published = 0
  #closedMs: number

  /** `nowMs`: as for `look`; the first interval begins then. */
  constructor(options: LossRecordOptions, nowMs: number) {
    this.#options = options
    this.#closedMs = nowMs
  }

  /** Loss records are waiting to be published. */
  get pending(): boolean {
    return this.#pending.length > 0
  }

  /** Reads all counters; makes records when the interval is over. `nowMs` never goes back. Call it every few seconds. */
  look(nowMs: number): void {
    this.#readExporters()
    if (nowMs - this.#closedMs < INTERVAL_MS) return
    this.#closedMs = nowMs
    this.#close(false)
  }

  /** Makes records of everything that no record has told, whether the interval is over or not: the agent stops. */
  finish(): void {
    this.#readExporters()
    this.#close(true)
  }

  /**
   * Hands what is pending to `give`, which offers it to the exporters before it returns, and nothing else meanwhile.
   * Returns what `give` returns; undefined also when nothing is pending.
   */
  publish(give: (drafts: readonly LossDraft[]) => Promise<void> | undefined): Promise<void> | undefined {
    if (this.#pending.length === 0) return undefined
    const drafts = this.#pending
    this.#pending = []
    this.published += drafts.length
    const { exporters } = this.#options
    const before = exporters.map((exporter) => exporter.accounting().accepted)
    const wait = give(drafts)
    for (const [i, exporter] of exporters.entries()) {
      const { accepted } = exporter.accounting()
      // Not all of them, where a filter keeps loss records out.
      this.#exporterOf(exporter.name).offered(accepted - (before[i] ?? accepted), accepted)
    }
    return wait
  }

  #readExporters(): void {
    for (const exporter of this.#options.exporters) this.#exporterOf(exporter.name).look(exporter.accounting())
  }

  #exporterOf(name: string): ExporterLosses {
    const known = this.#exporters.get(name)
    if (known !== undefined) return known
    const made = new ExporterLosses()
    this.#exporters.set(name, made)
    return made
  }

  #close(all: boolean): void {
    this.#closeKernel()
    for (const [exporter, losses] of this.#exporters) {
      for (const { reason, count } of losses.take(all))
        this.#closeExporter({ stage: 'exporter', exporter, reason }, count)
    }
  }

  /** The ring's losses have no number: what was not read was never counted. By hook they are in the metrics and the log. */
  #closeKernel(): void {
    const byReason = new Map<string, number>()
    for (const { reason, count } of this.#options.losses.list())
      byReason.set(reason, (byReason.get(reason) ?? 0) + count)
    for (const [reason, count] of byReason) {
      const reported = this.#kernel.get(reason) ?? 0
      if (count <= reported) continue
      this.#kernel.set(reason, count)
      const loss = { stage: 'kernel', exporter: '', reason } as const
      this.#pending.push({ loss, count: count - reported, firstSeq: undefined, lastSeq: undefined })
    }
  }

  #closeExporter(loss: LossKind, count: number): void {
    const range = this.#options.ranges.take(loss.exporter, loss.reason)
    // Only one that holds all of them: then one as long as the count holds nothing else.
    const { firstSeq, lastSeq } = range?.events === count ? range : NO_RANGE
    this.#pending.push({ loss, count, firstSeq, lastSeq })
    const { exporter, reason } = loss
    this.#options.log.warn({ exporter, reason, count, firstSeq, lastSeq }, 'an exporter lost events')
  }
}
