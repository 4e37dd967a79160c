/**
 * Cost of 100,000 live processes. Exec records go into the process table, then each process has one event in JSON and in
 * OTLP. Forks of one process are the cheap half: they share their parent's texts.
 */
import { execFileSync } from 'node:child_process'
import { createOtlpEncoder } from '../../exporters/encoding/otlp/encode.ts'
import { createJsonEncoder } from '../../exporters/index.ts'
import type { ExitEvent } from '../../exporters/contract/event.ts'
import type { Image } from '../../collector/process/image.ts'
import type { ProcessTable } from '../../collector/process/table.ts'
import { exec, fork, newTable, scanned } from '../unit/collector/support/processes.ts'
import { printResult, show } from './support/result.ts'
import { DEFAULT_RECORDS } from '../../config/agent/exporters/otlp-records.ts'

const PROCESSES = 100_000
const CHUNK = 200
const MB = 1e6

const settledRss = (): number => {
  for (let i = 0; i < 3; i++) globalThis.gc?.()
  return process.memoryUsage.rss()
}
const sum = ({ images, texts, renderings }: ProcessTable['budget']['bytes']): number => images + texts + renderings

function exit(image: Image): ExitEvent {
  const { startTime: time } = image.process
  return {
    type: 'process_exit',
    seq: 0,
    time,
    process: image.process,
    parent: image.parent?.process,
    refcnt: 0,
    signal: '',
    status: 0,
  }
}

type Kind = 'execs' | 'forks'

function fill(kind: Kind, table: ProcessTable, processes: number): void {
  const init = table.addScanned(scanned(1, 0))
  for (let i = 0; i < processes; i++) {
    const pid = 1000 + i
    if (kind === 'forks') table.fork(fork(pid, 1_000_000 + i, 1, init.startLo), 0)
    else {
      const argv = ['worker', '--id', String(i), '--config', '/etc/worker/config.yaml', '--log-level=info']
      const texts = { filename: '/usr/lib/worker/bin/worker', argv, cwd: '/var/lib/worker/instances' }
      table.exec(exec(pid, 1_000_000 + i, 1, init.startLo, texts), 0)
    }
    if (i % CHUNK === 0) table.trim()
  }
  table.trim()
}

const json = createJsonEncoder({ nodeName: 'node-a.example' })
const otlp = createOtlpEncoder({ ...DEFAULT_RECORDS, epoch: '0', body: 'json', json })

interface Cost {
  readonly known: number
  readonly seen: number
  readonly accounted: number
  readonly evicted: string
}

/** In a process of its own: memory left by another round would hide the cost of this one. */
function measure(kind: Kind): Cost {
  const warm = newTable()
  fill(kind, warm, 2000)
  encode(warm)
  const before = settledRss()
  const table = newTable()
  fill(kind, table, PROCESSES)
  const known = settledRss() - before
  encode(table)
  const { renderings, arguments: cut, images } = table.budget.evictions
  if (table.size !== PROCESSES + 2 || images !== 0 || cut !== 0) {
    throw new Error(`expected all ${PROCESSES} processes whole in the table, got ${table.size}, ${cut} cut`)
  }
  return { known, seen: settledRss() - before, accounted: sum(table.budget.bytes), evicted: show(renderings) }
}

/** One event of each process. */
function encode(table: ProcessTable): void {
  let events: ExitEvent[] = []
  for (const image of table.latest()) {
    events.push(exit(image))
    if (events.length < CHUNK) continue
    json.encode(events)
    otlp.encode(events)
    table.trim()
    events = []
  }
}

function measured(kind: Kind): Cost {
  const output = execFileSync(process.execPath, [...process.execArgv, import.meta.filename, kind], { encoding: 'utf8' })
  const cost: Cost = JSON.parse(output)
  return cost
}

const row = (name: string, { known, seen, accounted, evicted }: Cost): string[] => [
  name,
  show(known / MB),
  show(seen / MB),
  show(accounted / MB),
  evicted,
]
const [kind] = process.argv.slice(2)
if (kind === 'forks' || kind === 'execs') console.log(JSON.stringify(measure(kind)))
else report(measured('forks'), measured('execs'))

function report(forks: Cost, execs: Cost): void {
  printResult(
    'processes',
    [{ name: '100,000 live processes that were all seen', value: execs.seen / MB, unit: 'MB of RSS', atMost: 200 }],
    [
      {
        title: '100,000 live processes, memory.process_table of 128 MiB',
        columns: ['', 'RSS of the table, MB', 'and one event of each, MB', 'accounted, MB', 'renderings evicted'],
        rows: [row('forks of one process', forks), row('each with an exec of its own', execs)],
        notes: ['RSS above that of the bench, after garbage collection.'],
      },
    ],
  )
}
