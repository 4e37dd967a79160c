/**
 * The agent: builds the line from sink to source, runs it, takes it down from source to sink. The only place that knows
 * config, native and exporters together.
 *
 *   ring ─▶ source ─▶ decode ─▶ normalize ─▶ fan-out ─▶ senders
 */
import { setTimeout } from 'node:timers/promises'
import type { LoadedConfig } from '../config/agent/load.ts'
import { nodeNameOf, ringWatermarkBytes } from '../config/agent/effective.ts'
import { EncoderPool, startFanOut } from '../exporters/index.ts'
import { createEpoch } from './ingest/epoch.ts'
import {
  bootTime,
  clockOffset,
  gzip,
  hasBtf,
  kernelFunction,
  kernelFunctionNames,
  kernelSymbols,
  releaseCode,
  zstd,
} from '../native/index.ts'
import { decodeChunk } from './ingest/decode.ts'
import type { Event } from '../exporters/contract/event.ts'
import { HookRegistry } from './ingest/hooks.ts'
import { Reading } from './telemetry/health.ts'
import { serve } from './telemetry/http.ts'
import { checkHost } from './host/checks.ts'
import { checkDescriptors } from './host/descriptors.ts'
import { readKernelFacts } from './kernel/facts.ts'
import { KernelSide } from './kernel/kernel-side.ts'
import { SequenceTracker } from './kernel/sequence.ts'
import { takeLock } from './host/lock.ts'
import { IdleMemory, collectGarbage } from './host/idle-memory.ts'
import { MemoryGuard, logPressure } from './host/memory.ts'
import type { Log } from './telemetry/log.ts'
import { LossRecords } from './telemetry/loss-records.ts'
import { Losses } from './telemetry/losses.ts'
import { LoopLag } from './telemetry/metrics/loop-lag.ts'
import { Reloads } from './telemetry/metrics/reloads.ts'
import { createPages } from './telemetry/pages.ts'
import { Normalizer } from './ingest/normalize.ts'
import { attachPolicy, logPolicy } from './policies/attach.ts'
import { PolicyFolder } from './policies/folder.ts'
import { Policies, enabledOf } from './policies/registry.ts'
import { WallClock } from './process/clock.ts'
import { scanRunning } from './process/scan.ts'
import { ProcessTable } from './process/table.ts'
import { createReconciler } from './process/after-losses.ts'
import { chunks } from './ingest/source.ts'
import { version } from '../config/version.ts'
import { watchPaths } from './policies/watch.ts'

/** Housekeeping: ended processes, losses for the log, exporters that have all failed. */
const TICK_MS = 2_000
/** So many of them after the start, code that only a start needs is given back. */
const SETTLED_TICKS = 5
/** For a line that neither runs empty nor ends although nothing holds it any more: a ring that fills as fast as it is read. */
const STUCK_MS = 1_000
const NSEC = 1_000_000_000n

export interface RunningAgent {
  /** Settles when the agent has stopped by itself because something broke. */
  readonly failed: Promise<never>
  /** Detaches, drains within the configured grace, closes. A second call returns the first's promise. */
  stop(): Promise<{ readonly droppedAtStop: number }>
  /** Ends the grace of a stop that goes on: what is held is written to the spools, or dropped, counted. */
  hurry(): void
  /** SIGUSR1: reopens files and tries at once what waits for a retry. What fails is in the log. */
  reopen(): Promise<void>
  /** SIGHUP: reopens as well, and looks at the policies. */
  reload(): Promise<void>
}

/**
 * Starts everything; resolves when all hooks are attached and events flow. Throws CollectorError, ConfigError,
 * ExportError or NativeError, and then nothing is left behind. So it does with the reason of `stop` when that aborts
 * while exporters start, which may be somebody else's code and never come to an end; the rest takes a moment.
 */
export async function startAgent(
  { config, hash }: Pick<LoadedConfig, 'config' | 'hash'>,
  log: Log,
  stop: AbortSignal,
  configFile: string,
): Promise<RunningAgent> {
  await using undo = new AsyncDisposableStack()
  checkDescriptors()
  checkHost(hasBtf)
  undo.use(await takeLock())
  const nodeName = nodeNameOf(config, process.env).value
  const epoch = createEpoch()
  let losses: Losses | undefined
  const lossRecords: LossRecords = new LossRecords(
    { epoch, kernel: () => losses?.list() ?? [], exporters: () => fanout.senders, log },
    performance.now(),
  )
  const fanout = await startFanOut(
    config.exporters,
    {
      nodeName,
      epoch,
      encoders: new EncoderPool(nodeName),
      compressors: { gzip, zstd },
      env: process.env,
      log,
      onLost: (exporter, lost) => lossRecords.note(exporter, lost),
      configFile,
    },
    stop,
  )
  undo.defer(() => fanout.stop(0))

  const facts = readKernelFacts(kernelSymbols)
  const kernel = undo.use(
    new KernelSide({
      facts,
      symbols: { functionType: kernelFunction, functionNames: kernelFunctionNames },
      mode: config.attach.mode,
      ringBytes: config.ring.size,
      watermarkBytes: ringWatermarkBytes(config),
      agentPid: process.pid,
      procfs: config.procfs,
    }),
  )
  const clock = new WallClock(clockOffset)
  const table = new ProcessTable(nodeName, clock, config.memory.process_table)
  const hooks = new HookRegistry()
  const tracker = new SequenceTracker()
  const normalizer = new Normalizer({
    table,
    clock,
    hook: (id) => hooks.take(id),
    nowMs: () => performance.now(),
    firstSeq: 0,
  })
  const started = await scanRunning(config.procfs, kernel, table, normalizer)

  const reloads = new Reloads()
  const policies = undo.use(new Policies((policy) => attachPolicy(policy, kernel.policies, hooks, log)))
  const folder = undo.use(
    new PolicyFolder({
      paths: config.policies,
      policies,
      onChange: (change, file, detail) => {
        reloads.count(change)
        logPolicy(log, change, file, detail)
      },
    }),
  )
  losses = new Losses({ kernel, tracker, log })
  losses.orphaned = () => normalizer.orphaned
  await folder.start()
  reloads.begin()
  const reconciler = createReconciler({ table, kernel, losses, procfs: config.procfs, log })
  undo.defer(() => reconciler.stop())

  const counts = { process_exec: 0, process_exit: 0, events_lost: 0 }
  let ready = false
  const lag = undo.use(new LoopLag())
  const reading = new Reading()
  const pages = createPages({
    epoch,
    ready: () => ready,
    reading,
    policies,
    build: { version: version(), node: process.version, kernel: facts.release },
    configHash: hash,
    events: () => [
      ...Object.entries(counts).map(([type, count]) => ({ type, policy: '', count })),
      ...[...hooks.eventsByPolicy()].map(([policy, count]) => ({ type: 'process_kprobe', policy, count })),
    ],
    records: () => tracker.received,
    losses: () => losses.list(),
    fallbacks: () => {
      const { path_raced, path_unstable } = kernel.state().counters
      return { path_raced, path_unstable }
    },
    imbalance: () => losses.imbalance,
    ringWaiting: () => kernel.ring.available(),
    returnsWaiting: () => kernel.policies.waitingReturns(),
    processes: table,
    senders: () => fanout.senders,
    filtered: () => fanout.filtered(),
    reloads,
    loopLag: () => lag.seconds,
    token: config.server.token,
  })
  const server = undo.use(await serve(config.server.http, pages, (message) => log.warn(message)))
  const look = (): void =>
    void folder.look().catch((error: unknown) => log.error({ error: String(error) }, 'looking at the policies failed'))
  undo.use(watchPaths(config.policies, look))
  const { soft_limit: softBytes, hard_limit: hardBytes } = config.memory
  const memory = new MemoryGuard({ softBytes, hardBytes }, (pressure, rssBytes) => {
    fanout.pressure = pressure
    logPressure(log, pressure, rssBytes)
  })
  const broken = Promise.withResolvers<never>()
  broken.promise.catch(() => {}) // whoever does not ask must not be ended by it
  const idleMemory = new IdleMemory(collectGarbage)
  let ticks = 0
  const tick = setInterval(() => {
    if (++ticks === SETTLED_TICKS) releaseCode()
    memory.look()
    idleMemory.look()
    table.sweep(performance.now())
    reconciler.tick(performance.now())
    kernel.policies.sweepJoins()
    losses.report()
    lossRecords.look(performance.now())
    const failure = fanout.failure()
    if (failure !== undefined) broken.reject(failure)
  }, TICK_MS)
  undo.defer(() => clearInterval(tick))

  const stopping = new AbortController()
  /** Numbered by whoever publishes, as everything else. */
  const publishLosses = (): Promise<void> | undefined =>
    lossRecords.publish((drafts) => {
      const now = bootTime()
      const time = clock.at(Number(now / NSEC), Number(now % NSEC))
      counts.events_lost += drafts.length
      return fanout.publish(drafts.map((draft) => normalizer.lost({ time, ...draft })))
    })
  const pump = async (): Promise<void> => {
    await reading.heldBy(fanout.publish(started))
    table.trim()
    counts.process_exec += started.length
    const source = chunks(
      {
        ring: kernel.ring,
        watch: (wake) => kernel.watch(wake),
        maxDelayMs: config.ring.max_delay,
        onEmpty: () => {
          reading.looked()
          losses.drained()
          reconciler.read(0)
        },
        wantsTurn: () => lossRecords.pending,
      },
      stopping.signal,
    )
    for await (const chunk of source) {
      clock.refresh()
      const events: Event[] = []
      losses.malformed += decodeChunk(chunk, (raw, bytes) => {
        tracker.see(raw.cpu, raw.seq)
        const event = normalizer.event(raw, bytes)
        if (event === undefined) return
        if (event.type !== 'process_kprobe') counts[event.type]++
        events.push(event)
      })
      reading.looked()
      reconciler.read(chunk.length)
      idleMemory.read(chunk.length)
      await reading.heldBy(fanout.publish(events))
      table.trim()
      await reading.heldBy(publishLosses())
    }
    // What a sink still refuses of it belongs into the last records of losses.
    await fanout.flush(config.shutdown.grace / 2)
    lossRecords.finish()
    await publishLosses()
  }
  const pumping = pump()
  pumping.catch(broken.reject)
  ready = true
  log.info(
    {
      policies: enabledOf(policies).length,
      kernel: facts.release,
      preemption: facts.preemption,
      http: server.address,
    },
    'ready',
  )

  const rest = undo.move()
  let ending: Promise<{ droppedAtStop: number }> | undefined
  const drain = async (): Promise<{ droppedAtStop: number }> => {
    ready = false
    reading.end()
    folder[Symbol.dispose]()
    policies[Symbol.dispose]()
    stopping.abort()
    const graceEnds = performance.now() + config.shutdown.grace
    const drained = pumping.catch((error: unknown) => log.error({ error: String(error) }, 'reading the ring failed'))
    // An exporter that blocks holds the line; the end of its own grace then lets it go on.
    await within(drained, config.shutdown.grace)
    losses.report()
    await fanout.stop(Math.max(0, graceEnds - performance.now()))
    await within(drained, STUCK_MS)
    const droppedAtStop = fanout.senders.reduce((sum, sender) => sum + sender.accounting().dropped.shutdown, 0)
    await rest.disposeAsync()
    return { droppedAtStop }
  }
  const reopen = async (): Promise<void> => {
    for (const { exporter, error } of await fanout.reopen()) log.error({ exporter }, `cannot be reopened: ${error}`)
  }
  return {
    failed: broken.promise,
    stop: () => (ending ??= drain()),
    hurry: () => void fanout.stop(0),
    reopen,
    // Side by side: a sink that hangs in its reopening is none of the policies' business.
    reload: async () => void (await Promise.all([reopen(), folder.look()])),
  }
}

/** Waits for `work` or for the time, whichever comes first. */
async function within(work: Promise<void>, ms: number): Promise<void> {
  const over = new AbortController()
  await Promise.race([work, setTimeout(ms, undefined, { signal: over.signal })])
  over.abort()
}
