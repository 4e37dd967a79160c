/**
 * Checks that the agent's memory stays flat and its accounting balances, under a steady load with one sink down half of the time.
 *
 *   node test/soak/soak.ts [--minutes 30] [--rate 5000] [--samples FILE]      each sample as a line of JSON
 *
 *   recording ─▶ real agent ──────┬▶ file, rotated and compressed      (followed)
 *                                 ├▶ OTLP, gzip                       (always up)
 *                                 └▶ OTLP, zstd, with a spool         (a minute up, a minute down)
 *
 * Every event that a sink received is counted by its number. Exit code 1: private memory grew or was too large, an event was lost or
 * arrived twice without a reason, or the accounting did not balance.
 */
import { appendFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Account } from './account.ts'
import { FileReader } from './file-reader.ts'
import type { Sample } from '../support/load/agent.ts'
import { LoadedAgent } from '../support/load/child.ts'
import { CountingSink } from './sinks.ts'
import { verdictOf } from './verdict.ts'
import type { Accounts } from './verdict.ts'

const MINUTE_MS = 60_000
/** Durations for which the second sink is up, and down. */
const PHASE_MS = MINUTE_MS
const READ_MS = 500
const DRAIN_MS = 120_000
const SAMPLE_MS = 5000

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '30' },
    rate: { type: 'string', default: '5000' },
    samples: { type: 'string' },
  },
})
const minutes = Number(values.minutes)
const rate = Number(values.rate)
if (!(minutes >= 1 && rate >= 1)) {
  console.error(`soak: expected --minutes and --rate of at least 1, got ${values.minutes} and ${values.rate}`)
  process.exit(2)
}

const build = fileURLToPath(new URL('../../build/', import.meta.url))
mkdirSync(build, { recursive: true })
const folder = mkdtempSync(`${build}soak-`)
process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
const accounts: Accounts = { archive: new Account(), steady: new Account(), flaky: new Account() }

await using steady = new CountingSink(accounts.steady)
await using flaky = new CountingSink(accounts.flaky)
await steady.up()
await flaky.up()
using reader = new FileReader(`${folder}/events.jsonl`, accounts.archive)

// The second time V8 has the compiled modules, as with the launcher's cache.
const cache = { NODE_COMPILE_CACHE: fileURLToPath(new URL('../../build/compile-cache', import.meta.url)) }
{
  await using aside = new CountingSink(new Account())
  await aside.up()
  await using first = await LoadedAgent.start(yaml('first', aside.url, aside.url), cache)
  await first.stop()
}
await using agent = await LoadedAgent.start(yaml('.', steady.url, flaky.url), cache)
await agent.rate(rate)
console.error(`soak: ${minutes} minutes at ${rate} events/s`)

const startMs = performance.now()
const samples: Sample[] = []
let phase = 0
while (performance.now() - startMs < minutes * MINUTE_MS) {
  await look()
  const now = Math.floor((performance.now() - startMs) / PHASE_MS)
  if (now !== phase) await turn((phase = now))
}
await turn(0)
await agent.rate(0)
const endMs = performance.now()
const held = (): number => Object.values(samples.at(-1)?.accounting ?? {}).reduce((sum, each) => sum + each.held, 0)
do await look(true)
while (held() > 0 && performance.now() - endMs < DRAIN_MS)
const last = await agent.stop()
reader.read()
const problems = verdictOf({ minutes, samples, last, accounts })
for (const problem of problems) console.error(`soak: ${problem}`)
process.exitCode = problems.length === 0 ? 0 : 1

/** Reads the file, and takes a sample every few seconds, or at once. */
async function look(atOnce = false): Promise<void> {
  await pause(READ_MS)
  reader.read()
  for (const sink of [steady, flaky]) for (const failure of sink.failures) throw failure
  if (!atOnce && performance.now() - startMs < samples.length * SAMPLE_MS) return
  const sample = await agent.sample()
  samples.push(sample)
  show(sample)
}

/** In phases with even numbers the sink is up; in odd ones it refuses connections and answers 503 in turn. */
async function turn(number: number): Promise<void> {
  flaky.refusal = number % 4 === 3 ? { status: 503 } : undefined
  await (number % 4 === 1 ? flaky.down() : flaky.up())
}

/** `below`: the folder of its files. */
function yaml(below: string, steadyUrl: string, flakyUrl: string): string {
  return `
exporters:
  archive: { type: file, path: "${folder}/${below}/events.jsonl", envelope: true, rotate: { compress: true } }
  steady: { type: otlp, logs_endpoint: "${steadyUrl}", compression: gzip }
  flaky: { type: otlp, logs_endpoint: "${flakyUrl}", compression: zstd, spool: { dir: "${folder}/${below}/spool", min_free: 0B } }
`
}

function show(sample: Sample): void {
  if (values.samples !== undefined) appendFileSync(values.samples, `${JSON.stringify(sample)}\n`)
  const { seconds, memory, cpuMs, published, accounting } = sample
  if (samples.length % 6 !== 0) return
  const mb = (bytes: number): string => (bytes / 1e6).toFixed(0).padStart(4)
  const flakyHeld = accounting['flaky']?.held ?? 0
  console.error(
    `${seconds.toFixed(0).padStart(6)} s  rss ${mb(memory.rss)}  private ${mb(memory.private)}  heap ${mb(memory.heapUsed)}  external ${mb(memory.external)}  ` +
      `buffers ${mb(memory.arrayBuffers)} MB  cpu ${(cpuMs / 10 / seconds).toFixed(1)} %  ${published} events, ${flakyHeld} wait`,
  )
}
