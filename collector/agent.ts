/**
 * The agent: creates its parts from sink to source, each from the earlier ones, and stops them from source to sink. The only file that uses
 * config, native and exporters together.
 *
 *   ring ─▶ ingest ─▶ enrichment ─▶ delivery ─▶ exporters        policies ─▶ kernel        telemetry reads them all
 */
import { nodeNameOf, ringWatermarkBytes } from '../config/agent/effective.ts'
import type { LoadedConfig } from '../config/agent/load.ts'
import type { Config } from '../config/agent/schema.ts'
import { EncoderPool, Numberings } from '../exporters/index.ts'
import { gzip, hasBtf, kernelFunctions, kernelSymbols, realTime, zstd } from '../native/index.ts'
import { Api } from './api/api.ts'
import { startDelivery } from './delivery/delivery.ts'
import { BOUNDS as ENRICHMENT_BOUNDS, Enrichment, together } from './enrich/enrichment.ts'
import { FileHashes } from './enrich/hashes.ts'
import { KernelSymbols } from './enrich/stacks/kernel-symbols.ts'
import { StackFrames } from './enrich/stacks/stack-frames.ts'
import { UserCode } from './enrich/stacks/user-code.ts'
import { checkHost } from './host/checks.ts'
import { checkDescriptors } from './host/descriptors.ts'
import { Housekeeping } from './host/housekeeping.ts'
import { IdleMemory, collectGarbage } from './host/idle-memory.ts'
import { takeLock } from './host/lock.ts'
import { MemoryGuard, logPressure } from './host/memory.ts'
import { Announcements } from './identity/announced.ts'
import { cgroupsAt } from './identity/cgroup-tree.ts'
import { followPods } from './identity/follow-pods.ts'
import { Identity } from './enrich/identity.ts'
import { Pods } from './identity/pods.ts'
import { Workloads } from './identity/workloads.ts'
import { createEpoch } from './delivery/epoch.ts'
import { Ingest } from './ingest/ingest.ts'
import { asksForDetails } from './process/detail/details.ts'
import { readKernelFacts } from './kernel/facts.ts'
import type { KernelFacts } from './kernel/facts.ts'
import { lackingFeatures } from './kernel/features.ts'
import { AgentStops } from './guard/agent-stops.ts'
import { makeGuard } from './guard/make.ts'
import { KernelSide } from './kernel/kernel-side.ts'
import { loadedModules } from './kernel/symbols.ts'
import { connect } from './kubernetes/client.ts'
import { Line } from './line.ts'
import { KernelPolicies, policyLog } from './policies/attach.ts'
import { ModuleWatch } from './policies/modules.ts'
import { PolicyFolder } from './policies/folder.ts'
import { followPolicies } from './policies/kubernetes.ts'
import { Policies, enabledOf } from './policies/registry.ts'
import { applyConfig } from './reload/apply.ts'
import { Reloader } from './reload/reloader.ts'
import { Running } from './running.ts'
import type { RunningAgent } from './running.ts'
import { Runtimes } from './runtimes/runtimes.ts'
import { ChangeRecords } from './delivery/change-records.ts'
import { LastRuns } from './telemetry/last-runs.ts'
import type { Log } from './host/log.ts'
import { LoopLag } from './telemetry/metrics/loop-lag.ts'
import { NamespaceCounts } from './telemetry/metrics/namespaces.ts'
import { RunRecords } from './telemetry/run-records.ts'
import { Telemetry } from './telemetry/telemetry.ts'

/**
 * Starts everything; resolves when all hooks are attached and events flow. Throws CollectorError, ConfigError, ExportError or NativeError, and
 * undoes everything it did. `stop` ends only the start of the exporters, which may be third-party code and hang; then it throws the reason of
 * `stop`.
 */
export async function startAgent(
  loaded: LoadedConfig,
  log: Log,
  stop: AbortSignal,
  configFile: string,
): Promise<RunningAgent> {
  await using undo = new AsyncDisposableStack()
  const { config } = loaded
  checkDescriptors()
  checkHost(hasBtf)
  undo.use(await takeLock())
  const nodeName = nodeNameOf(config, process.env).value
  const epoch = createEpoch()
  const encoding = { encoders: new EncoderPool(nodeName), compressors: { gzip, zstd } }
  const context = { nodeName, epoch, numberings: new Numberings(epoch), ...encoding, env: process.env, log, configFile }
  const delivery = undo.use(await startDelivery(config.exporters, context, stop))

  const facts = await readKernelFacts(kernelSymbols, kernelFunctions, realTime)
  const without = lackingFeatures(facts)
  if (Object.keys(without).length > 0) {
    log.info({ kernel: facts.release, without }, 'this kernel lacks some features: what ktrail does without them')
  }
  const pods = config.kubernetes?.pods ? new Pods() : undefined
  const announced = new Announcements()
  const workloads = new Workloads(pods, announced)
  const kernel = undo.use(await openKernel(config, facts, log, workloads))
  announced.listen((each) => workloads.announce(each, cgroupsAt(config.procfs, each.cgroup)))
  const { expose_stack_addresses: addresses, procfs } = config
  const stacks = new StackFrames({
    kernel: new KernelSymbols({ file: `${procfs}/kallsyms`, modules: loadedModules, warn: (why) => log.warn(why) }),
    user: new UserCode(procfs),
    addresses,
  })
  const ingest = undo.use(new Ingest({ kernel, workloads, nodeName, config, log, stacks }))
  await ingest.scan()
  const loopLag = undo.use(new LoopLag())
  const kernelPolicies = new KernelPolicies(kernel.policies, ingest.hooks, facts, log, (add) => {
    loopLag.working()
    return stacks.loadFor(add)
  })
  const changes = new ChangeRecords({ now: () => ingest.now(), wake: () => ingest.wake() })
  const policies = undo.use(new Policies(kernelPolicies, (change) => changes.note(change)))
  const folder = undo.use(new PolicyFolder({ paths: config.policies, policies, onChange: policyLog(log) }))
  await folder.start()
  const kubernetes = config.kubernetes && undo.use(await connect(config.kubernetes, process.env))
  const sources = new AsyncDisposableStack()
  undo.use(sources)
  const runtimes = config.containers && undo.use(new Runtimes({ config: config.containers, log }))
  const asks = pods !== undefined || runtimes !== undefined
  const identity = (): Identity =>
    new Identity({ pods, runtimes, announced }, (process, known) => ingest.processes.identify(process, known))
  const enrichment = new Enrichment(
    together([new FileHashes(kernel.policies.lookups.contents), stacks, ...(asks ? [identity()] : [])]),
    {
      ...ENRICHMENT_BOUNDS,
      ms: config.kubernetes?.pod_wait ?? ENRICHMENT_BOUNDS.ms,
    },
  )
  void runtimes?.start()
  if (kubernetes && pods) undo.use(followPods({ client: kubernetes, nodeName, pods, log }))
  if (kubernetes && config.kubernetes?.policies) {
    sources.use(await followPolicies({ client: kubernetes, config: config.kubernetes, policies, nodeName, log }))
  }

  const stops = undo.use(new AgentStops({ log }))
  const guard = makeGuard({ kernel, ingest, stops, facts, procfs: config.procfs, log })
  const ready = (): boolean => telemetry.ready
  const api = undo.use(new Api({ delivery, ingest, policies, announced, nodeName, config, facts, log, ready }))
  const reloader = undo.use(
    new Reloader({
      file: configFile,
      env: process.env,
      loaded,
      log,
      changed: (names) => {
        changes.note({ what: 'config_changed', by: `file ${configFile}`, names })
        runRecords.hurry()
      },
      apply: (next, before, stopping) => applyConfig({ delivery, folder, memory, line }, next, before, stopping),
    }),
  )
  const namespaces = config.kubernetes?.metrics_by_namespace ? new NamespaceCounts() : undefined
  const { reloads } = folder
  const parts = {
    kernel,
    ingest,
    enrichment,
    policies,
    kubernetes,
    namespaces,
    reloads,
    reloader,
    delivery,
    loopLag,
    guard,
    api,
  }
  const telemetry = undo.use(new Telemetry(parts, { epoch, nodeName, config, facts, log }))
  const http = await telemetry.serve()
  changes.begin()
  const grpc = await api.serve()
  folder.watch(
    (error) => log.error({ error: String(error) }, 'reading the policy files failed'),
    (reason) => log.warn({ reason }, 'changed policy files are found by polling, within some ten seconds'),
  )
  const keeping = undo.use(new Housekeeping())
  const working = (): void => {
    loopLag.working()
    keeping.working()
  }
  const runRecords = new RunRecords({
    heartbeatMs: config.heartbeat,
    lastRuns: await LastRuns.open(config.state_dir, epoch, log),
    exporters: () => delivery.fanout.numbered,
  })
  const { lossRecords } = telemetry
  const line = new Line(
    { ingest, enrichment, delivery, lossRecords, runRecords, changes, namespaces, working, log },
    config.shutdown.grace,
  )
  const memory = new MemoryGuard(config.memory, (pressure, rssBytes) => {
    delivery.fanout.pressure = pressure
    logPressure(log, pressure, rssBytes)
  })
  const modules = new ModuleWatch({ policies, log })
  const idleMemory = new IdleMemory(collectGarbage)
  keeping.start({
    after: [
      () => memory.look(),
      () => idleMemory.look(ingest.bytesRead),
      // First: the others then count what it has removed.
      () => kernel.policies.sweepJoins(),
      () => ingest.tick(),
      () => pods?.tick(),
      () => telemetry.report(),
    ],
    always: [
      () => void kernel.policies.lookups.files.refresh(),
      () => modules.look(),
      () => ingest.accounting.look(),
      () => telemetry.look() && keeping.working(),
      () => line.tick(),
      () => runRecords.tick(performance.now()),
      () => changes.tick(),
      () => ingest.wake(),
    ],
  })
  line.start()
  reloader.watch((reason) => log.warn({ reason }, 'a changed config is found by polling, within some ten seconds'))
  telemetry.ready = true
  log.info(
    { policies: enabledOf(policies).length, kernel: facts.release, preemption: facts.preemption, http, grpc },
    'ready',
  )
  // Hooks of container runtimes hold up the start of a container.
  if (asks) void api.load()

  return new Running({ line, delivery, telemetry, policies, folder, sources, reloader }, undo.move())
}

function openKernel(config: Config, facts: KernelFacts, log: Log, workloads: Workloads): Promise<KernelSide> {
  return KernelSide.open({
    facts,
    workloads,
    mode: config.attach.mode,
    ringBytes: config.ring.size,
    watermarkBytes: ringWatermarkBytes(config),
    processDetails: asksForDetails(config),
    processEnvironment: config.enable_process_environment_variables,
    agentPid: process.pid,
    procfs: config.procfs,
    warn: (detail, message) => log.warn(detail, message),
  })
}
