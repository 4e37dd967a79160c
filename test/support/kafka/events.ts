/** Described parts as the agent makes them: JSON lines of kprobe, exec and exit events with sequence and time. */
import type { Event } from '../../../exporters/contract/event.ts'
import { createJsonEncoder } from '../../../exporters/encoding/json-line.ts'
import { describe } from '../../../exporters/contract/described.ts'
import type { Described } from '../../../exporters/contract/described.ts'
import {
  file,
  int,
  makeExec,
  makeExit,
  makeHook,
  makeKprobe,
  makeParent,
  makeProcess,
} from '../../unit/exporters/support/events.ts'

export const NODE_NAME = 'node-a.example'
export const START_SEC = 1_790_000_000
const PART_EVENTS = 200

const encoder = createJsonEncoder({ nodeName: NODE_NAME })
const hooks = ['security_file_permission', 'security_mmap_file', 'security_path_truncate'].map((functionName, id) =>
  makeHook({ id, functionName, policy: `policy-${id}` }),
)
const parents = Array.from({ length: 20 }, (_, i) => makeParent({ pid: 500 + i, docker: '' }))
const processes = Array.from({ length: 300 }, (_, i) =>
  makeProcess({
    pid: 1000 + i,
    execId: Buffer.from(`${NODE_NAME}:${i}000000:${1000 + i}`).toString('base64'),
    arguments: `--config /etc/app-${i}/main.conf --verbose --listen 0.0.0.0:${8000 + i}`,
    binary: `/usr/lib/app/bin/worker-${i % 17}`,
    docker: '',
  }),
)

/** Milliseconds at which event `seq` happened. */
export const timeOf = (seq: number): number => START_SEC * 1000 + Math.floor(seq / 3)

/** The event of this number, always the same. */
export function eventOf(seq: number): Event {
  const process = processes[(seq * 7919) % processes.length] ?? makeProcess()
  const parent = parents[seq % parents.length]
  const ms = timeOf(seq)
  const change = { seq, process, parent, time: { sec: Math.floor(ms / 1000), nsec: (ms % 1000) * 1e6 + 789 } }
  if (seq % 50 === 0) return makeExec(change)
  if (seq % 50 === 25) return makeExit(change)
  const hook = hooks[seq % hooks.length] ?? makeHook()
  const path = `/etc/app-${seq % 40}/conf.d/part-${(seq * 31) % 2000}.conf`
  return makeKprobe({ ...change, tid: process.pid, hook, args: [file(path, { inode: seq }), int(4)] })
}

/** Events `from` up to `to` (exclusive), in parts of 200. The exporter's number of an event is the event's own. */
export function describedParts(from: number, to: number): Described[] {
  const parts: Described[] = []
  for (let first = from; first < to; first += PART_EVENTS) {
    const events = Array.from({ length: Math.min(PART_EVENTS, to - first) }, (_, i) => eventOf(first + i))
    parts.push({ ...describe(encoder.encode(events), events), number: first })
  }
  return parts
}
