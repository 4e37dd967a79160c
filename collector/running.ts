/** A running agent: stop, hurry, reopen and reload. */
import { bootTime } from '../native/index.ts'
import { setTimeout as pause } from 'node:timers/promises'
import { systemClock } from '../config/base/time/clock.ts'
import { waitAtMost } from '../config/base/time/deadline.ts'
import type { Api } from './api/api.ts'
import type { Delivery } from './delivery/delivery.ts'
import type { Log } from './host/log.ts'
import type { Lock, Successor } from './host/sockets/lock.ts'
import type { Ingest } from './ingest/ingest.ts'
import type { Line } from './line.ts'
import type { PolicyFolder } from './policies/folder.ts'
import type { Policies } from './policies/registry.ts'
import type { Reloader } from './reload/reloader.ts'
import type { AgentRecords } from './telemetry/records.ts'
import type { RunRecords } from './telemetry/run-records.ts'
import type { Telemetry } from './telemetry/telemetry.ts'

export interface RunningParts {
  readonly lock: Pick<Lock, 'asked'> & Disposable
  readonly api: Pick<Api, 'leave' | 'readers'>
  readonly ingest: Pick<Ingest, 'atNs'>
  readonly runRecords: Pick<RunRecords, 'until'>
  readonly beginRun: AgentRecords['beginRun']
  readonly line: Line
  readonly delivery: Delivery
  readonly telemetry: Telemetry
  readonly policies: Policies
  readonly folder: PolicyFolder
  /** Other sources of policies. */
  readonly sources: AsyncDisposable
  readonly reloader: Reloader
  readonly log: Pick<Log, 'info' | 'error'>
}

/** Time for the pipeline to end after the exporters have stopped: the ring may fill as fast as it is read. */
const STUCK_MS = 1_000
/** Longer than a hook takes from its time stamp until its record is in the ring. */
const IN_FLIGHT_MS = 50
const IN_FLIGHT_NS = BigInt(IN_FLIGHT_MS) * 1_000_000n
/** Time for a successor to open its exporters: a large spool takes seconds. */
const CONFIRM_MS = 30_000
const CLIENT_MS = 50

/** The part that commands use. */
export type RunningAgent = Pick<Running, keyof Running>

export class Running {
  /** Rejects if the agent cannot continue; call `stop` then. */
  readonly failed: Promise<never>
  readonly #parts: RunningParts
  readonly #rest: AsyncDisposable
  #ending: Promise<{ readonly droppedAtStop: number }> | undefined
  #handingOver: Promise<boolean> | undefined

  /** `rest`: everything else, closed at the end. */
  constructor(parts: RunningParts, rest: AsyncDisposable) {
    this.failed = parts.line.failed
    this.#parts = parts
    this.#rest = rest
  }

  /** Resolves to the pid of an agent that has taken the place of this one; call `stop` then. Before this call, such an agent is refused. */
  async replaced(): Promise<number> {
    for (;;) {
      const successor = await this.#parts.lock.asked()
      if (this.#ending !== undefined) continue
      const { log } = this.#parts
      log.info({ pid: successor.pid }, 'another agent takes over')
      this.#handingOver = this.#handOver(successor).catch((error: unknown) => {
        log.error({ error: String(error) }, 'handing over failed')
        successor.refuse()
        return false
      })
      if (await this.#handingOver) return successor.pid
      this.#handingOver = undefined
      log.error({ pid: successor.pid }, 'the other agent did not take over, and this one goes on')
    }
  }

  /** Resolves when this temporary agent has left lock and addresses to another one. Its clients stay, and it waits for the first. */
  async left(): Promise<void> {
    const { lock, telemetry, api } = this.#parts
    await lock.asked()
    while (api.readers.count === 0 && this.#ending === undefined) await pause(CLIENT_MS)
    await telemetry[Symbol.asyncDispose]()
    api.leave()
    lock[Symbol.dispose]()
  }

  /**
   * Ends the run and closes its exporters, while all hooks stay attached. Later events are held in the queues of the next run's exporters, then in
   * the ring. Resolves to whether the successor has opened its exporters; if not, the next run begins.
   */
  #handOver(successor: Successor): Promise<boolean> {
    const { ingest, runRecords, beginRun, line, delivery } = this.#parts
    return delivery.giveAway(async (next) => {
      const { fanout } = delivery
      const graceEnds = performance.now() + line.graceMs
      await fanout.flush(line.graceMs / 2)
      const untilNs = bootTime()
      const until = ingest.atNs(untilNs)
      runRecords.until = until
      await pause(IN_FLIGHT_MS)
      const ended = Promise.race([line.endRun(untilNs + IN_FLIGHT_NS, next), line.failed])
      // A blocking exporter can hold the line until its own grace ends.
      await waitAtMost(ended, Math.max(0, graceEnds - performance.now()), systemClock)
      await fanout.stop(Math.max(0, graceEnds - performance.now()))
      await ended
      if (await successor.confirms(untilNs, CONFIRM_MS)) return true
      await beginRun(until)
      return false
    })
  }

  /** Whether the ring is read, as /livez answers. */
  alive(): boolean {
    return this.#parts.telemetry.alive
  }

  /** Detaches, drains within the configured grace, closes. A second call returns the first's promise. */
  stop(): Promise<{ readonly droppedAtStop: number }> {
    this.#ending ??= Promise.resolve(this.#handingOver).then(() => this.#drain())
    return this.#ending
  }

  async #drain(): Promise<{ readonly droppedAtStop: number }> {
    const { ingest, runRecords, line, delivery, telemetry, policies, folder, sources, reloader } = this.#parts
    telemetry.ready = false
    await reloader.end()
    const { graceMs } = line
    const graceEnds = performance.now() + graceMs
    folder[Symbol.dispose]()
    // Until here, all hooks are attached.
    runRecords.until = ingest.atNs(bootTime())
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
