/** Records and ends of calls → the events that are sent. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CallEnd } from '../../../../collector/wire/decode.ts'
import type { RawHook } from '../../../../collector/wire/hook-record.ts'
import { GoneThreads } from '../../../../collector/host/gone-threads.ts'
import type { NumberFilter } from '../../../../config/policy/policy.ts'
import { returnPasses } from '../../../../collector/ingest/return-filter.ts'
import type { Returned } from '../../../../collector/ingest/return-filter.ts'
import { NOT_SEEN, PendingReturns } from '../../../../collector/ingest/returns.ts'
import {
  HOOK_HAS_RETURN,
  HOOK_RETURN_FOLLOWS,
  HOOK_RETURN_KEPT,
  HOOK_RETURN_MISSED,
  HOOK_RETURN_PENDING,
  VALUE_UINT,
} from '../../../../collector/wire/wire.ts'
import type { Argument, HookEvent, ProcessEvent } from '../../../../exporters/contract/event.ts'
import { makeKprobe, text } from '../../exporters/support/events.ts'
import { typeOf } from '../support/specs.ts'

/** In the kernel's map too. */
const KEPT = HOOK_RETURN_FOLLOWS | HOOK_RETURN_KEPT
/** With a session, in the table, in the map. */
const WAITS = [HOOK_RETURN_FOLLOWS, HOOK_RETURN_FOLLOWS | HOOK_RETURN_PENDING, KEPT]

interface Call {
  readonly tid?: number
  readonly nsec?: number
  readonly call?: number
  /** Upper half of the call's number. */
  readonly stack?: number
  readonly flags?: number
}

function raw({ tid = 8, nsec = 5, call = 1, stack = 0xc900, flags = KEPT }: Call): RawHook {
  const number = {
    kind: VALUE_UINT,
    index: 255,
    flags: 0,
    lo: call,
    hi: stack,
    mode: 0,
    dev: 0,
    from: 0,
    to: 0,
    details: 0,
  }
  const base = { cpu: 0, seq: 0, sec: 1, nsec, tgid: 7, tid, startLo: 0, startHi: 0 }
  return { op: 'hook', ...base, hookId: 3, selector: 0, flags, uid: 0, values: [number], count: 1 }
}

const end = ({ tid = 8, nsec = 5, call = 1, stack = 0xc900 }: Call, returned?: CallEnd['returned']): CallEnd => ({
  tid,
  sec: 1,
  nsec,
  callLo: call,
  callHi: stack,
  returned,
})

const event = (name: string): HookEvent => ({
  ...makeKprobe({ args: [text(name)] }),
  returned: NOT_SEEN,
})

const shown = (events: readonly ProcessEvent[]): string[] =>
  events.map((each) => {
    assert.ok(each.type === 'process_kprobe')
    const [arg] = each.args
    const { returned } = each
    return `${arg?.kind === 'string' ? arg.value : ''} ${returned === undefined || returned.kind === 'file' || returned.kind === 'struct' ? '' : returned.kind === 'error' ? returned.message : returned.value}`
  })

/** Plays additions (`+`, with a name) and ends; returns the events that went on. */
function play(
  steps: ReadonlyArray<readonly [name: string, call: Call] | readonly [returned: number | undefined, call: Call]>,
  pending = new PendingReturns(),
  type = 'int',
): string[] {
  const out: ProcessEvent[] = []
  for (const [what, call] of steps) {
    if (typeof what === 'string') pending.add(raw(call), event(what), { type: typeOf(type) }, out)
    else
      pending.end(end(call, what === undefined ? undefined : { lo: what >>> 0, hi: what < 0 ? 0xffff_ffff : 0 }), out)
  }
  return shown(out)
}

test('returns: an event is sent with the value of its own call, and those of all policies together', () => {
  const outer = { nsec: 1, call: 1 }
  const inner = { nsec: 2, call: 2 }
  const other = { tid: 9, nsec: 1, call: 3 }
  const steps = [
    ['outer', outer],
    ['outer too', outer],
    ['inner', inner],
    ['other', other],
    [-2, inner],
    [7, other],
    [3, outer],
  ] as const
  assert.deepEqual(play(steps), ['inner -2', 'other 7', 'outer 3', 'outer too 3'])
})

test('returns: two calls differ even at the same place of the stack or at the same time', () => {
  const pending = new PendingReturns()
  const steps = [
    ['before', { nsec: 1, call: 1 }],
    [undefined, { nsec: 1, call: 1 }],
    ['after', { nsec: 9, call: 1 }],
    [5, { nsec: 9, call: 2 }],
    [6, { nsec: 1, call: 1 }],
    [4, { nsec: 9, call: 1 }],
  ] as const
  assert.deepEqual(play(steps, pending), ['before return not seen', 'after 4'])
  assert.equal(pending.missed, 1)
})

test('returns: an event that needs no return is sent at once', () => {
  const pending = new PendingReturns()
  const out: ProcessEvent[] = []
  for (const flags of [0, HOOK_HAS_RETURN, HOOK_RETURN_MISSED])
    pending.add(raw({ flags }), event(''), { type: typeOf('int') }, out)
  assert.equal(out.length, 3)
  assert.equal(pending.missed, 1)
})

test('returns: with too many bytes waiting, events of the longest waiting stack are sent without a value, once', () => {
  const pending = new PendingReturns(10_000)
  const long = 'x'.repeat(2000)
  const steps = [
    [`${long}1`, { stack: 1 }],
    [`${long}2`, { stack: 2 }],
    [`${long}3`, { stack: 3 }],
    [1, { stack: 1 }],
    [2, { stack: 2 }],
  ] as const
  const went = play(steps, pending).map((line) => line.slice(2000))
  assert.deepEqual(went, ['1 return not seen', '2 2'])
  const rest: ProcessEvent[] = []
  pending.endAll(rest)
  assert.deepEqual(shown(rest), [`${long}3 return not seen`])
  pending.endAll(rest)
  assert.equal(rest.length, 1)
  assert.equal(pending.missed, 2)
})

const VALUES: ReadonlyArray<readonly [type: string, register: number, value: string]> = [
  ['int8', 0x1ff, '-1'],
  ['uint8', 0x1ff, '255'],
  ['int16', 0x18000, '-32768'],
  ['uint16', 0x18000, '32768'],
  ['int', -14, '-14'],
  ['uint32', -1, '4294967295'],
  ['int64', -1, '-1'],
  ['uint64', -1, '18446744073709551615'],
]

for (const [type, register, value] of VALUES) {
  test(`returns: ${register} as ${type} is ${value}`, () => {
    const steps = [
      ['a', {}],
      [register, {}],
    ] as const
    assert.deepEqual(play(steps, new PendingReturns(), type), [`a ${value}`])
  })
}

const PASSES: ReadonlyArray<readonly [operator: NumberFilter['operator'], values: bigint[], pass: number[]]> = [
  ['Equal', [-14n, 3n], [-14, 3]],
  ['NotEqual', [-14n, 3n], [-1, 0, 4]],
  ['GreaterThan', [3n, 0n], [3, 4]],
  ['LessThan', [-1n, -14n], [-14]],
  ['Mask', [4n, 0x8000_0000n], [-14, -1, 4]],
]

for (const [operator, values, pass] of PASSES) {
  test(`returns: with ${operator} ${values.join(' ')} only calls that return ${pass.join(', ')} have an event`, () => {
    const filter: NumberFilter = { class: 'number', arg: 0, operator, values, at: { line: 1, col: 1 } }
    const rejected: Argument[] = []
    const kind: Returned = {
      type: typeOf('int'),
      passes: (value) => returnPasses([filter], value) || rejected.push(value) === 0,
    }
    const got = [HOOK_RETURN_FOLLOWS, HOOK_HAS_RETURN].map((flags) => {
      const pending = new PendingReturns()
      const out: ProcessEvent[] = []
      for (const value of [-14, -1, 0, 3, 4]) {
        const returned: Argument = { kind: 'number', field: 'int_arg', value }
        pending.add(raw({ flags }), { ...event(''), ...(flags === HOOK_HAS_RETURN ? { returned } : {}) }, kind, out)
        if (flags === HOOK_RETURN_FOLLOWS)
          pending.end(end({}, { lo: value >>> 0, hi: value < 0 ? 0xffff_ffff : 0 }), out)
      }
      return out.map((each) =>
        each.type === 'process_kprobe' && each.returned?.kind === 'number' ? each.returned.value : 0,
      )
    })
    assert.deepEqual(got, [pass, pass])
    assert.equal(rejected.length, 2 * (5 - pass.length))
  })
}

test('returns: a call whose return was not seen has an event whatever the filter', () => {
  const pending = new PendingReturns()
  const out: ProcessEvent[] = []
  const kind: Returned = { type: typeOf('int'), passes: (value) => value.kind === 'error' }
  pending.add(raw({}), event(''), kind, out)
  pending.end(end({}), out)
  assert.equal(out.length, 1)
  assert.ok(
    returnPasses([{ class: 'number', arg: 0, operator: 'Equal', values: [0n], at: { line: 1, col: 1 } }], NOT_SEEN),
  )
})

test('returns: waiting calls can be listed, and looked up', () => {
  const pending = new PendingReturns()
  const calls = [{ call: 1 }, { call: 1 }, { call: 2 }, { tid: 9, nsec: 6, call: 3 }]
  play(
    calls.map((call) => ['e', call] as const),
    pending,
  )
  const listed = [...pending.kept()].map(({ tid, nsec, callLo }) => [tid, nsec, callLo])
  assert.deepEqual(listed, [
    [8, 5, 1],
    [8, 5, 1],
    [8, 5, 2],
    [9, 6, 3],
  ])
  assert.ok(pending.has(end({ call: 2 })))
  assert.ok(!pending.has(end({ call: 3 })) && !pending.has(end({ call: 2, nsec: 6 })))
})

test('returns: calls in the table can be looked up there, and end like calls that only the agent has', () => {
  const flags = HOOK_RETURN_FOLLOWS | HOOK_RETURN_PENDING
  const pending = new PendingReturns()
  assert.deepEqual(
    play(
      [
        ['left', { call: 1, flags }],
        ['again', { call: 1, nsec: 6, flags }],
      ],
      pending,
    ),
    ['left return not seen'],
  )
  assert.deepEqual(
    [...pending.kept()].map(({ callLo, nsec }) => [callLo, nsec]),
    [[1, 6]],
  )
  assert.equal(pending.waiting, 1)
  pending.sweep(new GoneThreads((_, tid) => (tid === 8 ? 'gone' : 1n), 1), 9_000_000_000n)
  const out: ProcessEvent[] = []
  pending.endReported(out)
  assert.deepEqual(shown(out), ['again return not seen'])
})

test('returns: an end that the ring had no room for has its value, also when the next call at its place comes first', () => {
  for (const flags of WAITS) {
    const pending = new PendingReturns()
    const out: ProcessEvent[] = []
    play([['before', { flags }]], pending)
    pending.report({ calls: [end({}, { lo: 4, hi: 0 }), end({ nsec: 7 }, { lo: 5, hi: 0 })], functions: [] })
    assert.deepEqual(play([['after', { nsec: 6, flags }]], pending), ['before 4'])
    pending.endReported(out)
    assert.deepEqual(shown(out), [])
    assert.deepEqual(play([[3, { nsec: 6 }]], pending), ['after 3'])
    assert.deepEqual([pending.missed, pending.waiting], [0, 0])
  }
})

test('returns: other threads reuse the stack of an ended thread: their calls end its calls, but their returns do not', () => {
  for (const flags of WAITS) {
    const pending = new PendingReturns()
    const steps = [
      ['left', { tid: 8, call: 1, flags }],
      ['left too', { tid: 8, call: 1, flags }],
      ['beside', { tid: 8, call: 2, flags }],
      // At the same place; between its events is one of another stack side by side.
      ['again', { tid: 9, nsec: 6, call: 1, flags }],
      ['other', { tid: 10, nsec: 7, call: 3, flags }],
      ['again too', { tid: 9, nsec: 6, call: 1, flags }],
      [4, { tid: 9, nsec: 6, call: 1 }],
      [5, { tid: 9, nsec: 5, call: 2 }],
      [6, { tid: 10, nsec: 7, call: 3 }],
    ] as const
    const lost = 'return not seen'
    const wanted = [`left ${lost}`, `left too ${lost}`, 'again 4', 'again too 4', `beside ${lost}`, 'other 6']
    assert.deepEqual(play(steps, pending), wanted)
    assert.equal(pending.missed, 3)
    assert.equal(pending.waiting, 0)
  }
})

test('returns: an exec in another thread than the first returns as the first', () => {
  const steps = [
    ['exec', { tid: 8 }],
    [0, { tid: 7 }],
  ] as const
  assert.deepEqual(play(steps), ['exec 0'])
})

test('returns: calls end when their thread is gone, at the next one at their place, and with their function', () => {
  const flags = HOOK_RETURN_FOLLOWS
  const pending = new PendingReturns()
  const steps = [
    ['left', { call: 1, flags }],
    ['left too', { call: 1, flags }],
    ['kept', { call: 2 }],
    ['gone', { tid: 9, call: 3, flags }],
    ['other function', { tid: 10, call: 4, flags }],
    ['again', { call: 1, nsec: 6, flags }],
  ] as const
  assert.deepEqual(play(steps, pending), ['left return not seen', 'left too return not seen'])
  assert.equal(pending.waiting, 4)
  assert.deepEqual(
    [...pending.kept()].map(({ callLo }) => callLo),
    [2],
  )
  const told = (functions: readonly number[] = []): string[] => {
    const out: ProcessEvent[] = []
    pending.report({ calls: [], functions })
    pending.endReported(out)
    return shown(out)
  }
  const agentPid = 1
  const threads = new GoneThreads((_, tid) => (tid === 9 ? 'gone' : 1n), agentPid)
  pending.sweep(threads, 2_000_000_000n)
  assert.deepEqual(told(), [], 'too young')
  pending.sweep(threads, 9_000_000_000n)
  assert.deepEqual(told(), ['gone return not seen'])
  assert.deepEqual(told([4 | (3 << 16)]), ['other function return not seen'])
  assert.equal(pending.waiting, 2)
  // A call that returned while it was suspected has its value.
  pending.sweep(new GoneThreads((_, tid) => (tid === 8 ? 'gone' : 1n), agentPid), 9_000_000_000n)
  assert.deepEqual(play([[5, { call: 1, nsec: 6 }]], pending), ['again 5'])
  assert.deepEqual(told(), ['kept return not seen'])
})
