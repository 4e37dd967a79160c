/** Makes the records about the run: at its start, at its stop, and between them a heartbeat. They go to exporters with numbered records. */
import type { RunEvent } from '../../exporters/contract/event.ts'
import type { LastRuns } from './last-runs.ts'

export interface RunRecordsOptions {
  readonly heartbeatMs: number
  readonly lastRuns: Pick<LastRuns, 'previous' | 'note'>
  /** Names of the exporters with numbered records, now. */
  readonly exporters: () => readonly string[]
}

export class RunRecords {
  readonly #options: RunRecordsOptions
  #madeMs = 0
  /** It is time for a heartbeat. */
  due = false

  constructor(options: RunRecordsOptions) {
    this.#options = options
  }

  /** Housekeeping, every few seconds: heartbeats need no timer of their own. `nowMs`: monotonic. */
  tick(nowMs: number): void {
    this.due = nowMs - this.#madeMs >= this.#options.heartbeatMs
  }

  /** The record; undefined when no exporter wants it. */
  make(phase: RunEvent['phase'], time: RunEvent['time'], nowMs: number): RunEvent | undefined {
    this.#madeMs = nowMs
    this.due = false
    const { exporters, lastRuns, heartbeatMs } = this.#options
    const names = exporters()
    if (names.length === 0) return undefined
    void lastRuns.note(names)
    return { type: 'agent_run', seq: 0, time, phase, heartbeatMs, previous: lastRuns.previous }
  }
}
