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
import { createOtlpEncoder } from '../../exporters/encoding/otlp/encode.ts'
import { DEFAULT_RECORDS } from '../../config/agent/exporters/otlp-records.ts'
import type { Encoder } from '../../exporters/contract/exporter.ts'
import { FanOut, Sender, createJsonEncoder } from '../../exporters/index.ts'
import { loadRecording } from '../support/recording/recording.ts'
import { synthesize } from '../support/recording/synthetic.ts'
import { recordOf } from '../unit/exporters/support/model.ts'
import { play } from './support/play.ts'
import { Line, NODE_NAME, chunksOf } from './support/replay.ts'
import { QUICK, printResult, rounds, show, shownSpread } from './support/result.ts'
import type { Rounds } from './support/result.ts'
import { CHAIN, exporterConfig } from '../support/exporter-config.ts'

const SYNTHETIC_RECORDS = 60_000
const STAGE_MS = 400
const LINE_EVENTS = QUICK ? 400_000 : 1_000_000
const ROUNDS = QUICK ? 1 : 5
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
  const times = Math.ceil(LINE_EVENTS / eventsInRound)
  const before = process.cpuUsage()
  const startMs = performance.now()
  await play(recording, times, fanout)
  await fanout.stop(60_000)
  const ms = performance.now() - startMs
  const { user, system } = process.cpuUsage(before)
  const { accepted, delivered, deliveredBytes } = sender.accounting()
  if (delivered !== accepted || accepted !== times * eventsInRound || sender.imbalance() !== 0) {
    throw new Error(`expected ${times * eventsInRound} events delivered, got ${delivered} of ${accepted}`)
  }
  return { cpuUs: (user + system) / delivered, perS: (delivered / ms) * 1000, bytes: deliveredBytes / delivered }
}

/** One stage alone: `run` handles the whole recording once and returns the number of bytes that it made. */
function stage(run: () => number): Speed {
  for (let end = performance.now() + STAGE_MS / 3; performance.now() < end;) run()
  const before = process.cpuUsage()
  const startMs = performance.now()
  let played = 0
  let bytes = 0
  for (; performance.now() - startMs < STAGE_MS; played++) bytes += run()
  const ms = performance.now() - startMs
  const { user, system } = process.cpuUsage(before)
  const events = played * eventsInRound
  return { cpuUs: (user + system) / events, perS: (events / ms) * 1000, bytes: bytes / events }
}

const build = fileURLToPath(new URL('../../build/', import.meta.url))
mkdirSync(build, { recursive: true })
const folder = mkdtempSync(`${build}bench-`)
process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
const speeds = new Map<string, Speed[]>()
const add = (name: string, speed: Speed): unknown => speeds.set(name, [...(speeds.get(name) ?? []), speed])

const nullPath = `${folder}/null.jsonl`
for (let i = 0; i < ROUNDS; i++) {
  add('ring bytes → JSON lines → /dev/null', await line(nullPath, nullFiles(nullPath), 'never'))
  add('ring bytes → JSON lines → file, fdatasync each second', await line(`${folder}/events.jsonl`, systemFiles, 1000))
}
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

const encoded = new Line(recording)
const cycles: Event[][] = parts.flatMap((chunk) => {
  const events = encoded.take(chunk)
  // As the fan-out cuts them.
  return Array.from({ length: Math.ceil(events.length / 200) }, (_, i) => events.slice(i * 200, i * 200 + 200))
})
const json = createJsonEncoder({ nodeName: NODE_NAME })
const compact = createCompactEncoder({ nodeName: NODE_NAME })
const otlp = createOtlpEncoder({ ...DEFAULT_RECORDS, epoch: '1795520000', json })
const encoding = (encoder: Encoder) => (): number =>
  cycles.reduce((sum, events) => sum + encoder.encode(events).bytes.length, 0)
const records = cycles.map((events) => events.map((event) => recordOf(event, NODE_NAME)))
const stringify = (): number => {
  let bytes = 0
  for (const cycle of records) for (const record of cycle) bytes += Buffer.from(`${JSON.stringify(record)}\n`).length
  return bytes
}
const STAGES: Readonly<Record<string, () => number>> = {
  decode: decoding,
  'decode + normalize': normalizing,
  'encode JSON': encoding(json),
  'encode compact': encoding(compact),
  'encode OTLP, JSON body included': encoding(otlp),
  'JSON.stringify of the same records, built beforehand': stringify,
}
for (let i = 0; i < ROUNDS; i++) for (const [name, run] of Object.entries(STAGES)) add(name, stage(run))

const of = (part: string, value: keyof Speed): Rounds =>
  rounds(([...speeds].find(([name]) => name.includes(part))?.[1] ?? []).map((speed) => speed[value]))
printResult(
  'user-space',
  [
    { name: 'rate to /dev/null', ...of('/dev/null', 'perS'), unit: 'events/s', atLeast: 400_000 },
    { name: 'to /dev/null', ...of('/dev/null', 'cpuUs'), unit: 'µs CPU per event', atMost: 2 },
    { name: 'rate to a file', ...of('fdatasync', 'perS'), unit: 'events/s', atLeast: 400_000 },
    { name: 'to a file', ...of('fdatasync', 'cpuUs'), unit: 'µs CPU per event', atMost: 2 },
    ...Object.keys(STAGES).map((name) => ({ name, ...of(name, 'cpuUs'), unit: 'µs CPU per event' })),
  ],
  [
    {
      title: 'User space, one process',
      columns: ['', 'CPU µs per event', 'spread', 'events/s (wall)', 'bytes per event', "Tetragon's encoder alone = 1"],
      rows: [...speeds.keys()].map((name) => {
        const cost = of(name, 'cpuUs')
        const bytes = of(name, 'bytes').value
        return [
          name,
          show(cost.value, 2),
          shownSpread(cost),
          show(Math.round(of(name, 'perS').value / 1000) * 1000),
          bytes === 0 ? '' : show(bytes),
          name.includes('JSON') && !name.includes('OTLP') ? show(1e6 / cost.value / TETRAGON_EVENTS_PER_S, 1) : '',
        ]
      }),
      notes: [
        `Medians of ${ROUNDS} alternating rounds. A stage alone discards its results, so the compiler can omit work. Ring bytes: ${recording.source}; ${show(eventsInRound)} events a round, of ${recording.hooks.length} hooks.`,
        'The first two rows are the agent’s chain to the file exporter.',
      ],
    },
  ],
)
