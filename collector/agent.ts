/**
 * The agent: creates its parts from sink to source, each from the earlier ones, and stops them from source to sink. The only file that
 * may use config, native and exporters together.
 *
 *   ring ─▶ ingest ─▶ enrichment ─▶ delivery ─▶ exporters        policies ─▶ kernel        telemetry reads them all
 */
import { nodeNameOf } from '../config/agent/effective.ts'
import type { LoadedConfig } from '../config/agent/load.ts'
import type { Policy } from '../config/policy/policy.ts'
import { Api } from './api/api.ts'
import { ChangeRecords } from './delivery/change-records.ts'
import { makeStacks, startEnrichment } from './enrich/make.ts'
import { makeGuard } from './guard/make.ts'
import { Housekeeping } from './host/housekeeping.ts'
import type { Log } from './host/log.ts'
import { machineId } from './host/machine-id.ts'
import { makePlaces } from './identity/places.ts'
import { Ingest } from './ingest/ingest.ts'
import { HOST_KERNEL } from './kernel/open.ts'
import type { KernelSource } from './kernel/open.ts'
import { connect } from './kubernetes/client.ts'
import { Line } from './line.ts'
import { takePlace } from './place.ts'
import { startPolicies } from './policies/start.ts'
import { reloaderOf } from './reload/apply.ts'
import { Running } from './running.ts'
import type { RunningAgent } from './running.ts'
import { LoopLag } from './telemetry/metrics/loop-lag.ts'
import { makeRecords } from './telemetry/records.ts'
import { Telemetry } from './telemetry/telemetry.ts'
import { makeMemoryGuard, startUpkeep } from './upkeep.ts'

export interface AgentOptions {
  readonly loaded: LoadedConfig
  /** Empty for a config that no file has: it is not reloaded. */
  readonly configFile: string
  readonly log: Log
  /** Ends only the start of the exporters, which may be third-party code and hang; the start then throws its reason. */
  readonly stop: AbortSignal
  /** Takes the place of an agent that runs: watches first, then asks that one to stop. */
  readonly takesOver?: boolean
  /** Runs for one command, and leaves its place to an agent that stays. */
  readonly temporary?: boolean
  /** Default: the kernel of this host. */
  readonly source?: KernelSource
}

/**
 * Starts everything; resolves when all hooks are attached and events flow. Throws CollectorError, ConfigError, ExportError or NativeError, and
 * undoes everything it did.
 */
export async function startAgent(options: AgentOptions): Promise<RunningAgent> {
  await using undo = new AsyncDisposableStack()
  const { loaded, configFile, log, source = HOST_KERNEL } = options
  const { config } = loaded
  source.check()
  const nodeName = nodeNameOf(config, process.env).value
  const place = { ...options, source, nodeName, hostId: machineId(config.procfs) }
  // An agent that takes over watches first.
  const early = options.takesOver ? undefined : await takePlace(undo, config.exporters, place)
  const facts = await source.facts(log)
  const places = makePlaces(config)
  const { announced, pods, workloads } = places
  const kernel = undo.use(await source.open(config, facts, workloads, log))
  const stacks = makeStacks(config, log)
  const ingest = undo.use(new Ingest({ kernel, workloads, nodeName, config, log, stacks }))
  const { hooks, processes } = ingest
  await ingest.scan()

  const kubernetes = config.kubernetes && undo.use(await connect(config.kubernetes, process.env))
  const changes = new ChangeRecords({ now: () => ingest.now(), wake: () => ingest.wake() })
  const loopLag = undo.use(new LoopLag())
  const begin = (add: readonly Policy[]): Promise<void> => {
    loopLag.working()
    return stacks.loadFor(add)
  }
  const attached = { config, programs: kernel.policies, hooks, facts, kubernetes, nodeName, begin, changes, log }
  const { policies, folder, sources } = await startPolicies(undo, attached)
  const { lock, delivery } = early ?? (await takePlace(undo, config.exporters, place))
  ingest.begin(lock.since)
  const { contents } = kernel.policies.lookups
  const sourced = { config, contents, stacks, places, kubernetes, nodeName, processes, log }
  const enrichment = startEnrichment(undo, sourced)

  const guard = makeGuard(undo, { kernel, ingest, facts, procfs: config.procfs, log })
  const records = await makeRecords(config, delivery, { kernel, ingest, guard, log })
  const keeping = undo.use(new Housekeeping())
  const working = (): void => [loopLag, keeping].forEach((each) => each.working())
  const line = new Line({ ingest, enrichment, delivery, ...records, changes, working, log }, config.shutdown.grace)
  const memory = makeMemoryGuard(config, delivery, log)
  const reloadable = { loaded, configFile, changes, ...records, delivery, folder, memory, line, log }
  const reloader = undo.use(reloaderOf(reloadable))
  const served = { delivery, ingest, policies, announced, nodeName, config, facts, log }
  const api = undo.use(new Api({ ...served, ready: (): boolean => telemetry.ready }))
  const observed = { kernel, ingest, enrichment, policies, kubernetes, delivery, loopLag, guard, api, reloader }
  const parts = { ...observed, ...records, reloads: folder.reloads }
  const telemetry = undo.use(new Telemetry(parts, { nodeName, config, facts, log }))

  const http = await telemetry.serve()
  changes.begin()
  const grpc = await api.serve()
  folder.watch(log)
  startUpkeep(keeping, { kernel, ingest, policies, pods, telemetry, line, ...records, changes, memory, log })
  line.start()
  if (configFile !== '') reloader.watch()
  telemetry.announce({ http, grpc })
  // Hooks of container runtimes hold up the start of a container.
  if (pods !== undefined || config.containers !== undefined) void api.load()
  const running = { lock, ingest, line, delivery, telemetry, policies, folder, sources, api, reloader, ...records, log }
  return new Running(running, undo.move())
}
