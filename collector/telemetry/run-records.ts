/** Makes the records about the run: at its start, at its stop, and between them a heartbeat. They go to exporters with numbered records. */
import type { RunEvent, Timestamp } from '../../exporters/contract/event.ts'
import { isoTime } from '../../exporters/index.ts'
import type { NumberedExporter } from '../../exporters/index.ts'
import type { LastRuns } from './last-runs.ts'

export interface RunRecordsOptions {
  readonly heartbeatMs: number
  readonly lastRuns: Pick<LastRuns, 'previous' | 'destinations' | 'note'>
  /** The exporters with numbered records, now. */
  readonly exporters: () => readonly NumberedExporter[]
  /** The time from which the agent reports what happens. */
  readonly from: Timestamp
}

export class RunRecords {
  #options: RunRecordsOptions
  #begins = false
  /** Resolves when the last record has been noted as that of the last run. */
  noted: Promise<void> = Promise.resolve()
  #madeMs = 0
  /** Whether it is time for a heartbeat. */
  due = false
  /** By exporter, of this run. */
  readonly #destinations = new Map<string, string>()
  #moved: Record<string, number> = {}
  /** The time until which the run has everything; undefined while it does not end. */
  until: Timestamp | undefined

  constructor(options: RunRecordsOptions) {
    this.#options = options
  }

  /** The next record is the first of another run. */
  begin(lastRuns: RunRecordsOptions['lastRuns'], from: Timestamp): void {
    this.#options = { ...this.#options, lastRuns, from }
    this.#moved = {}
    this.#destinations.clear()
    this.until = undefined
    this.#begins = true
    this.due = true
  }

  /** Housekeeping, every few seconds: heartbeats need no timer of their own. `nowMs`: monotonic. */
  tick(nowMs: number): void {
    this.due = this.until === undefined && nowMs - this.#madeMs >= this.#options.heartbeatMs
  }

  /** Makes a record due: something about the exporters has changed. */
  hurry(): void {
    this.due = this.until === undefined
  }

  /** The record; undefined if no exporter takes it. */
  make(phase: RunEvent['phase'], time: RunEvent['time'], nowMs: number): RunEvent | undefined {
    this.#madeMs = nowMs
    this.due = false
    const { exporters, lastRuns, heartbeatMs, from } = this.#options
    if (this.#begins && phase === 'heartbeat') phase = 'start'
    this.#begins = false
    const numbered = exporters()
    if (numbered.length === 0) return undefined
    for (const exporter of numbered) this.#follow(exporter)
    this.noted = lastRuns.note(numbered)
    const filtered = numbered.flatMap(({ name, filtered: some }) => (some ? [name] : []))
    const watched = { from: isoTime(from), ...(phase === 'stop' && this.until && { until: isoTime(this.until) }) }
    const about = { previous: lastRuns.previous, filtered, moved: { ...this.#moved }, ...watched }
    return { type: 'agent_run', seq: 0, time, phase, heartbeatMs, ...about }
  }

  #follow({ name, destination, next }: NumberedExporter): void {
    const own = this.#destinations.get(name)
    const before = own ?? this.#options.lastRuns.destinations[name]
    if (before !== undefined && before !== destination) this.#moved[name] = own === undefined ? 0 : next
    this.#destinations.set(name, destination)
  }
}
