/**
 * The agent's part from the ring to events: reads and decodes the ring, keeps the process table and the clocks. Events are
 * pulled; without a pull nothing is read.
 */
import { ringWatermarkBytes } from '../../config/agent/effective.ts'
import type { Config } from '../../config/agent/schema.ts'
import { bootTime, clockOffset } from '../../native/index.ts'
import type { Event, Executed, ProcessEvent, Timestamp } from '../../exporters/contract/event.ts'
import type { Workloads } from '../identity/workloads.ts'
import { GoneThreads, threadStarts } from '../host/gone-threads.ts'
import { startedAt } from '../host/proc-stat.ts'
import type { Kernel } from '../kernel/port.ts'
import { WallClock } from '../process/clock.ts'
import { Details } from '../process/detail/details.ts'
import type { DetailConfig } from '../process/detail/details.ts'
import { ExecutedFacts } from '../process/detail/executed.ts'
import type { ExecutedConfig } from '../process/detail/executed.ts'
import { ProcessFiles } from '../process/detail/process-files.ts'
import type { Image } from '../process/image.ts'
import { scanProcfs } from '../process/procfs.ts'
import { Reconciler } from '../process/reconcile.ts'
import { ProcessTable } from '../process/table.ts'
import type { Log } from '../host/log.ts'
import { CGROUP_WHOLE, HOOK_AGGREGATES } from '../wire/wire.ts'
import { PendingAggregates } from './calls/aggregates.ts'
import { decodeChunk } from '../wire/decode.ts'
import type { Chunk, PendingCall, RawCgroup } from '../wire/decode.ts'
import { HookRegistry } from './hooks.ts'
import { Normalizer } from './normalize.ts'
import type { FrameSource } from './normalize.ts'
import { PendingReturns } from './returns.ts'
import { RingAccounting } from './ring-accounting.ts'
import { Reading, chunks } from './source.ts'
import type { SourceOptions } from './source.ts'

export interface IngestOptions {
  readonly kernel: Kernel
  readonly workloads: Pick<Workloads, 'made' | 'gone' | 'scan'>
  readonly nodeName: string
  readonly config: Pick<Config, 'memory' | 'ring' | 'enable_ancestors'> & DetailConfig & ExecutedConfig
  readonly log: Log
  readonly stacks?: FrameSource
}

const NSEC = 1_000_000_000n

export class Ingest implements Disposable {
  readonly hooks: HookRegistry = new HookRegistry()
  readonly processes: ProcessTable
  readonly processFiles: ProcessFiles
  readonly accounting: RingAccounting
  readonly reading: Reading = new Reading()
  readonly returns: PendingReturns = new PendingReturns()
  /** Events that wait for the count of equal calls. */
  readonly aggregates: PendingAggregates
  /** Process events made; `hooks` counts the others. */
  readonly made: Record<'process_exec' | 'process_exit', number> = { process_exec: 0, process_exit: 0 }
  /** The time from which this agent reports what happens. */
  from: Timestamp = { sec: 0, nsec: 0 }
  /** Records of events before a takeover, which the earlier agent has reported. */
  leftToOther = 0
  /** Bytes read from the ring. */
  bytesRead = 0
  /** Boot time in nanoseconds of the last record that was read. */
  lastNs = 0n
  /** Number of times that the ring was empty, and the ends of all calls that had left the kernel's map were known. */
  emptied = 0
  readonly #options: IngestOptions
  readonly #clock = new WallClock(clockOffset)
  readonly #normalizer: Normalizer
  readonly #executed: ExecutedFacts
  readonly #reconciler: Reconciler
  readonly #goneThreads: GoneThreads
  /** process_exec events of processes found by the start-up scan. */
  #found: Event[] = []
  /** Boot time in nanoseconds: events before are left out. */
  #since = 0n
  /** Events to send with the next chunk. */
  readonly #ended: ProcessEvent[] = []
  #wake: () => void = () => {}

  constructor(options: IngestOptions) {
    const { kernel, nodeName, config, log, stacks } = options
    const { procfs } = config
    this.#options = options
    this.processes = new ProcessTable(nodeName, this.#clock, config.memory.process_table, {
      details: Details.of(config),
      ancestors: config.enable_ancestors.length > 0,
    })
    this.processFiles = new ProcessFiles(procfs, { warn: (detail, message) => log.warn(detail, message) })
    this.accounting = new RingAccounting(kernel)
    this.#executed = new ExecutedFacts(config)
    this.#normalizer = new Normalizer({
      table: this.processes,
      executed: this.#executed,
      clock: this.#clock,
      hook: (id, selector) => this.hooks.take(id, selector),
      nowMs: () => performance.now(),
      ancestors: config.enable_ancestors,
      ...(stacks && { stacks }),
    })
    this.#goneThreads = new GoneThreads(threadStarts(procfs), process.pid)
    this.hooks.pathOf = (number) => kernel.policies.lookups.files.pathOf(number)
    this.aggregates = new PendingAggregates({
      take: (key) => kernel.policies.lookups.takeAggregate(key),
      at: (bootNs) => this.#clock.atNs(bootNs),
      wake: () => this.#wake(),
    })
    this.hooks.retired = (ids) => this.aggregates.retire(ids)
    this.#reconciler = this.#makeReconciler()
  }

  /** Losses mean that the process table may be wrong. */
  #makeReconciler(): Reconciler {
    const { accounting } = this
    const { kernel, workloads, config, log } = this.#options
    const { procfs } = config
    return new Reconciler({
      table: this.processes,
      kernel,
      procfs,
      files: this.processFiles,
      lost: () => {
        const { counters, programs } = kernel.counts()
        const missed = [...programs.values()].reduce((sum, runs) => sum + runs.missed, 0)
        const { ring_full_process: refused, process_map_full: full } = counters
        return refused + full + missed + accounting.malformed + accounting.imbalance
      },
      missedExits: () => kernel.counts().programs.get('process_exit')?.missed ?? 0,
      waiting: () => kernel.ring.available(),
      bootNs: bootTime,
      onDone: (done) => {
        log.info({ ...done }, "the process table was compared with the kernel's after losses")
        // Records of cgroups may be among the lost ones.
        void workloads.scan(procfs)
      },
      onFailed: (error) => log.error({ error: String(error) }, "comparing the process table with the kernel's failed"),
    })
  }

  /** Adds the running processes to both process tables; their events come first. */
  async scan(): Promise<void> {
    const { processes: table, processFiles: files } = this
    const { kernel, workloads, config } = this.#options
    const { procfs } = config
    const now = bootTime()
    const found = (image: Image, facts?: Executed): Event =>
      this.#normalizer.exec(image, Number(now / NSEC), Number(now % NSEC), facts)
    const events = [found(table.kernel)]
    for (const process of await scanProcfs(procfs, files)) {
      // The hooks know it already: its record comes from the ring.
      if (!kernel.seedProcess(process.pid, process.startNs, process.parentPid)) continue
      const image = table.addScanned(process)
      // If it exited before it was entered, no exit record would remove it.
      if (startedAt(procfs, process.pid) === 'gone') {
        kernel.forgetProcess(process.pid)
        table.exit(process.pid, 0, 0, performance.now())
      }
      if (process.kernelThread) continue
      events.push(found(image, await this.#executed.ofRunning(files, process, image.flags)))
    }
    kernel.seedImages()
    this.#found = events
    this.made.process_exec += this.#found.length
    await workloads.scan(procfs)
  }

  /**
   * Yields the events of each read of the ring, not yet numbered, until `signal` aborts and the ring is empty. When the ring is empty and
   * `wantsTurn` returns true, yields an empty array, so that the caller can publish other events. It is called after each wakeup and each
   * `wake`, and every `ring.max_delay` while `polls` returns true.
   */
  async *events(signal: AbortSignal, wantsTurn: () => boolean, polls: () => boolean): AsyncGenerator<readonly Event[]> {
    const { kernel, config } = this.#options
    const onEmpty = (): void => {
      this.accounting.emptied()
      this.#reconciler.read(0)
    }
    this.reading.held = true
    yield this.#found
    this.reading.takeBack()
    this.processes.trim()
    this.#found = []
    const source: SourceOptions = {
      ring: kernel.ring,
      watch: (wake) => kernel.watch((this.#wake = wake)),
      maxDelayMs: config.ring.max_delay,
      watermarkBytes: ringWatermarkBytes(config),
      onEmpty,
      // All records were read before, so those of the swept calls are here.
      wantsTurn: () => this.#endHeld() || wantsTurn(),
      polls,
      reading: this.reading,
    }
    for await (const chunk of chunks(source, signal)) {
      yield this.#take(chunk)
      // The events are encoded.
      this.processes.trim()
    }
    yield this.endWaiting()
  }

  /** The events of calls and aggregates that wait, as far as they are known. */
  endWaiting(): ProcessEvent[] {
    this.returns.endAll(this.#ended)
    this.aggregates.endAll(this.#ended)
    return this.#ended.splice(0)
  }

  #take(chunk: Chunk): Event[] {
    const { accounting, made, returns } = this
    const [sinceSec, sinceNsec] = [Number(this.#since / NSEC), Number(this.#since % NSEC)]
    this.#clock.refresh()
    const events: ProcessEvent[] = this.#ended.splice(0)
    let [lastSec, lastNsec] = [0, 0]
    accounting.undecoded += decodeChunk(chunk, (raw, bytes) => {
      accounting.tracker.see(raw.cpu, raw.seq)
      lastSec = raw.sec
      lastNsec = raw.nsec
      if (raw.op === 'return') {
        returns.end(raw, events)
        return
      }
      if (raw.op === 'cgroup') {
        takeCgroup(this.#options.workloads, raw)
        return
      }
      const event = this.#normalizer.event(raw, bytes)
      if (event === undefined) return
      const aggregates = raw.op === 'hook' && (raw.flags & HOOK_AGGREGATES) !== 0
      // The kernel goes on counting calls for an aggregate.
      if (!aggregates && (raw.sec < sinceSec || (raw.sec === sinceSec && raw.nsec < sinceNsec))) {
        this.leftToOther++
        return
      }
      if (event.type === 'process_exec' || event.type === 'process_exit') {
        made[event.type]++
        if (event.type === 'process_exit') this.aggregates.exited(raw.tgid, events)
        events.push(event)
      } else if (raw.op === 'hook') {
        const aggregation = aggregates ? this.hooks.aggregationOf(raw.hookId) : undefined
        if (aggregation !== undefined) this.aggregates.add(raw, event, aggregation, events)
        else returns.add(raw, event, this.hooks.returnOf(raw.hookId, raw.selector), events)
      }
    })
    this.lastNs = BigInt(lastSec) * NSEC + BigInt(lastNsec)
    // Here too: the ring may never be empty.
    this.aggregates.due(events)
    this.#reconciler.read(chunk.length)
    this.bytesRead += chunk.length
    return events
  }

  /** Ends calls whose return came from the kernel's map instead of the ring, and due aggregates. True if events of them can be sent. */
  #endHeld(): boolean {
    this.aggregates.due(this.#ended)
    const { policies, ring } = this.#options.kernel
    this.returns.report(policies.takeEnds())
    // Not while a record that is still being written hides the records behind it.
    if (ring.available() === 0) {
      this.returns.endReported(this.#ended)
      this.emptied++
    }
    return this.#ended.length > 0
  }

  /** Sends the events of a call whose return will never be reported. */
  endWithoutReturn(call: PendingCall): void {
    this.returns.end(call, this.#ended)
  }

  /** Records of unknown hooks. */
  get orphaned(): number {
    return this.#normalizer.orphaned
  }

  /** All hooks are attached. `since`: the boot time in nanoseconds until which another agent has reported everything. */
  begin(since?: bigint): void {
    this.#since = since ?? 0n
    this.from = since === undefined ? this.now() : this.atNs(since)
  }

  /** Current wall time, from the clock of the events. */
  now(): Timestamp {
    return this.atNs(bootTime())
  }

  /** Wall time of a boot time in nanoseconds. */
  atNs(bootNs: bigint): Timestamp {
    return this.#clock.atNs(bootNs)
  }

  /** Housekeeping, every few seconds; rarely while nothing comes from the ring. */
  tick(): void {
    this.processes.sweep(performance.now())
    this.hooks.sweep(performance.now())
    this.returns.sweep(this.#goneThreads, bootTime())
    this.#reconciler.tick(performance.now())
  }

  /** Compares the process table with the kernel's at the next tick. */
  compareProcesses(): void {
    this.#reconciler.demand()
  }

  /** Makes the reader check the ring and call `wantsTurn`. Last in housekeeping: `reading` then shows a stuck reader. */
  wake(): void {
    this.#wake()
  }

  [Symbol.dispose](): void {
    this.aggregates[Symbol.dispose]()
    this.#reconciler.stop()
  }
}

export function takeCgroup(
  workloads: Pick<Workloads, 'made' | 'gone'>,
  { id, gone, cgroup, cgroupState }: RawCgroup,
): void {
  if (gone) workloads.gone(id)
  // If the record lacks names, the kernel finds the cgroups above.
  else if (cgroupState === CGROUP_WHOLE) workloads.made(id, cgroup.toString('latin1').split('\0').slice(0, -1))
}
