import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Argument, Event, MemberValue, Process } from '../../../../exporters/contract/event.ts'
import { createJsonEncoder } from '../../../../exporters/encoding/json-line.ts'
import {
  file,
  int,
  makeExec,
  makeExit,
  makeHook,
  makeKprobe,
  makeChange,
  makeLoss,
  makeProcess,
  makeRendered,
  text,
} from '../support/events.ts'
import { goldenEvents } from '../support/golden-events.ts'
import { matchesGolden } from '../support/golden.ts'
import { recordOf } from '../support/model.ts'

const NODE = 'tetragon-dev-control-plane'
const encoder = createJsonEncoder({ nodeName: NODE })
const decoder = new TextDecoder('utf-8', { fatal: true })

/** Every line, decoded strictly as UTF-8 and parsed by the engine's own parser. */
function parsed(events: readonly Event[]): unknown[] {
  const { bytes, ends, count } = encoder.encode(events)
  assert.equal(count, events.length)
  assert.equal(ends.at(-1) ?? 0, bytes.length)
  return Array.from(ends, (end, i) => {
    const line = decoder.decode(bytes.subarray(ends[i - 1] ?? 0, end))
    assert.equal(line.indexOf('\n'), line.length - 1, 'one line feed, at the end')
    return JSON.parse(line)
  })
}

const at = (sec: number): Event => makeExec({ time: { sec, nsec: 0 } })
const line = (event: Event): string => Buffer.from(encoder.encode([event]).bytes).toString()

test('json: the golden records are unchanged', () => {
  matchesGolden('events.jsonl', Buffer.from(encoder.encode(goldenEvents()).bytes).toString())
})

test('json: the golden records equal an independently built object, key order included', () => {
  const want = goldenEvents().map((event) => JSON.stringify(recordOf(event, NODE)))
  assert.deepEqual(
    parsed(goldenEvents()).map((record) => JSON.stringify(record)),
    want,
  )
})

test('json: a write event has the keys of Tetragon in their order', () => {
  const want = {
    process_kprobe: {
      process: {
        exec_id: 'dGV0cmFnb24tZGV2LWNvbnRyb2wtcGxhbmU6MTY4MTc3MDUwMTI1NDI6NjQ3NDY=',
        pid: 64746,
        uid: 0,
        cwd: '/',
        binary: '/bin/vi',
        arguments: '/etc/passwd',
        flags: 'execve rootcwd clone',
        start_time: '2024-04-14T02:18:02.240856427Z',
        auid: 4294967295,
        docker: '6b742e38ee3a212239e6d48b2954435',
        parent_exec_id: 'dGV0cmFnb24tZGV2LWNvbnRyb2wtcGxhbmU6MTY4MDE3MDQ3OTQyOTg6NjQ2MTU=',
        refcnt: 1,
        tid: 64746,
      },
      parent: {
        exec_id: 'dGV0cmFnb24tZGV2LWNvbnRyb2wtcGxhbmU6MTY4MDE3MDQ3OTQyOTg6NjQ2MTU=',
        pid: 64615,
        uid: 0,
        cwd: '/',
        binary: '/bin/sh',
        flags: 'execve rootcwd clone',
        start_time: '2024-04-14T02:17:46.240638141Z',
        auid: 4294967295,
        docker: '6b742e38ee3a212239e6d48b2954435',
        parent_exec_id: 'dGV0cmFnb24tZGV2LWNvbnRyb2wtcGxhbmU6MTY3OTgyOTA2MDc3NTc6NjQ1NjQ=',
        tid: 64615,
      },
      function_name: 'security_file_permission',
      args: [{ file_arg: { path: '/etc/passwd', permission: '-rw-r--r--' } }, { int_arg: 2 }],
      return: { int_arg: 0 },
      action: 'KPROBE_ACTION_POST',
      policy_name: 'file-monitoring',
      return_action: 'KPROBE_ACTION_POST',
    },
    node_name: 'tetragon-dev-control-plane',
    time: '2024-04-14T02:18:14.376304204Z',
  }
  assert.equal(line(makeKprobe()), `${JSON.stringify(want)}\n`)
})

const TIMES = [
  { nsec: 0, want: '2024-04-14T02:18:14Z' },
  { nsec: 100_000_000, want: '2024-04-14T02:18:14.100Z' },
  { nsec: 1_000_000, want: '2024-04-14T02:18:14.001Z' },
  { nsec: 1_001_000, want: '2024-04-14T02:18:14.001001Z' },
  { nsec: 1000, want: '2024-04-14T02:18:14.000001Z' },
  { nsec: 1, want: '2024-04-14T02:18:14.000000001Z' },
  { nsec: 999_999_999, want: '2024-04-14T02:18:14.999999999Z' },
]
for (const { nsec, want } of TIMES) {
  test(`json: ${nsec} ns are printed as ${want}`, () => {
    assert.ok(line(makeExec({ time: { sec: 1713061094, nsec } })).endsWith(`"time":"${want}"}\n`))
  })
}

test('json: the cached second follows changes in both directions', () => {
  const times = parsed([at(0), at(1713061094), at(1713061094), at(0)]).map((record) =>
    JSON.stringify(record).slice(-25),
  )
  assert.deepEqual(
    times.map((tail) => tail.replace(/.*"time":/, '').slice(-23, -2)),
    ['1970-01-01T00:00:00Z', '2024-04-14T02:18:14Z', '2024-04-14T02:18:14Z', '1970-01-01T00:00:00Z'].map(
      (t) => `"${t}`,
    ),
  )
})

test('json: a process rendered once shows the refcnt and tid of each event, and none of them as a parent', () => {
  const process = makeProcess()
  const events = [
    makeKprobe({ process, tid: 1, refcnt: 1 }),
    makeKprobe({ process, tid: 2, refcnt: 1 }),
    makeKprobe({ process, tid: 2, refcnt: 0 }),
    makeExec({ process: makeProcess({ pid: 9 }), parent: process }),
    makeExit({ process, refcnt: 3 }),
  ]
  assert.deepEqual(
    parsed(events),
    events.map((event) => recordOf(event, NODE)),
  )
})

test('json: an empty node name is left out', () => {
  const bytes = createJsonEncoder({ nodeName: '' }).encode([makeExec()]).bytes
  assert.ok(!Buffer.from(bytes).toString().includes('node_name'))
})

test('json: no events yield no bytes', () => {
  assert.deepEqual(parsed([]), [])
})

test('json: an Encoded does not change while the encoder makes the next', () => {
  const first = encoder.encode([makeExec()])
  const before = Buffer.from(first.bytes).toString()
  encoder.encode([makeExit(), makeKprobe()])
  assert.equal(Buffer.from(first.bytes).toString(), before)
})

test('json: lines far larger than the scratch buffer are whole', () => {
  const long = '/'.padEnd(700_000, 'é"')
  assert.deepEqual(parsed([makeKprobe({ args: [file(long), int(2)] }), makeExec()])[1], recordOf(makeExec(), NODE))
})

test('json: strings are escaped on both sides of the length limit for copying at once', () => {
  for (const length of [0, 1, 47, 48, 49, 100]) {
    for (const odd of ['', '"', '\\', '\x00', '\x1f', '\x7f', 'é', '\u2028', '\u{1f600}', '\ud800']) {
      const event = makeKprobe({ args: [text('x'.repeat(length) + odd)] })
      assert.deepEqual(parsed([event])[0], recordOf(event, NODE))
    }
  }
})

test('json: calls of a hook whose argument has a field of the same name but another kind are each whole', () => {
  const hook = makeHook()
  const kinds: readonly Argument[] = [
    { kind: 'number', field: 'skb_arg', value: 5 },
    { kind: 'struct', field: 'skb_arg', text: 'x', members: [['hash', 1]] },
    { kind: 'number', field: 'file_arg', value: 5 },
    file('/a'),
  ]
  for (const first of kinds) {
    for (const second of kinds) {
      const events = [first, second].map((arg) => makeKprobe({ hook, args: [arg], returned: arg }))
      assert.deepEqual(
        parsed(events),
        events.map((event) => recordOf(event, NODE)),
      )
    }
  }
})

const word = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 80 }),
  fc.string({ unit: 'grapheme', maxLength: 80 }),
  fc.string({ maxLength: 80 }),
  fc.constantFrom('', '\ud800', '"\\', '\n', '\u2028\u2029', '</script>', '\ufffd'),
)
const time = fc.record({
  sec: fc.integer({ min: 0, max: 4_102_444_800 }),
  nsec: fc.integer({ min: 0, max: 999_999_999 }),
})
const u32 = fc.integer({ min: 0, max: 0xffff_ffff })
const process: fc.Arbitrary<Process> = fc.record({
  execId: word,
  parentExecId: word,
  pid: u32,
  uid: u32,
  auid: u32,
  cwd: word,
  binary: word,
  arguments: word,
  argv: word,
  flags: word,
  startTime: time,
  docker: word,
  unlinkedInode: fc.option(fc.bigInt({ min: 1n, max: 2n ** 64n - 1n }), { nil: undefined }),
  inInitTree: fc.constantFrom(true, false, undefined),
  refcnt: u32,
  rendered: fc.constant(undefined).map(makeRendered),
})
const raw = fc.constant(undefined)
const argument: fc.Arbitrary<Argument> = fc.oneof(
  fc.record({
    kind: fc.constant('file' as const),
    field: fc.constantFrom('file_arg', 'path_arg'),
    path: word,
    raw,
    mode: fc.integer({ min: 0, max: 0xffff }),
    inode: u32,
    device: u32,
    unresolved: fc.boolean(),
    unstable: fc.boolean(),
    deleted: fc.boolean(),
    details: fc.constant(undefined),
  }),
  fc.record({ kind: fc.constant('number' as const), field: fc.constant('int_arg'), value: fc.integer() }),
  fc.record({ kind: fc.constant('number' as const), field: fc.constant('uint_arg'), value: u32 }),
  fc.record({
    kind: fc.constant('wide' as const),
    field: fc.constant('long_arg'),
    value: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  }),
  fc.record({
    kind: fc.constant('wide' as const),
    field: fc.constant('size_arg'),
    value: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  }),
  fc.record({
    kind: fc.constant('string' as const),
    field: fc.constant('string_arg'),
    value: word,
    raw,
    truncated: fc.boolean(),
  }),
  fc.record({ value: fc.uint8Array({ maxLength: 20 }), more: fc.nat(1) }).map(({ value, more }) => ({
    kind: 'bytes' as const,
    field: more === 0 ? 'bytes_arg' : 'truncated_bytes_arg',
    value,
    size: BigInt(value.length + more),
  })),
  fc.record({ kind: fc.constant('error' as const), field: fc.constant('error_arg'), message: word }),
)
const action = fc.constantFrom('post', 'override')
const hook = fc.record({
  policy: word,
  functionName: word,
  action,
  returnAction: action,
  message: word,
  tags: fc.array(word),
  labels: fc.array(word),
  indexes: fc.constant([]),
})
const base = { seq: u32, time, process, parent: fc.option(process, { nil: undefined }), refcnt: u32 }
const executed = fc.record(
  {
    arguments: word,
    flags: word,
    environment: fc.array(fc.tuple(word, word), { minLength: 1 }),
    raised: fc.constant(
      new Map<string, MemberValue>([
        ['setuid', 0],
        ['privileges_changed', ['A', 'B']],
      ]),
    ),
  },
  { requiredKeys: [] },
)
const event: fc.Arbitrary<Event> = fc.oneof(
  fc.record({ type: fc.constant('process_exec' as const), ...base }),
  fc.record({ type: fc.constant('process_exec' as const), ...base, executed }),
  fc.record({
    type: fc.constant('process_exit' as const),
    ...base,
    signal: word,
    status: fc.integer({ min: 0, max: 255 }),
  }),
  fc.record({
    type: fc.constant('process_kprobe' as const),
    ...base,
    tid: u32,
    hook: hook.map(makeHook),
    args: fc.array(argument, { maxLength: 5 }),
    returned: fc.option(argument, { nil: undefined }),
  }),
  fc.record({ time, count: fc.nat(2 ** 48) }).map((change) => makeLoss(change)),
  fc
    .record({
      time,
      by: word,
      names: fc.array(word, { maxLength: 3 }),
      count: fc.nat(),
      mode: fc.constantFrom(undefined, 'enforce' as const),
      modeBefore: fc.constantFrom(undefined, 'monitor' as const),
    })
    .map((change) => makeChange(change)),
)

test('json: any events parse to the independently built objects, key order included', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 6 }), (events) => {
      const want = events.map((one) => JSON.stringify(recordOf(one, NODE)))
      assert.deepEqual(
        parsed(events).map((record) => JSON.stringify(record)),
        want,
      )
    }),
    { numRuns: 400 },
  )
})
