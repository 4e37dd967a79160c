/**
 * How fast do events become JSON lines in one thread? Beside it, in the same run, what JSON.stringify makes of the
 * same records (built beforehand, so that only the printing counts against it).
 * Prints one JSON object a line: name, ns_per_event, events_per_s, bytes_per_event, node.
 */
import type { Event } from '../../collector/event.ts'
import { createCompactEncoder } from '../../exporters/encoding/compact.ts'
import { createJsonEncoder } from '../../exporters/encoding/json-line.ts'
import {
  file,
  int,
  makeExec,
  makeExit,
  makeHook,
  makeKprobe,
  makeParent,
  makeProcess,
  uint,
} from '../unit/exporters/support/events.ts'
import { recordOf } from '../unit/exporters/support/model.ts'

const EVENTS = 20_000
const CYCLE = 200
const RUN_MS = 1500
const NODE_NAME = 'node-a.example'

/** 300 processes, 2,000 paths, four hooks; 96 % kprobe, the rest exec and exit; times that move on. */
function mix(): Event[] {
  const paths = Array.from({ length: 2000 }, (_, i) => `/etc/app-${i % 40}/conf.d/part-${i}.conf`)
  const names = ['security_file_permission', 'security_mmap_file', 'security_path_truncate', 'fd_install']
  const hooks = names.map((functionName, id) => makeHook({ id, functionName }))
  const processes = Array.from({ length: 300 }, (_, i) => {
    const words = `--config /etc/app-${i}/main.conf --verbose --worker ${i} --listen 0.0.0.0:${8000 + i}`
    const place = { binary: `/usr/lib/app/bin/worker-${i % 17}`, cwd: `/var/lib/app-${i}` }
    return makeProcess({ pid: 1000 + i, arguments: words, ...place, docker: '', flags: 'execve clone' })
  })
  const parents = Array.from({ length: 20 }, (_, i) => makeParent({ pid: 500 + i, docker: '' }))
  return Array.from({ length: EVENTS }, (_, i): Event => {
    const process = processes[(i * 7919) % 300] ?? makeProcess()
    const parent = parents[i % 20]
    const change = { seq: i, process, parent, time: { sec: 1_790_000_000 + (i >> 10), nsec: (i * 7_654_321) % 1e9 } }
    if (i % 50 === 0) return makeExec(change)
    if (i % 50 === 25) return makeExit(change)
    const hook = hooks[i % 4] ?? makeHook()
    const argument = file(paths[(i * 31) % 2000] ?? '/', { inode: i })
    return makeKprobe({ ...change, tid: process.pid, hook, args: [argument, i % 4 === 1 ? uint(5) : int(4)] })
  })
}

const round = (value: number): number => Math.round(value * 10) / 10

function report(name: string, run: () => number): void {
  for (let end = performance.now() + RUN_MS / 3; performance.now() < end;) run()
  let rounds = 0
  let bytes = 0
  const start = performance.now()
  for (; performance.now() - start < RUN_MS; rounds++) bytes += run()
  const events = rounds * EVENTS
  const ns = ((performance.now() - start) * 1e6) / events
  const result = { name, ns_per_event: round(ns), events_per_s: Math.round(1e9 / ns) }
  console.log(JSON.stringify({ ...result, bytes_per_event: round(bytes / events), node: process.version }))
}

const events = mix()
const cycles = Array.from({ length: EVENTS / CYCLE }, (_, i) => events.slice(i * CYCLE, (i + 1) * CYCLE))
const records = events.map((event) => recordOf(event, NODE_NAME))
const json = createJsonEncoder({ nodeName: NODE_NAME })
const compact = createCompactEncoder({ nodeName: NODE_NAME })

report('encode json', () => cycles.reduce((sum, cycle) => sum + json.encode(cycle).bytes.length, 0))
report('encode compact', () => cycles.reduce((sum, cycle) => sum + compact.encode(cycle).bytes.length, 0))
report('JSON.stringify of built records', () =>
  records.reduce<number>((sum, record) => sum + Buffer.from(`${JSON.stringify(record)}\n`).length, 0),
)
