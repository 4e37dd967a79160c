/**
 * Cost of one event in user space. Ring bytes of a recording (test/support/recording; a synthetic one if none was
 * recorded) go through the agent's own pipeline into /dev/null and into a file that is synced each second; then single
 * stages, and JSON.stringify of the same records for comparison.
 */
import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Event } from '../../exporters/contract/event.ts'
import { decodeChunk } from '../../collector/wire/decode.ts'
import { systemFiles } from '../../exporters/sinks/file/file-system.ts'
import type { FileSystem } from '../../exporters/sinks/file/file-system.ts'
import { FileExporter } from '../../exporters/sinks/file/exporter.ts'
import { createCompactEncoder } from '../../exporters/encoding/compact.ts'
import { FanOut, Sender, createJsonEncoder } from '../../exporters/index.ts'
import { loadRecording } from '../support/recording/recording.ts'
import { synthesize } from '../support/recording/synthetic.ts'
import { recordOf } from '../unit/exporters/support/model.ts'
import { play } from './support/play.ts'
import { Line, NODE_NAME, chunksOf } from './support/replay.ts'
import { QUICK, median, printResult, show } from './support/result.ts'
import { CHAIN, exporterConfig } from '../support/exporter-config.ts'

const SYNTHETIC_RECORDS = 60_000
const STAGE_MS = QUICK ? 400 : 1_500
const LINE_EVENTS = QUICK ? 400_000 : 2_000_000
const LINE_RUNS = QUICK ? 1 : 3
/** Tetragon's own encoder, one core of such a machine (the project's reference measurement). */
const TETRAGON_EVENTS_PER_S = 41_000

interface Speed {
  readonly cpuUs: number
  readonly perS: number
  readonly bytes: number
}

const fake = { ino: 0, dev: 0, size: 0, mode: 0o600, mtimeMs: 0, isFile: (): boolean => true }
/** /dev/null instead of a regular file: the exporter does everything except the disk's part. */
const nullFiles = (path: string): FileSystem => ({
  ...systemFiles,
  open: async (_path, flags, mode) =>
    Object.assign(await systemFiles.open('/dev/null', flags, mode), {
      stat: async () => fake,
      truncate: async () => {},
      datasync: async () => {},
      chmod: async () => {},
    }),
  // Only this path: a rotation searches for a free name.
  lstat: async (name) => (name === path ? fake : systemFiles.lstat(name)),
  rename: async () => {},
})

const recording = (process.argv.includes('--synthetic') ? undefined : loadRecording()) ?? synthesize(SYNTHETIC_RECORDS)
const parts = chunksOf(recording)
const eventsInRound = parts.reduce((sum, chunk) => sum + new Line(recording).take(chunk).length, 0)

/** The pipeline of agent.ts from source to sink, with one file exporter. */
async function line(path: string, files: FileSystem, fsync: 'never' | number): Promise<Speed> {
  const exporter = new FileExporter({ ...exporterConfig('file', { path, rotate: { max_files: 3 } }), fsync }, { files })
  const sender = new Sender('bench', exporter, CHAIN)
  const fanout = new FanOut([{ encoder: createJsonEncoder({ nodeName: NODE_NAME }), sender }])
  await fanout.start()
  const rounds = Math.ceil(LINE_EVENTS / eventsInRound)
  const before = process.cpuUsage()
  const startMs = performance.now()
  await play(recording, rounds, fanout)
  await fanout.stop(60_000)
  const ms = performance.now() - startMs
  const { user, system } = process.cpuUsage(before)
  const { accepted, delivered, deliveredBytes } = sender.accounting()
  if (delivered !== accepted || accepted !== rounds * eventsInRound || sender.imbalance() !== 0) {
    throw new Error(`expected ${rounds * eventsInRound} events delivered, got ${delivered} of ${accepted}`)
  }
  return { cpuUs: (user + system) / delivered, perS: (delivered / ms) * 1000, bytes: deliveredBytes / delivered }
}

/** One stage alone: `run` handles the whole recording once and returns the number of bytes that it made. */
function stage(run: () => number): Speed {
  for (let end = performance.now() + STAGE_MS / 3; performance.now() < end;) run()
  const before = process.cpuUsage()
  const startMs = performance.now()
  let rounds = 0
  let bytes = 0
  for (; performance.now() - startMs < STAGE_MS; rounds++) bytes += run()
  const ms = performance.now() - startMs
  const { user, system } = process.cpuUsage(before)
  const events = rounds * eventsInRound
  return { cpuUs: (user + system) / events, perS: (events / ms) * 1000, bytes: bytes / events }
}

/** CPU of the median run, wall time of the best: other load on the machine only slows it. */
async function runs(run: () => Promise<Speed>): Promise<Speed> {
  const all: Speed[] = []
  for (let i = 0; i < LINE_RUNS; i++) all.push(await run())
  return {
    cpuUs: median(all.map(({ cpuUs }) => cpuUs)),
    perS: Math.max(...all.map(({ perS }) => perS)),
    bytes: median(all.map(({ bytes }) => bytes)),
  }
}

const build = fileURLToPath(new URL('../../build/', import.meta.url))
mkdirSync(build, { recursive: true })
const folder = mkdtempSync(`${build}bench-`)
process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
const speeds: Array<readonly [name: string, speed: Speed]> = []

const nullPath = `${folder}/null.jsonl`
speeds.push(['ring bytes → JSON lines → /dev/null', await runs(() => line(nullPath, nullFiles(nullPath), 'never'))])
speeds.push([
  'ring bytes → JSON lines → file, fdatasync each second',
  await runs(() => line(`${folder}/events.jsonl`, systemFiles, 1000)),
])
if (statSync(`${folder}/events.jsonl`).size === 0) throw new Error('expected lines in the file, it is empty')

const decoding = (): number => {
  for (const chunk of parts) decodeChunk(chunk, () => {})
  return 0
}
const replayed = new Line(recording)
const normalizing = (): number => {
  for (const chunk of parts) replayed.take(chunk)
  replayed.pass(recording.spanMs)
  return 0
}
speeds.push(['decode', stage(decoding)])
speeds.push(['decode + normalize', stage(normalizing)])

const encoded = new Line(recording)
const cycles: Event[][] = parts.flatMap((chunk) => {
  const events = encoded.take(chunk)
  // As the fan-out cuts them.
  return Array.from({ length: Math.ceil(events.length / 200) }, (_, i) => events.slice(i * 200, i * 200 + 200))
})
const json = createJsonEncoder({ nodeName: NODE_NAME })
speeds.push(['encode JSON', stage(() => cycles.reduce((sum, events) => sum + json.encode(events).bytes.length, 0))])
const compact = createCompactEncoder({ nodeName: NODE_NAME })
speeds.push([
  'encode compact',
  stage(() => cycles.reduce((sum, events) => sum + compact.encode(events).bytes.length, 0)),
])
const records = cycles.map((events) => events.map((event) => recordOf(event, NODE_NAME)))
const stringify = (): number => {
  let bytes = 0
  for (const cycle of records) for (const record of cycle) bytes += Buffer.from(`${JSON.stringify(record)}\n`).length
  return bytes
}
speeds.push(['JSON.stringify of the same records, built beforehand', stage(stringify)])

const of = (part: string): Speed => speeds.find(([name]) => name.includes(part))?.[1] ?? { cpuUs: 0, perS: 0, bytes: 0 }
printResult(
  'user-space',
  [
    { name: 'rate to /dev/null', value: Math.round(of('/dev/null').perS), unit: 'events/s', atLeast: 400_000 },
    { name: 'to /dev/null', value: of('/dev/null').cpuUs, unit: 'µs CPU per event', atMost: 2 },
    { name: 'rate to a file', value: Math.round(of('fdatasync').perS), unit: 'events/s', atLeast: 400_000 },
    { name: 'to a file', value: of('fdatasync').cpuUs, unit: 'µs CPU per event', atMost: 2 },
    ...speeds.slice(2).map(([name, { cpuUs }]) => ({ name, value: cpuUs, unit: 'µs CPU per event' })),
  ],
  [
    {
      title: 'User space, one process',
      columns: ['', 'CPU µs per event', 'events/s (wall, best run)', 'bytes per event', "Tetragon's encoder alone = 1"],
      rows: speeds.map(([name, { cpuUs, perS, bytes }]) => [
        name,
        show(cpuUs, 2),
        show(Math.round(perS / 1000) * 1000),
        bytes === 0 ? '' : show(bytes),
        bytes === 0 || name === 'encode compact' ? '' : show(1e6 / cpuUs / TETRAGON_EVENTS_PER_S, 1),
      ]),
      notes: [
        `A stage alone discards its results, so the compiler can omit work. Ring bytes: ${recording.source}; ${show(eventsInRound)} events a round, of ${recording.hooks.length} hooks.`,
        'The first two rows are the agent’s chain to the file exporter.',
      ],
    },
  ],
)
