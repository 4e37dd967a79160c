/**
 * The start of `ktrail run` until it is ready, on a kernel that attaches nothing: modules, config, exporters, addon, symbols, /proc scan, policies,
 * HTTP, API. Prints the milliseconds since this process began, by step, and ends; also the memory then, after a collection, and once a client of
 * the API has come. argv: a config file.
 */
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { startAgent } from '../../../collector/agent.ts'
import { collectGarbage } from '../../../collector/host/heap.ts'
import { createLog } from '../../../collector/host/log.ts'
import { HOST_KERNEL } from '../../../collector/kernel/open.ts'
import type { KernelSource } from '../../../collector/kernel/open.ts'
import { configOrThrow, parseConfigFile } from '../../../config/agent/check.ts'
import { hasBtf } from '../../../native/index.ts'
import { kernel as factsOf } from '../../unit/collector/support/facts.ts'
import { SYMBOLS, policyOf } from '../../support/kernel/functions.ts'
import { ReplayKernel } from '../../support/kernel/replay.ts'
import { memoryOf } from '../../support/memory.ts'

/** The allocator gives back freed memory. */
const SETTLE_MS = 1000

const steps: Record<string, number> = {}
const done = (step: string): void => void (steps[step] = performance.now())
const folder = mkdtempSync(join(tmpdir(), 'ktrail-bench-'))
chmodSync(folder, 0o700)
const at = (name: string): string => join(folder, name)
writeFileSync(at('policy.yaml'), policyOf('file-monitoring'))
const socket = at('api.sock')
let processes = 0

const idle = new ReplayKernel({ facts: factsOf(6, 12), symbols: SYMBOLS })
/** Has the facts of this host, and a kernel that attaches nothing. */
const source: KernelSource = {
  check: () => {},
  lock: (takesOver, temporary) => idle.source.lock(takesOver, temporary),
  facts: async (log) => {
    done('exporters')
    hasBtf()
    return HOST_KERNEL.facts(log)
  },
  open: async (config, facts, workloads, log) => {
    done('addon and symbols')
    const kernel = new ReplayKernel({ facts, symbols: SYMBOLS })
    const { seedProcess } = kernel
    kernel.seedProcess = (pid, startNs) => {
      processes++
      return seedProcess.call(kernel, pid, startNs)
    }
    kernel.seedImages = () => done('process scan')
    return kernel.source.open(config, facts, workloads, log)
  },
}

done('modules')
const configFile = process.argv[2] ?? ''
Object.assign(process.env, { BENCH_FOLDER: folder, BENCH_POLICIES: at('policy.yaml') })
const loaded = configOrThrow(await parseConfigFile(configFile, process.env))
const { config } = loaded
done('config')
const agent = await startAgent({
  loaded,
  configFile,
  log: createLog({ ...config.log, level: 'error' }),
  stop: new AbortController().signal,
  source,
})
done('policies, HTTP and API')

const MB = 1e6
const rssMB = process.memoryUsage.rss() / MB
/** Memory of the agent at rest: it collects garbage once when it is quiet. */
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
console.log(JSON.stringify({ steps, rssMB, rest, firstClientMs, served, processes }))
await agent.stop()
rmSync(folder, { recursive: true })
process.exit(0)
