/**
 * First event of `ktrail watch` through an agent with the default bundle: the time from the start of the command to its first line. The guest's
 * clock counts instructions, so neither the machine nor its load changes a figure.
 */
import { spawn } from 'node:child_process'
import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { ApiClient } from '../../../collector/api/client.ts'
import { FineGuidanceSensors } from '../../../collector/proto/tetragon/sensors_pb.js'
import { COUNTED, QUICK, leaveOut, printResult, rounds } from '../support/result.ts'
import { Started } from './live-agent.ts'

if (!COUNTED) leaveOut('run it by make bench, which counts')

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const RUNS = QUICK ? 1 : 2
/** 10⁹ instructions a second. */
const MS = 'ms, 10⁶ instructions each'
/** Two seconds on a processor that does three instructions a nanosecond. */
const TWO_SECONDS = 6_000
/** Between two reads of the watched file. */
const AGAIN_MS = 20
const WITHIN_MS = 60_000
const DETACHED_POLL_MS = 500

const folder = mkdtempSync(join(tmpdir(), 'ktrail-bench-'))
process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
const SERVER = `unix://${folder}/ktrail.sock`
const watched = join(folder, 'watched')
writeFileSync(watched, 'x')
const config = join(folder, 'config.yaml')
writeFileSync(
  config,
  `log: { level: info, format: json }
policies: [library:default]
server: { grpc: "${SERVER}" }
exporters: { archive: { type: file, path: ${folder}/events.jsonl } }
`,
)

async function attached({ stderr }: ChildProcessWithoutNullStreams, signal: AbortSignal): Promise<void> {
  for (let text = ''; !text.includes('Ctrl-C ends');) text += String((await once(stderr, 'data', { signal }))[0])
}

/** Milliseconds from the start of the command until it watches, and until its first line. The file is read all the time. */
async function watch(): Promise<{ readonly watchesMs: number; readonly lineMs: number }> {
  const startMs = performance.now()
  const command = spawn('./ktrail', ['watch', watched, '--server', SERVER], { cwd: ROOT })
  const late = AbortSignal.timeout(WITHIN_MS)
  const ended = new Promise((resolve) => command.once('close', resolve))
  const reading = setInterval(() => readFileSync(watched), AGAIN_MS)
  try {
    const [lineMs, watchesMs] = await Promise.all([
      once(command.stdout, 'data', { signal: late }).then(() => performance.now() - startMs),
      attached(command, late).then(() => performance.now() - startMs),
    ])
    return { watchesMs, lineMs }
  } finally {
    clearInterval(reading)
    command.kill('SIGINT')
    await ended
    await detached()
  }
}

/** The policies of an ended command are gone: the agent loads the programs of their functions without them. */
async function detached(): Promise<void> {
  using client = new ApiClient(SERVER)
  const names = async (): Promise<readonly string[]> => {
    const { policies } = await client.call(FineGuidanceSensors.method.listTracingPolicies, {})
    return policies.map(({ name }) => name)
  }
  while ((await names()).some((name) => name.startsWith('watch-'))) await setTimeout(DETACHED_POLL_MS)
}

await using agent = await Started.start(config, {})
await watch() // fills caches, the page cache too
const runs = []
for (let i = 0; i < RUNS; i++) runs.push(await watch())
const rows = [
  { name: 'ktrail watch: until it watches', ...rounds(runs.map(({ watchesMs }) => watchesMs)), unit: MS },
  { name: 'ktrail watch: first event', ...rounds(runs.map(({ lineMs }) => lineMs)), unit: MS, atMost: TWO_SECONDS },
  { name: 'start with library:default to ready', ...rounds([agent.readyMs]), unit: MS },
]
printResult('watch', rows, [])
