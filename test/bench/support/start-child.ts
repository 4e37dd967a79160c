/**
 * The start of `ktrail run` until it is ready, without the parts that need a kernel that can attach: modules, config, policies,
 * exporters, addon, symbols, /proc scan, HTTP. Prints the milliseconds since this process began, by step, and ends.
 * argv: a config file.
 */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
// Not used: loads every module of the agent.
import '../../../collector/agent.ts'
import { configOrThrow, parseConfigFile } from '../../../config/agent/check.ts'
import { parsePolicy } from '../../../config/policy/parse.ts'
import { readTextFile } from '../../../config/yaml/files.ts'
import { serve } from '../../../collector/telemetry/http.ts'
import { readKernelFacts } from '../../../collector/kernel/facts.ts'
import { createLog } from '../../../collector/telemetry/log.ts'
import { createFanOut } from '../../../exporters/start.ts'
import { EncoderPool } from '../../../exporters/index.ts'
import { WallClock } from '../../../collector/process/clock.ts'
import { scanProcfs } from '../../../collector/process/procfs.ts'
import { ProcessTable } from '../../../collector/process/table.ts'
import { clockOffset, hasBtf, kernelFunctions, kernelSymbols } from '../../../native/index.ts'

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
const fanout = await createFanOut(config.exporters, {
  nodeName: 'bench',
  epoch: 'bench',
  encoders: new EncoderPool('bench'),
  env: process.env,
  log,
})
await fanout.start()
done('exporters')
hasBtf()
await readKernelFacts(kernelSymbols, kernelFunctions)
done('addon and symbols')
const table = new ProcessTable('bench', new WallClock(clockOffset))
for (const process of await scanProcfs('/proc')) table.addScanned(process)
done('process scan')
const server = await serve(config.server.http, { '/readyz': () => ({ status: 200, body: 'ready\n' }) }, console.warn)
done('http')

console.log(JSON.stringify({ steps, rssMB: process.memoryUsage.rss() / 1e6, processes: table.size }))
await fanout.stop(1000)
await server[Symbol.asyncDispose]()
rmSync(folder, { recursive: true })
process.exit(0)
