/** Sequences of raw events → the events made of them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RawValue } from '../../../../collector/wire/values.ts'
import type { RawEvent, RawReturn } from '../../../../collector/wire/decode.ts'
import type { HookRecord } from '../../../../collector/wire/hook-record.ts'
import type { Argument, ProcessEvent } from '../../../../exporters/contract/event.ts'
import { Normalizer } from '../../../../collector/ingest/normalize.ts'
import type { KnownHook } from '../../../../collector/ingest/call.ts'
import { WallClock } from '../../../../collector/process/clock.ts'
import type { ProcessTable } from '../../../../collector/process/table.ts'
import { valueIndex } from '../../../../collector/plan/layout/hook.ts'
import * as wire from '../../../../collector/wire/wire.ts'
import type { ArgumentSpec } from '../../../../config/policy/policy.ts'
import { createJsonEncoder } from '../../../../exporters/index.ts'
import { makeHook } from '../../exporters/support/events.ts'
import { arg, typeOf } from '../support/specs.ts'
import { OFFSET_NS, exec, fork, newTable, scanned } from '../support/processes.ts'

type Recorded = Exclude<RawEvent, RawReturn>

interface Setup {
  readonly table: ProcessTable
  readonly normalizer: Normalizer
  readonly shellStart: number
  now: number
  /** The event of a raw event, which must exist. */
  event(raw: Recorded, bytes?: Buffer): ProcessEvent
}

/** `types`: of the policy's args, those of parameter 0, 1, … */
function setup(types: readonly string[] = [], returned = 'int'): Setup {
  return setupOf(
    types.map((type, index) => arg(index, type)),
    returned,
  )
}

function setupOf(args: readonly ArgumentSpec[], returned = 'int', bySelector: KnownHook['bySelector'] = []): Setup {
  const table = newTable()
  const shell = table.addScanned(scanned(100, 1, { binary: '/bin/sh' }))
  const known: KnownHook = {
    hook: makeHook({ id: 3 }),
    bySelector,
    args: args.map((each) => ({ index: valueIndex(each), type: each.type })),
    returned: typeOf(returned),
  }
  const made: Setup = {
    table,
    shellStart: shell.startLo,
    now: 0,
    normalizer: new Normalizer({
      table,
      clock: new WallClock(() => OFFSET_NS),
      hook: (id) => (id === 3 ? known : undefined),
      nowMs: () => made.now,
    }),
    event: (raw, bytes = Buffer.alloc(0)) => made.normalizer.event(raw, bytes) ?? assert.fail('no event'),
  }
  return made
}

const at = { cpu: 0, seq: 0, sec: 0, nsec: 0, startHi: 0 }

function exit(tgid: number, start: number, code = 0): Recorded {
  return { op: 'exit', ...at, sec: 2, nsec: 5, tgid, tid: tgid, startLo: start, code }
}

function hook(tgid: number, start: number, values: readonly RawValue[] = [], hookId = 3): HookRecord {
  return {
    op: 'hook',
    ...at,
    sec: 1,
    nsec: 999_999_999,
    tgid,
    tid: tgid + 1,
    startLo: start,
    hookId,
    selector: 0,
    flags: 0,
    uid: 0,
    values,
    count: values.length,
    at: 0,
    seek: () => true,
    pathShape: () => undefined,
  }
}

function value(kind: number, change: Partial<RawValue> = {}): RawValue {
  return { kind, index: 0, flags: 0, lo: 0, hi: 0, mode: 0, dev: 0, from: 0, to: 0, details: 0, ...change }
}

/** The value that the kernel side makes for an argument. */
function valueFor(of: ArgumentSpec, kind: number, change: Partial<RawValue> = {}): RawValue {
  return value(kind, { index: valueIndex(of), ...change })
}

test('normalize: a process from fork to exit', () => {
  const s = setup()
  assert.equal(s.normalizer.event(fork(200, 5000, 100, s.shellStart), Buffer.alloc(0)), undefined)
  const started = s.event(exec(200, 6000, 100, s.shellStart, { filename: '/bin/cat', argv: ['cat', '/etc/passwd'] }))
  const access = s.event(hook(200, 6000))
  const ended = s.event(exit(200, 6000, 3 << 8))
  assert.deepEqual(
    [started, access, ended].map(({ type }) => type),
    ['process_exec', 'process_kprobe', 'process_exit'],
  )
  // One object for one image: encoders keep their rendering with it.
  assert.equal(started.process, access.process)
  assert.equal(started.process, ended.process)
  assert.equal(started.process.binary, '/bin/cat')
  assert.equal(access.parent?.binary, '/bin/sh')
  assert.ok(ended.type === 'process_exit')
  assert.deepEqual([ended.signal, ended.status], ['', 3])
  assert.deepEqual(ended.time, { sec: Number(OFFSET_NS / 1_000_000_000n) + 2, nsec: 5 })
  assert.ok(access.type === 'process_kprobe')
  assert.deepEqual(access.time, { sec: Number(OFFSET_NS / 1_000_000_000n) + 1, nsec: 999_999_999 })
  assert.equal(access.tid, 201)
})

test('normalize: refcnt is a copy on kprobe events, as the stored record’s on exec and exit', () => {
  const s = setup()
  s.normalizer.event(fork(200, 5000, 100, s.shellStart), Buffer.alloc(0))
  const started = s.event(exec(200, 6000, 100, s.shellStart))
  const alone = s.event(hook(200, 6000))
  s.normalizer.event(fork(201, 7000, 200, 6000), Buffer.alloc(0))
  const withChild = s.event(hook(200, 6000))
  const ofChild = s.event(hook(201, 7000))
  // The child has no exec: a cloned entry.
  const childEnded = s.event(exit(201, 7000))
  const ended = s.event(exit(200, 6000))
  const late = s.event(hook(200, 6000))
  assert.deepEqual(
    [started, alone, withChild, ofChild, childEnded, ended, late].map(({ refcnt }) => refcnt),
    [0, 1, 2, 1, 1, 0, 0],
  )
  // Copied when the event was made: later changes do not affect it.
  assert.equal(withChild.refcnt, 2)
})

test('normalize: a cloned parent shows its count in the record, another parent does not', () => {
  const s = setup()
  s.normalizer.event(fork(200, 5000, 100, s.shellStart), Buffer.alloc(0))
  const events = [s.event(exec(201, 6000, 200, 5000)), s.event(exec(202, 6001, 100, s.shellStart))]
  const parents = events.map((event) => {
    const { bytes } = createJsonEncoder({ nodeName: 'n' }).encode([event])
    const line = Buffer.from(bytes).toString()
    const record: unknown = JSON.parse(line)
    assert.ok(typeof record === 'object' && record !== null && 'process_exec' in record)
    const body: unknown = record.process_exec
    assert.ok(typeof body === 'object' && body !== null && 'parent' in body)
    return body.parent
  })
  assert.ok(typeof parents[0] === 'object' && parents[0] !== null && 'refcnt' in parents[0])
  assert.equal(parents[0].refcnt, 1)
  assert.ok(typeof parents[1] === 'object' && parents[1] !== null && !('refcnt' in parents[1]))
})

test('normalize: an event after the exit record of a process is still attributed to it', () => {
  const s = setup()
  s.normalizer.event(fork(200, 5000, 100, s.shellStart), Buffer.alloc(0))
  const image = s.event(exec(200, 6000, 100, s.shellStart)).process
  s.event(exit(200, 6000))
  // The kernel's table has dropped it: start 0. Or the record was made before: its start.
  assert.equal(s.event(hook(200, 0)).process, image)
  assert.equal(s.event(hook(200, 6000)).process, image)
  s.now = 10_000
  s.table.sweep(s.now)
  assert.equal(s.event(hook(200, 6000)).process.flags, 'unknown')
})

test('normalize: the exit of an unknown process is reported with the data of the record', () => {
  const s = setup()
  const event = s.event(exit(999, 4321, 9))
  assert.ok(event.type === 'process_exit')
  assert.deepEqual([event.process.pid, event.process.flags, event.signal], [999, 'unknown', 'SIGKILL'])
  assert.equal(event.parent, undefined)
})

test('normalize: a record of a hook removed before is counted, and makes no event', () => {
  const s = setup()
  assert.equal(s.normalizer.event(hook(100, s.shellStart, [], 99), Buffer.alloc(0)), undefined)
  assert.equal(s.normalizer.orphaned, 1)
})

const PATH = Buffer.from('..../etc/pässwd')
const BYTES = Buffer.from([0x2f, 0xff, 0xfe, 0x61])
const file = { lo: 7, hi: 1, mode: 0o100644, dev: 0x800001 }

const ARGUMENTS: ReadonlyArray<readonly [what: string, type: string, RawValue, bytes: Buffer, want: Argument]> = [
  [
    'a file',
    'file',
    value(wire.VALUE_FILE, { ...file, from: 4, to: PATH.length }),
    PATH,
    {
      kind: 'file',
      field: 'file_arg',
      path: '/etc/pässwd',
      raw: undefined,
      mode: 0o100644,
      inode: 2 ** 32 + 7,
      device: 0x800001,
      unresolved: false,
      unstable: false,
      deleted: false,
      details: undefined,
    },
  ],
  [
    'a path with flags',
    'path',
    value(wire.VALUE_FILE, { flags: 3, to: 4 }),
    PATH,
    {
      kind: 'file',
      field: 'path_arg',
      path: '....',
      raw: undefined,
      mode: 0,
      inode: 0,
      device: 0,
      unresolved: true,
      unstable: false,
      deleted: true,
      details: undefined,
    },
  ],
  [
    'the address of a Unix socket',
    'sockaddr_un',
    value(wire.VALUE_FILE, { lo: 1, to: 4 }),
    PATH,
    {
      kind: 'struct',
      field: 'sockaddrun_arg',
      text: '....',
      members: [
        ['family', 'AF_UNIX'],
        ['path', '....'],
      ],
    },
  ],
  [
    'a file without a path',
    'file',
    value(wire.VALUE_FILE, { mode: 0o010600 }),
    PATH,
    {
      kind: 'file',
      field: 'file_arg',
      path: '',
      raw: undefined,
      mode: 0o010600,
      inode: 0,
      device: 0,
      unresolved: false,
      unstable: false,
      deleted: false,
      details: undefined,
    },
  ],
  [
    'a path that is no UTF-8',
    'file',
    value(wire.VALUE_FILE, { to: 4 }),
    BYTES,
    {
      kind: 'file',
      field: 'file_arg',
      path: '/\ufffda',
      raw: BYTES,
      mode: 0,
      inode: 0,
      device: 0,
      unresolved: false,
      unstable: false,
      deleted: false,
      details: undefined,
    },
  ],
  [
    'a string',
    'string',
    value(wire.VALUE_STRING, { to: 4 }),
    PATH,
    { kind: 'string', field: 'string_arg', value: '....', raw: undefined, truncated: false },
  ],
  [
    'a string that was cut',
    'string',
    value(wire.VALUE_STRING, { to: 4, flags: 4 }),
    PATH,
    { kind: 'string', field: 'string_arg', value: '....', raw: undefined, truncated: true },
  ],
  [
    'bytes',
    'char_buf',
    value(wire.VALUE_BYTES, { to: 4, lo: 4 }),
    BYTES,
    { kind: 'bytes', field: 'bytes_arg', value: new Uint8Array(BYTES.subarray(0, 4)), size: 4n },
  ],
  [
    'bytes of which there were more',
    'iov_iter',
    value(wire.VALUE_BYTES, { to: 2, lo: 1, hi: 1 }),
    BYTES,
    {
      kind: 'bytes',
      field: 'truncated_bytes_arg',
      value: new Uint8Array(BYTES.subarray(0, 2)),
      size: 0x1_0000_0001n,
    },
  ],
  [
    'bytes that are none',
    'char_iovec',
    value(wire.VALUE_BYTES, {}),
    BYTES,
    { kind: 'bytes', field: 'bytes_arg', value: new Uint8Array(), size: 0n },
  ],
  [
    'a negative int',
    'int',
    value(wire.VALUE_INT, { lo: 0xffff_fff3, hi: 0xffff_ffff }),
    PATH,
    { kind: 'number', field: 'int_arg', value: -13 },
  ],
  [
    'the smallest int',
    'int',
    value(wire.VALUE_INT, { lo: 0x8000_0000, hi: 0xffff_ffff }),
    PATH,
    { kind: 'number', field: 'int_arg', value: -(2 ** 31) },
  ],
  [
    'a uint32',
    'uint32',
    value(wire.VALUE_UINT, { lo: 0xffff_ffff }),
    PATH,
    { kind: 'number', field: 'uint_arg', value: 0xffff_ffff },
  ],
  [
    'a negative int8',
    'int8',
    value(wire.VALUE_INT, { lo: 0xffff_ff80, hi: 0xffff_ffff }),
    PATH,
    { kind: 'number', field: 'int_arg', value: -128 },
  ],
  ['a uint8', 'uint8', value(wire.VALUE_UINT, { lo: 0xff }), PATH, { kind: 'number', field: 'uint_arg', value: 255 }],
  [
    'the smallest sint64',
    'sint64',
    value(wire.VALUE_INT, { hi: 0x8000_0000 }),
    PATH,
    { kind: 'wide', field: 'long_arg', value: -(2n ** 63n) },
  ],
  [
    'a long beyond what a double holds',
    'long',
    value(wire.VALUE_INT, { lo: 1, hi: 0x20_0000 }),
    PATH,
    { kind: 'wide', field: 'long_arg', value: 2n ** 53n + 1n },
  ],
  [
    'a ulong with its top bit',
    'ulong',
    value(wire.VALUE_UINT, { lo: 0xffff_ffff, hi: 0xffff_ffff }),
    PATH,
    { kind: 'wide', field: 'size_arg', value: 2n ** 64n - 1n },
  ],
  [
    'a size_t',
    'size_t',
    value(wire.VALUE_UINT, { lo: 1, hi: 0x8000_0000 }),
    PATH,
    { kind: 'wide', field: 'size_arg', value: 2n ** 63n + 1n },
  ],
  ['a uint64', 'uint64', value(wire.VALUE_UINT, { lo: 5 }), PATH, { kind: 'wide', field: 'size_arg', value: 5n }],
  [
    'what could not be read',
    'string',
    value(wire.VALUE_ERROR),
    PATH,
    { kind: 'error', field: 'error_arg', message: 'Bad address for basic type' },
  ],
]

for (const [what, type, raw, bytes, want] of ARGUMENTS) {
  test(`normalize: ${what} as an argument`, () => {
    const s = setup([type])
    const event = s.event(hook(100, s.shellStart, [{ ...raw, index: valueIndex(arg(0, type)) }]), bytes)
    assert.ok(event.type === 'process_kprobe')
    assert.deepEqual(event.args, [want])
    assert.equal(event.returned, undefined)
  })
}

test('normalize: texts that were read stay valid after their chunk is reused', () => {
  const s = setup(['file'])
  const bytes = Buffer.from(BYTES)
  const event = s.event(hook(100, s.shellStart, [valueFor(arg(0, 'file'), wire.VALUE_FILE, { to: 4 })]), bytes)
  assert.ok(event.type === 'process_kprobe' && event.args[0]?.kind === 'file')
  bytes.fill(0)
  assert.deepEqual(event.args[0].raw, BYTES)
})

test('normalize: the return value is separate, with the type of the policy', () => {
  for (const [type, wireKind, want] of [
    ['int', wire.VALUE_INT, { kind: 'number', field: 'int_arg', value: -1 }],
    ['uint32', wire.VALUE_UINT, { kind: 'number', field: 'uint_arg', value: 0xffff_ffff }],
    ['uint64', wire.VALUE_UINT, { kind: 'wide', field: 'size_arg', value: 2n ** 64n - 1n }],
  ] as const) {
    const s = setup(['int'], type)
    const returned = value(wireKind, { index: wire.RETURN_INDEX, lo: 0xffff_ffff, hi: 0xffff_ffff })
    const event = s.event(hook(100, s.shellStart, [valueFor(arg(0, 'int'), wire.VALUE_INT, { lo: 4 }), returned]))
    assert.ok(event.type === 'process_kprobe')
    assert.deepEqual(event.args, [{ kind: 'number', field: 'int_arg', value: 4 }])
    assert.deepEqual(event.returned, want)
  }
})

const FLAGS = arg(1, 'int')
const RAW_FLAGS = arg(1, 'uint32')
const SIZE = arg(2, 'uint32')
const values = {
  flags: valueFor(FLAGS, wire.VALUE_INT, { lo: 0xffff_ffff, hi: 0xffff_ffff }),
  rawFlags: valueFor(RAW_FLAGS, wire.VALUE_UINT, { lo: 0xffff_ffff }),
  size: valueFor(SIZE, wire.VALUE_UINT, { lo: 12 }),
  other: valueFor(arg(3, 'int'), wire.VALUE_INT, { lo: 3 }),
  returned: value(wire.VALUE_INT, { index: wire.RETURN_INDEX, lo: 7 }),
} as const

const VALUES: ReadonlyArray<
  readonly [what: string, args: ArgumentSpec[], record: RawValue[], want: number[], returned?: number]
> = [
  ['in the order of the policy', [FLAGS, SIZE], [values.flags, values.size], [-1, 12]],
  ['in another order', [FLAGS, SIZE], [values.size, values.flags], [-1, 12]],
  ['among those of other policies', [SIZE], [values.other, values.flags, values.size], [12]],
  [
    'one parameter read in two ways',
    [RAW_FLAGS, FLAGS],
    [values.flags, values.other, values.rawFlags],
    [0xffff_ffff, -1],
  ],
  ['of other policies only', [], [values.flags, values.size], []],
  ['one twice', [FLAGS, FLAGS], [values.flags], [-1, -1]],
  ['with one missing: a record without room', [FLAGS, SIZE], [values.size], [12]],
  ['with all missing', [FLAGS, SIZE], [], []],
  ['and the return value', [SIZE], [values.flags, values.size, values.returned], [12], 7],
  ['the return value, not as the last', [SIZE], [values.returned, values.size], [12], 7],
  ['the return value alone', [SIZE], [values.returned], [], 7],
]

for (const [what, args, record, want, returned] of VALUES) {
  test(`normalize: the values of a record: ${what}`, () => {
    const s = setupOf(args)
    const event = s.event(hook(100, s.shellStart, record))
    assert.ok(event.type === 'process_kprobe')
    const numbers = (list: ReadonlyArray<Argument | undefined>): unknown[] =>
      list.map((each) => (each?.kind === 'number' ? each.value : each))
    assert.deepEqual(numbers(event.args), want)
    assert.deepEqual(numbers([event.returned]), [returned])
  })
}

test('normalize: bytes behind the values of a record are left from an earlier one', () => {
  const s = setupOf([FLAGS, SIZE])
  const event = s.event({ ...hook(100, s.shellStart, [values.flags, values.size, values.returned]), count: 1 })
  assert.ok(event.type === 'process_kprobe')
  assert.deepEqual([event.args.length, event.returned], [1, undefined])
})

test('normalize: an event names the action of the selector that matched, unless it was not carried out', () => {
  const s = setupOf([], 'int', [makeHook({ id: 3 }), makeHook({ id: 3, action: 'sigkill' })])
  const raw = hook(100, s.shellStart)
  const acted = s.event({ ...raw, selector: 1 })
  const refused = s.event({ ...raw, selector: 1, flags: wire.HOOK_NOT_ACTED })
  const posted = s.event(raw)
  const other = s.event({ ...raw, selector: 2 })
  assert.deepEqual(
    [acted, refused, posted, other].map((event) => event.type === 'process_kprobe' && event.hook.action),
    ['sigkill', 'post', 'post', 'post'],
  )
})

test('normalize: an event has the record’s stacks that its selector requests', () => {
  const asked: unknown[] = []
  const frame = { address: 0n, offset: 1, symbol: 'f', module: '' }
  const known: KnownHook = {
    hook: makeHook({ functionName: 'hooked' }),
    bySelector: [],
    args: [],
    returned: typeOf('int'),
    stacks: [{ kernel: true, user: false }, { kernel: true, user: true }, undefined],
  }
  const normalizer = new Normalizer({
    table: newTable(),
    clock: new WallClock(() => OFFSET_NS),
    hook: () => known,
    nowMs: () => 0,
    stacks: {
      framesOf: (...words) => {
        asked.push(words)
        return { kernelStack: [frame] }
      },
    },
  })
  const bytes = Buffer.alloc(32)
  ;[0xffffffff81000001n, 0xffffffff81000002n, 0x7f0000000001n].forEach((each, i) => bytes.writeBigUInt64LE(each, 8 * i))
  const stackValues = [
    value(wire.VALUE_STACK, { index: wire.KERNEL_STACK_INDEX, from: 0, to: 16 }),
    value(wire.VALUE_STACK, { index: wire.USER_STACK_INDEX, from: 16, to: 30 }),
  ]
  const made = [0, 1, 2, 3].map((selector) => normalizer.event({ ...hook(9, 1, stackValues), selector }, bytes))
  assert.deepEqual(asked, [
    [9, 'hooked', [0xffffffff81000001n, 0xffffffff81000002n], []],
    [9, 'hooked', [0xffffffff81000001n, 0xffffffff81000002n], [0x7f0000000001n]],
  ])
  assert.deepEqual(
    made.map((event) => event?.type === 'process_kprobe' && event.kernelStack),
    [[frame], [frame], undefined, undefined],
  )
})

test('normalize: only a policy with maxData has more bytes of a buffer than others', () => {
  const bytes = Buffer.alloc(6000, 'x')
  const buffer = arg(0, 'char_buf')
  const normalizer = new Normalizer({
    table: newTable(),
    clock: new WallClock(() => OFFSET_NS),
    hook: (id) => ({
      hook: makeHook({ id }),
      bySelector: [],
      args: [{ index: valueIndex(buffer), type: buffer.type, ...(id === 2 && { maxData: true as const }) }],
      returned: typeOf('int'),
    }),
    nowMs: () => 0,
  })
  const shown = [1, 2].map((id) => {
    const event = normalizer.event(hook(9, 1, [valueFor(buffer, wire.VALUE_BYTES, { to: 6000, lo: 6000 })], id), bytes)
    assert.ok(event?.type === 'process_kprobe')
    const [first] = event.args
    assert.ok(first?.kind === 'bytes')
    return [first.field, first.value.length, first.size]
  })
  assert.deepEqual(shown, [
    ['truncated_bytes_arg', 4095, 6000n],
    ['bytes_arg', 6000, 6000n],
  ])
})
