/** A running agent: stop, hurry, reopen and reload. */
import { bootTime } from '../native/index.ts'
import type { Delivery } from './delivery/delivery.ts'
import type { Lock } from './host/sockets/lock.ts'
import type { Ingest } from './ingest/ingest.ts'
import type { Line } from './line.ts'
import type { PolicyFolder } from './policies/folder.ts'
import type { Policies } from './policies/registry.ts'
import type { Reloader } from './reload/reloader.ts'
import type { RunRecords } from './telemetry/run-records.ts'
import type { Telemetry } from './telemetry/telemetry.ts'

export interface RunningParts {
  readonly lock: Pick<Lock, 'asked' | 'until'>
  readonly ingest: Pick<Ingest, 'atNs'>
  readonly runRecords: Pick<RunRecords, 'until'>
  readonly line: Line
  readonly delivery: Delivery
  readonly telemetry: Telemetry
  readonly policies: Policies
  readonly folder: PolicyFolder
  /** Other sources of policies. */
  readonly sources: AsyncDisposable
  readonly reloader: Reloader
}

/** Time for the pipeline to end after the exporters have stopped: the ring may fill as fast as it is read. */
const STUCK_MS = 1_000

/** The part that commands use. */
export type RunningAgent = Pick<Running, 'failed' | 'asked' | 'alive' | 'stop' | 'hurry' | 'reopen' | 'reload'>

export class Running {
  /** Rejects if the agent cannot continue; call `stop` then. */
  readonly failed: Promise<never>
  readonly #parts: RunningParts
  readonly #rest: AsyncDisposable
  #ending: Promise<{ readonly droppedAtStop: number }> | undefined

  /** `rest`: everything else, closed at the end. */
  constructor(parts: RunningParts, rest: AsyncDisposable) {
    this.failed = parts.line.failed
    this.#parts = parts
    this.#rest = rest
  }

  /** Resolves to the pid of an agent that wants the place of this one and gets it by `stop`. Before this call, such an agent is refused. */
  asked(): Promise<number> {
    return this.#parts.lock.asked()
  }

  /** Whether the ring is read, as /livez answers. */
  alive(): boolean {
    return this.#parts.telemetry.alive
  }

  /** Detaches, drains within the configured grace, closes. A second call returns the first's promise. */
  stop(): Promise<{ readonly droppedAtStop: number }> {
    this.#ending ??= this.#drain()
    return this.#ending
  }

  async #drain(): Promise<{ readonly droppedAtStop: number }> {
    const { lock, ingest, runRecords, line, delivery, telemetry, policies, folder, sources, reloader } = this.#parts
    telemetry.ready = false
    await reloader.end()
    const { graceMs } = line
    const graceEnds = performance.now() + graceMs
    folder[Symbol.dispose]()
    // Until here, all hooks are attached.
    lock.until = bootTime()
    runRecords.until = ingest.atNs(lock.until)
    // A running change by a source ends with the policies.
    const ended = sources[Symbol.asyncDispose]()
    await policies[Symbol.asyncDispose]()
    await ended
    // A blocking exporter can hold the pipeline until its own grace ends.
    await line.stop(graceMs)
    telemetry.report()
    await delivery.stop(Math.max(0, graceEnds - performance.now()))
    await line.stop(STUCK_MS)
    const { droppedAtStop } = delivery
    await this.#rest[Symbol.asyncDispose]()
    return { droppedAtStop }
  }

  /** Ends the grace of a running stop: held events are written to the spools, or dropped and counted. */
  hurry(): void {
    void this.#parts.delivery.stop(0)
  }

  /** SIGUSR1 and SIGHUP: reopens files and retries waiting batches at once; logs failures. */
  reopen(): Promise<void> {
    return this.#parts.delivery.reopen()
  }

  /** SIGHUP: reloads the config and the policies. Resolves to why the config was refused. */
  async reload(): Promise<string | undefined> {
    const { folder, reloader } = this.#parts
    const before = reloader.state.counts.refused
    await reloader.reload()
    await folder.lookAnew()
    const { counts, refused } = reloader.state
    return counts.refused > before ? refused?.reason : undefined
  }
}
