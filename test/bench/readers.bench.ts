/**
 * Cost of a live reader to the exporters, and the cost without readers. One agent with its API plays a recording as fast as a file and an
 * OTLP sink take it; `ktrail events` comes and goes. Then the same at 5,000 events/s. Windows without and with readers alternate.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Folder } from '../unit/exporters/support/folder.ts'
import type { Sample } from '../support/load/agent.ts'
import { LoadedAgent } from '../support/load/child.ts'
import { discardingSink } from './support/discarding-sink.ts'
import { QUICK, median, printResult, rounds, show } from './support/result.ts'
import type { Rounds } from './support/result.ts'

const ROUNDS = QUICK ? 3 : 5
/** At a fixed rate: fewer, so that make bench stays short. */
const STEADY_ROUNDS = 3
const WINDOW_MS = QUICK ? 1000 : 1500
const PER_SECOND = 5000
const KTRAIL = fileURLToPath(new URL('../../ktrail', import.meta.url))

interface Window {
  readonly perSecond: number
  readonly cpuUs: number
  /** Messages to readers, per second. */
  readonly sent: number
}

await using stack = new AsyncDisposableStack()
const folder = stack.use(new Folder())
const { url } = stack.use(await discardingSink())
const address = `unix://${folder.at('api.sock')}`
const chain = 'queue: { when_full: block }'
const agent = stack.use(
  await LoadedAgent.start(`server: { grpc: "${address}" }
exporters:
  archive: { type: file, path: "${folder.at('events.jsonl')}", rotate: { max_size: 64MiB, max_files: 1 }, ${chain} }
  otlp: { type: otlp, logs_endpoint: "${url}", compression: gzip, ${chain} }
`),
)

const delivered = ({ accounting }: Sample): number =>
  Math.min(...Object.values(accounting).map((each) => each.delivered))

async function measured(): Promise<Window> {
  const before = await agent.sample()
  await setTimeout(WINDOW_MS)
  const after = await agent.sample()
  const seconds = after.seconds - before.seconds
  const events = delivered(after) - delivered(before)
  return {
    perSecond: events / seconds,
    cpuUs: ((after.cpuMs - before.cpuMs) * 1000) / (after.published - before.published),
    sent: (after.readers.sent - before.readers.sent) / seconds,
  }
}

/** Readers that read, and readers that are stopped as a terminal's Ctrl-S stops them. */
async function withReaders(reading: number, silent: number, run: () => Promise<Window>): Promise<Window> {
  const readers = Array.from({ length: reading + silent }, () =>
    spawn(KTRAIL, ['events', '-o', 'json', '--server', address], { stdio: ['ignore', 'ignore', 'inherit'] }),
  )
  while ((await agent.sample()).readers.present < readers.length) await setTimeout(50)
  for (const { pid = 0 } of readers.slice(reading)) process.kill(pid, 'SIGSTOP')
  await setTimeout(WINDOW_MS / 4)
  const window = await run()
  const ended = readers.map((reader) => once(reader, 'exit'))
  for (const reader of readers) reader.kill('SIGKILL')
  await Promise.all(ended)
  while ((await agent.sample()).readers.present > 0) await setTimeout(50)
  await setTimeout(WINDOW_MS / 4)
  return window
}

const NAMES = ['no reader', 'one reader', 'one reader that does not read'] as const
type Name = (typeof NAMES)[number]

async function contest(perSecond: number, count: number): Promise<ReadonlyMap<Name, readonly Window[]>> {
  await agent.rate(perSecond)
  await setTimeout(2 * WINDOW_MS)
  const windows = new Map<Name, Window[]>(NAMES.map((name) => [name, []]))
  for (let i = 0; i < count; i++) {
    windows.get('no reader')?.push(await measured())
    windows.get('one reader')?.push(await withReaders(1, 0, measured))
    windows.get('one reader that does not read')?.push(await withReaders(0, 1, measured))
  }
  return windows
}

/** The ratios within each round: other load on the machine changes slowly. */
function ratio(windows: ReadonlyMap<Name, readonly Window[]>, name: Name, value: keyof Window): Rounds {
  const base = windows.get('no reader') ?? []
  return rounds((windows.get(name) ?? []).map((window, i) => window[value] / (base[i]?.[value] ?? Number.NaN)))
}

const most = await contest(Infinity, ROUNDS)
const steady = await contest(PER_SECOND, STEADY_ROUNDS)
await agent.rate(0)
await agent.stop()

const of = (windows: ReadonlyMap<Name, readonly Window[]>, name: Name, value: keyof Window): number =>
  median((windows.get(name) ?? []).map((window) => window[value]))
printResult(
  'readers',
  [
    {
      name: 'CPU per event at full rate, a live reader ÷ without',
      ...ratio(most, 'one reader', 'cpuUs'),
      unit: '×',
      atMost: 1.03,
    },
    {
      name: 'CPU per event at full rate, a reader that does not read ÷ without',
      ...ratio(most, 'one reader that does not read', 'cpuUs'),
      unit: '×',
      atMost: 1.05,
    },
    {
      name: 'CPU per event at 5,000 events/s, a live reader ÷ without',
      ...ratio(steady, 'one reader', 'cpuUs'),
      unit: '×',
    },
    {
      name: 'CPU per event at 5,000 events/s, a reader that does not read ÷ without',
      ...ratio(steady, 'one reader that does not read', 'cpuUs'),
      unit: '×',
      atMost: 1.05,
    },
  ],
  [
    {
      title: 'Live readers (`ktrail events`) beside a file and an OTLP sink',
      columns: ['', 'events/s at most', 'CPU µs per event', 'messages/s', 'CPU µs per event at 5,000/s', 'messages/s'],
      rows: NAMES.map((name) => [
        name,
        show(Math.round(of(most, name, 'perSecond') / 1000) * 1000),
        show(of(most, name, 'cpuUs'), 2),
        show(Math.round(of(most, name, 'sent'))),
        show(of(steady, name, 'cpuUs'), 2),
        show(Math.round(of(steady, name, 'sent'))),
      ]),
      notes: [
        'CPU of the agent only. Medians of alternating windows.',
        'At full speed the reader gets a small share and loses the rest.',
      ],
    },
  ],
)
