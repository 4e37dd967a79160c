/**
 * The start of `ktrail run` until it is ready, without the parts that need a kernel that can attach: modules, config, policies,
 * exporters, addon, symbols, /proc scan, HTTP, API. Prints the milliseconds since this process began, by step, and ends; also the memory
 * then, after a collection, and once a client of the API has come. argv: a config file.
 */
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
// Not used: loads every module of the agent.
import '../../../collector/agent.ts'
import { configOrThrow, parseConfigFile } from '../../../config/agent/check.ts'
import { parsePolicy } from '../../../config/policy/parse.ts'
import { readTextFile } from '../../../config/yaml/files.ts'
import { Api } from '../../../collector/api/api.ts'
import { Delivery } from '../../../collector/delivery/delivery.ts'
import { LostRanges } from '../../../collector/delivery/lost-ranges.ts'
import { collectGarbage } from '../../../collector/host/idle-memory.ts'
import { Announcements } from '../../../collector/identity/announced.ts'
import { serve } from '../../../collector/telemetry/http.ts'
import { readKernelFacts } from '../../../collector/kernel/facts.ts'
import { createLog } from '../../../collector/host/log.ts'
import { createFanOut } from '../../../exporters/start.ts'
import { EncoderPool } from '../../../exporters/index.ts'
import { WallClock } from '../../../collector/process/clock.ts'
import { scanProcfs } from '../../../collector/process/procfs.ts'
import { ProcessTable } from '../../../collector/process/table.ts'
import { memoryOf } from '../../support/memory.ts'
import { clockOffset, hasBtf, kernelFunctions, kernelSymbols, realTime } from '../../../native/index.ts'

/** The allocator gives back what was freed. */
const SETTLE_MS = 1000

const steps: Record<string, number> = {}
const done = (step: string): void => void (steps[step] = performance.now())
const folder = mkdtempSync(join(tmpdir(), 'ktrail-bench-'))
chmodSync(folder, 0o700)

done('modules')
const { config } = configOrThrow(await parseConfigFile(process.argv[2] ?? '', { ...process.env, BENCH_FOLDER: folder }))
for (const place of ['config/policies/file-monitoring.yaml']) {
  const read = await readTextFile(place)
  if ('problems' in read || 'problems' in parsePolicy(read.text, place)) throw new Error(`${place} has problems`)
}
done('config and policies')
const log = createLog(config.log)
const context = { nodeName: 'bench', epoch: 'bench', encoders: new EncoderPool('bench'), env: process.env, log }
const fanout = await createFanOut(config.exporters, context)
await fanout.start()
done('exporters')
hasBtf()
const facts = await readKernelFacts(kernelSymbols, kernelFunctions, realTime)
done('addon and symbols')
const table = new ProcessTable('bench', new WallClock(clockOffset))
for (const process of await scanProcfs('/proc')) table.addScanned(process)
done('process scan')
const server = await serve(config.server.http, { '/readyz': () => ({ status: 200, body: 'ready\n' }) }, console.warn)
done('http')
const socket = join(folder, 'api.sock')
const noKernel = (): Promise<never> => Promise.reject(new Error('no policies here'))
const api = new Api({
  delivery: new Delivery(fanout, new LostRanges('bench'), context),
  ingest: { now: () => ({ sec: 0, nsec: 0 }), processes: table },
  policies: { list: () => [], add: noKernel, remove: noKernel, enable: noKernel, disable: noKernel },
  config: { ...config, server: { ...config.server, grpc: { path: socket } } },
  announced: new Announcements(),
  nodeName: 'bench',
  facts,
  log,
  ready: () => true,
})
await api.serve()
done('API')

const MB = 1e6
const rssMB = process.memoryUsage.rss() / MB
/** What the agent has at rest: it collects once when it is quiet. */
async function atRest(): Promise<{ readonly rssMB: number; readonly privateMB: number }> {
  await collectGarbage(true)
  await setTimeout(SETTLE_MS)
  const { residentBytes, privateBytes } = memoryOf('self')
  return { rssMB: residentBytes / MB, privateMB: privateBytes / MB }
}
const rest = await atRest()
const startMs = performance.now()
const client = connect(socket)
// gRPC's server speaks first.
await once(client, 'data')
const firstClientMs = performance.now() - startMs
const served = await atRest()
client.destroy()
console.log(JSON.stringify({ steps, rssMB, rest, firstClientMs, served, processes: table.size }))
await api[Symbol.asyncDispose]()
await fanout.stop(1000)
await server[Symbol.asyncDispose]()
rmSync(folder, { recursive: true })
process.exit(0)
