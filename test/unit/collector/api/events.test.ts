/** GetEvents: filters, field filters, and readers that do not read. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { setImmediate } from 'node:timers/promises'
import { test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import type { JsonValue } from '@bufbuild/protobuf'
import { status } from '@grpc/grpc-js'
import type { ClientReadableStream } from '@grpc/grpc-js'
import type { Event } from '../../../../exporters/contract/event.ts'
import { createJsonEncoder } from '../../../../exporters/index.ts'
import {
  file,
  makeExec,
  makeExit,
  makeHook,
  makeKprobe,
  makeLoss,
  makeParent,
  makeProcess,
} from '../../exporters/support/events.ts'
import { asTetragons, goldenEvents } from '../../exporters/support/golden-events.ts'
import { exec, fork, scanned, NODE } from '../support/processes.ts'
import { NOW, Rig } from './support/rig.ts'
import type { TableClient } from './support/tables.ts'

/** Opens a stream and waits until the agent has it. */
async function opened(client: TableClient, request: JsonValue = {}): Promise<ClientReadableStream<JsonValue>> {
  const stream = client.read(request)
  stream.on('error', () => {})
  await once(stream, 'metadata')
  return stream
}

/** The next messages of a stream. */
async function take(stream: ClientReadableStream<JsonValue>, count: number): Promise<JsonValue[]> {
  const taken: JsonValue[] = []
  for (let i = 0; i < count; i++) {
    const [message] = await once(stream, 'data')
    taken.push(message)
  }
  return taken
}

/** Waits for a condition. */
async function until(what: string, holds: () => boolean): Promise<void> {
  // A busy machine may be ten times slower.
  const end = performance.now() + 60_000
  while (!holds()) {
    assert.ok(performance.now() < end, `not within 60 s: ${what}`)
    await setImmediate()
  }
}

/** Collects everything that a stream brings. */
function collected(stream: ClientReadableStream<JsonValue>): string[] {
  const lines: string[] = []
  stream.on('data', (message: JsonValue) => lines.push(JSON.stringify(message)))
  return lines
}

test('api events: a client made from the tables gets every golden event as its JSON line has it', async () => {
  await using rig = await Rig.start()
  const stream = await opened(rig.client())
  const events = goldenEvents()
  rig.delivery.publish(events)
  const got = await take(stream, events.length)
  const text = Buffer.from(createJsonEncoder({ nodeName: NODE }).encode(events.map(asTetragons)).bytes).toString()
  assert.deepEqual(
    got,
    text
      .trimEnd()
      .split('\n')
      .map((line): JsonValue => JSON.parse(line)),
  )
})

const shell = makeProcess({ pid: 10, binary: '/bin/sh', arguments: '-c ls', docker: 'abc', inInitTree: true })
const ls = makeProcess({ pid: 11, binary: '/usr/bin/ls', arguments: '/etc', docker: '', inInitTree: false })
const EVENTS: readonly Event[] = [
  makeExec({ seq: 1, process: shell, parent: makeParent({ pid: 1, binary: '/sbin/init' }) }),
  makeExit({ seq: 2, process: ls, parent: shell, status: 1 }),
  makeKprobe({ seq: 3, process: ls, parent: shell, tid: 11, hook: makeHook({ policy: 'p1' }) }),
  makeKprobe({ seq: 4, process: shell, parent: undefined, tid: 10, hook: makeHook({ policy: 'p2' }) }),
  makeLoss({ seq: 5 }),
]

const SHOWN: readonly JsonValue[] = EVENTS.map((event) =>
  JSON.parse(String(Buffer.from(createJsonEncoder({ nodeName: NODE }).encode([event]).bytes))),
)

/** The events that each filter lets through; the fifth is a loss. */
const FILTERS: ReadonlyArray<readonly [name: string, request: JsonValue, want: readonly number[]]> = [
  ['none', {}, [1, 2, 3, 4, 5]],
  ['an empty filter', { allow_list: [{}] }, [1, 2, 3, 4, 5]],
  ['an empty filter beside another', { allow_list: [{ pid: [99] }, {}] }, [1, 2, 3, 4, 5]],
  ['binary_regex', { allow_list: [{ binary_regex: ['/ls$', 'nothing'] }] }, [2, 3, 5]],
  ['binary_regex, anchored', { allow_list: [{ binary_regex: ['^ls'] }] }, [5]],
  ['parent_binary_regex', { allow_list: [{ parent_binary_regex: ['sh$'] }] }, [2, 3, 5]],
  ['arguments_regex', { allow_list: [{ arguments_regex: ['^-c'] }] }, [1, 4, 5]],
  ['parent_arguments_regex', { allow_list: [{ parent_arguments_regex: ['^-c'] }] }, [2, 3, 5]],
  ['pid', { allow_list: [{ pid: [11] }] }, [2, 3, 5]],
  ['pid_set of a parent', { allow_list: [{ pid_set: [1] }] }, [1, 5]],
  ['pid_set of itself', { allow_list: [{ pid_set: [10] }] }, [1, 2, 3, 4, 5]],
  ['ancestor_binary_regex', { allow_list: [{ ancestor_binary_regex: ['init'] }] }, [1, 5]],
  ['event_set', { allow_list: [{ event_set: ['PROCESS_EXEC', 'PROCESS_EXIT'] }] }, [1, 2, 5]],
  ['event_set of losses', { allow_list: [{ event_set: ['RATE_LIMIT_INFO'] }] }, [5]],
  ['event_set of what ktrail does not make', { allow_list: [{ event_set: ['PROCESS_LSM'] }] }, [5]],
  ['policy_names', { allow_list: [{ policy_names: ['p1'] }] }, [3, 5]],
  ['container_id', { allow_list: [{ container_id: ['^ab'] }] }, [1, 4, 5]],
  ['in_init_tree', { allow_list: [{ in_init_tree: true }] }, [1, 4, 5]],
  ['in_init_tree false', { allow_list: [{ in_init_tree: false }] }, [2, 3, 5]],
  ['no namespace: the host', { allow_list: [{ namespace: [''] }] }, [1, 2, 3, 4, 5]],
  ['a namespace', { allow_list: [{ namespace: ['default'] }] }, [5]],
  ['namespace_regex', { allow_list: [{ namespace_regex: ['.*'] }] }, [5]],
  ['pod_regex', { allow_list: [{ pod_regex: ['.*'] }] }, [5]],
  ['container_name_regex', { allow_list: [{ container_name_regex: ['.*'] }] }, [5]],
  ['labels', { allow_list: [{ labels: ['app=web'] }] }, [5]],
  ['health_check', { allow_list: [{ health_check: true }] }, [5]],
  ['health_check false', { allow_list: [{ health_check: false }] }, [1, 2, 3, 4, 5]],
  ['two keys', { allow_list: [{ pid: [11], event_set: ['PROCESS_EXIT'] }] }, [2, 5]],
  ['two filters', { allow_list: [{ policy_names: ['p2'] }, { event_set: ['PROCESS_EXEC'] }] }, [1, 4, 5]],
  ['a deny list', { deny_list: [{ pid: [11] }] }, [1, 4, 5]],
  ['both lists', { allow_list: [{ pid: [10] }], deny_list: [{ policy_names: ['p2'] }] }, [1, 5]],
  ['a deny list of everything', { deny_list: [{}] }, [5]],
]

test('api events: filters', async () => {
  await using rig = await Rig.start()
  const client = rig.client()
  for (const [name, request, want] of FILTERS) {
    const stream = await opened(client, request)
    rig.delivery.publish(EVENTS)
    const numbers = (await take(stream, want.length)).map(
      (message) => 1 + SHOWN.findIndex((each) => isDeepStrictEqual(each, message)),
    )
    assert.deepEqual(numbers, want, name)
    stream.cancel()
    await until('the reader is gone', () => rig.api.readers.count === 0)
  }
})

test('api events: ancestors are found in the process table, over any number of generations', async () => {
  await using rig = await Rig.start()
  const { processes } = rig
  const init = processes.addScanned(scanned(1, 0, { binary: '/sbin/init' }))
  const daemon = processes.addScanned(scanned(100, 1, { binary: '/usr/sbin/daemon' }))
  const first = processes.exec(exec(200, 6000, 100, daemon.startLo, { filename: '/bin/sh' }), 0)
  processes.fork(fork(300, 7000, 200, 6000), 0)
  const second = processes.exec(exec(300, 8000, 200, 6000, { filename: '/bin/ls' }), 0)
  const outside = processes.exec(exec(400, 9000, 1, init.startLo, { filename: '/bin/ls' }), 0)
  const events = [second, outside].map(({ process, parent }) => makeExec({ process, parent: parent?.process }))
  for (const filter of [{ pid_set: [100] }, { ancestor_binary_regex: ['daemon'] }]) {
    const stream = await opened(rig.client(), { allow_list: [filter], deny_list: [{ pid: [200] }] })
    rig.delivery.publish([...events, makeLoss()])
    const [only, end] = (await take(stream, 2)).map((message) => JSON.stringify(message))
    assert.match(only ?? '', /"pid":300,/)
    assert.match(end ?? '', /rate_limit_info/)
    stream.cancel()
  }
  assert.equal(first.process.binary, '/bin/sh')
})

const FIELDS: ReadonlyArray<readonly [name: string, filters: JsonValue, want: JsonValue]> = [
  ['include', [{ fields: 'process.pid,status' }], { process_exit: { process: { pid: 11 }, status: 1 } }],
  [
    'include a name of two words',
    [{ fields: 'process.execId' }],
    { process_exit: { process: { exec_id: ls.execId } } },
  ],
  [
    'exclude',
    [{ fields: 'process,parent', action: 'EXCLUDE' }],
    { process_exit: { status: 1, time: '2024-04-14T02:18:14.376304204Z' } },
  ],
  [
    'one after the other',
    [{ fields: 'process,time' }, { fields: 'process.pid' }],
    { process_exit: { process: { pid: 11 } } },
  ],
  [
    'a message and a field below it',
    [{ fields: 'status,process.pid,process.pid' }],
    { process_exit: { status: 1, process: { pid: 11 } } },
  ],
  [
    'other events only',
    [{ fields: 'process', event_set: ['PROCESS_EXIT'], invert_event_set: true }, { fields: 'status' }],
    { process_exit: { status: 1 } },
  ],
  ['these events', [{ fields: 'status', event_set: ['PROCESS_EXIT'] }], { process_exit: { status: 1 } }],
]

test('api events: field filters cut the event and keep the fields around it', async () => {
  await using rig = await Rig.start()
  const client = rig.client()
  for (const [name, filters, want] of FIELDS) {
    const stream = await opened(client, { field_filters: filters })
    rig.delivery.publish([EVENTS[1] ?? makeExit(), makeLoss()])
    const got = await take(stream, 2)
    const around = { node_name: NODE, time: '2024-04-14T02:18:14.376304204Z' }
    assert.deepEqual(
      got,
      [
        { ...Object(want), ...around },
        { rate_limit_info: { number_of_dropped_process_events: '123' }, ...around },
      ],
      name,
    )
    stream.cancel()
  }
})

test('api events: field filters reach into lists', async () => {
  await using rig = await Rig.start()
  const stream = await opened(rig.client(), { field_filters: [{ fields: 'args.fileArg.path,policyName' }] })
  rig.delivery.publish([makeKprobe({ args: [file('/a'), file('/b')] })])
  const [got] = await take(stream, 1)
  assert.deepEqual(Object(got)['process_kprobe'], {
    args: [{ file_arg: { path: '/a' } }, { file_arg: { path: '/b' } }],
    policy_name: 'file-monitoring',
  })
})

const REFUSED: ReadonlyArray<readonly [name: string, request: JsonValue, details: RegExp]> = [
  [
    'cel_expression',
    { allow_list: [{}, { cel_expression: ['true'] }] },
    /^allow_list\[1\]\.cel_expression: ktrail does not/,
  ],
  ['capabilities', { deny_list: [{ capabilities: {} }] }, /^deny_list\[0\]\.capabilities: ktrail does not filter by/],
  ['aggregation', { aggregation_options: { window_size: '1s' } }, /^aggregation_options: ktrail does not aggregate/],
  ['a regular expression', { allow_list: [{ pod_regex: ['('] }] }, /^filters: expected a regular expression of RE2/],
  ['a look-ahead', { allow_list: [{ binary_regex: ['(?=a)'] }] }, /RE2 has neither look-around/],
  ['labels', { allow_list: [{ labels: ['a in'] }] }, /expected a label selector/],
  ['an unknown type', { allow_list: [{ event_set: [77] }] }, /^allow_list\[0\]\.event_set: unknown type of event 77/],
  [
    'an unknown field',
    { field_filters: [{ fields: 'process.pdi' }] },
    /^field_filters\[0\]\.fields: .*"process\.pdi" has no "pdi" \(did you mean "pid"\?\)/,
  ],
  ['a field of the frame', { field_filters: [{ fields: 'nodeName' }] }, /has no "node_name"/],
  ['too many filters', { allow_list: Array.from({ length: 65 }, () => ({})) }, /^expected at most 64 filters, got 65/],
  [
    'too much text',
    { allow_list: [{ binary_regex: ['x'.repeat(70_000)] }] },
    /^expected filters of at most 65536 bytes/,
  ],
]

test('api events: unsupported requests are refused before the stream begins', async () => {
  await using rig = await Rig.start()
  const client = rig.client()
  for (const [name, request, details] of REFUSED) {
    const stream = client.read(request)
    stream.resume()
    const [error] = await once(stream, 'error')
    assert.equal(error.code, status.INVALID_ARGUMENT, name)
    assert.match(error.details, details)
  }
  assert.equal(rig.api.readers.count, 0)
})

const batch = (from: number, count: number): Event[] =>
  Array.from({ length: count }, (_, i) => makeKprobe({ seq: from + i, args: [file('/x'.repeat(100))], process: shell }))

test('api events: a client that does not read delays nothing, and gets the number of lost events', async () => {
  await using rig = await Rig.start()
  const slow = await opened(rig.client())
  const fast = collected(await opened(rig.client()))
  let published = 0
  const rssBefore = process.memoryUsage().rss
  for (; published < 20_000; published += 200) {
    assert.equal(rig.delivery.publish(batch(published, 200)), undefined)
    await setImmediate()
  }
  const { lost } = rig.api.readers.events
  assert.ok(lost > 5_000, `${lost} events lost`)
  assert.ok(process.memoryUsage().rss - rssBefore < 200 << 20)
  const numbers = (line: string): number => Number(/dropped_process_events":"(\d+)"/.exec(line)?.[1] ?? -1)
  const sum = (lines: readonly string[]): number =>
    lines.reduce((all, line) => all + (numbers(line) < 0 ? 1 : numbers(line)), 0)
  // Once it reads, its events and reported losses are all events.
  const late = collected(slow)
  await until('both have everything', () => sum(late) === published && sum(fast) === published)
  assert.equal(
    [...late, ...fast].reduce((all, line) => all + Math.max(0, numbers(line)), 0),
    rig.api.readers.events.lost,
  )
  const [told] = late.filter((line) => numbers(line) >= 0)
  assert.deepEqual(JSON.parse(told ?? '{}').time, '2024-04-14T02:18:14.376304204Z')
  assert.deepEqual(NOW, makeLoss().time)
})

test('api events: fifty clients, half of which do not read, and one too many', async () => {
  await using rig = await Rig.start()
  const streams = await Promise.all(Array.from({ length: 64 }, () => opened(rig.client())))
  const reading = streams.slice(0, 32).map(collected)
  const refused = rig.client().read()
  refused.resume()
  const [error] = await once(refused, 'error')
  assert.deepEqual(
    [error.code, error.details],
    [status.RESOURCE_EXHAUSTED, '64 clients already read events: end one of them'],
  )
  rig.delivery.publish(batch(0, 100))
  await until('all that read have all', () => reading.every((lines) => lines.length === 100))
  for (const stream of streams) stream.cancel()
  await until('the readers are gone', () => rig.api.readers.count === 0)
  assert.equal(rig.api.readers.events.lost, 0)
})

test('api events: a stream ends when the agent stops, after its queued events', async () => {
  await using rig = await Rig.start()
  const stream = await opened(rig.client())
  const lines = collected(stream)
  rig.delivery.publish(batch(0, 50))
  const end = once(stream, 'end')
  await rig.delivery.stop(0)
  await end
  assert.equal(lines.length, 50)
})
