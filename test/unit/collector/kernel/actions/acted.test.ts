/** The counters of actions: by policy, function and selector, for attached and detached hooks, and bounded. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Acted, DONE } from '../../../../../collector/kernel/actions/acted.ts'
import type { Done } from '../../../../../collector/kernel/actions/acted.ts'
import { ACTED, SELECTOR_ID } from '../../../../../collector/wire/wire.ts'
import type { Actions } from '../../../../../config/policy/policy.ts'
import type { PlannedHook } from '../../../../../collector/plan/plan.ts'
import type { BpfMap } from '../../../../../native/types.ts'
import { makeHook } from '../../../exporters/support/events.ts'
import { spec } from '../../support/specs.ts'

const RETIRE_MS = 30_000
const HIDDEN = { last: 'nopost', signals: [], reports: false, limit: undefined } as const
const LIMITED = { last: 'post', signals: [], reports: true, limit: { ms: 1000, scope: 'thread' } } as const
const KILLING = { last: 'sigkill', signals: [10, 9, 9], error: -1, reports: true, limit: undefined } as const
const MONITORED = { ...HIDDEN, last: 'override', monitored: { signals: [9, 12], error: -1 } } as const

/** Undefined: a selector without actions. */
const planned = (id: number, policy: string, ...actions: ReadonlyArray<Actions | undefined>): PlannedHook => ({
  hook: makeHook({ id, policy, functionName: policy === 'b' ? 'g' : 'f' }),
  spec: spec({
    selectors: actions.map((each) => ({ matchArgs: [], ...(each === undefined ? {} : { actions: each }) })),
  }),
  symbol: 'f',
  way: { mode: 'kprobe', multi: false },
  load: '',
})

interface FakeMap extends BpfMap {
  readonly entries: Map<string, Buffer>
}

/** A hash map in memory, as far as Acted uses one. */
function mapOf(maxEntries: number): FakeMap {
  const entries = new Map<string, Buffer>()
  const key = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
  return {
    entries,
    info: { maxEntries },
    lookup: (bytes: Uint8Array) => entries.get(key(bytes)),
    update: (bytes: Uint8Array, value: Uint8Array) => entries.set(key(bytes), Buffer.from(value)) !== undefined,
    delete: (bytes: Uint8Array) => entries.delete(key(bytes)),
    close: () => entries.clear(),
  } as unknown as FakeMap
}

/** As the kernel side counts. */
function count(map: FakeMap, id: number, index: number, counts: ReadonlyArray<readonly [offset: number, by: number]>) {
  const key = Buffer.alloc(SELECTOR_ID.bytes)
  key.writeUInt32LE(id, SELECTOR_ID.policyHook)
  key.writeUInt32LE(index, SELECTOR_ID.index)
  const value = map.lookup(key)
  assert.ok(value !== undefined)
  for (const [offset, by] of counts) value.writeBigUInt64LE(value.readBigUInt64LE(offset) + BigInt(by), offset)
}

const NOTING = { ...HIDDEN, last: 'notifyenforcer', notify: { error: -1, signal: 0 } } as const
const ENFORCING = { ...HIDDEN, enforces: { denies: true } } as const
const NOTED = { ...HIDDEN, monitored: { signals: [], notify: { error: -1, signal: 0 } } } as const

const shown = (done: Done): string =>
  DONE.flatMap((name) => (done[name] === 0 ? [] : [`${done[name]} ${name}`])).join(', ')

const shownByHook = (acted: Acted): Record<string, string> =>
  Object.fromEntries(
    [...acted.byHook()].flatMap(([policy, all]) => [...all].map(([name, done]) => [`${policy} ${name}`, shown(done)])),
  )

const rig = (size: number): { readonly map: FakeMap; readonly acted: Acted } => {
  const map = mapOf(size)
  return { map, acted: new Acted({ map: (name) => (name === 'acted' ? map : mapOf(1)) }) }
}

test('acted: notes, the actions of an enforcer, and its actions in mode monitor', () => {
  const { map, acted } = rig(3)
  acted.add([planned(1, 'a', NOTING), planned(2, 'b', ENFORCING), planned(3, 'c', NOTED)])
  count(map, 1, 0, [
    [ACTED.calls, 5],
    [ACTED.notified, 4],
  ])
  count(map, 2, 0, [
    [ACTED.calls, 4],
    [ACTED.denied, 3],
    [ACTED.signals, 2],
    [ACTED.signals + 8, 1],
  ])
  count(map, 3, 0, [[ACTED.calls, 7]])
  assert.deepEqual(shownByHook(acted), {
    'a f': '4 notify_enforcer',
    'b g': '1 signal, 2 sigkill, 3 override',
    'c f': '7 monitor_notify_enforcer',
  })
})

test('acted: counts are those of the kernel, by policy, and stay when hooks are removed', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  const { map, acted } = rig(3)
  acted.add([planned(1, 'a', LIMITED), planned(2, 'a', LIMITED), planned(3, 'b', HIDDEN), planned(4, 'c', undefined)])
  for (const id of [1, 2]) count(map, id, 0, [[ACTED.repeats, 10 * id]])
  count(map, 3, 0, [[ACTED.hidden, 30]])
  // A later change brings the same hooks again: their counts stay.
  acted.add([planned(1, 'a', LIMITED)])
  assert.deepEqual(shownByHook(acted), { 'a f': '30 rate_limited', 'b g': '30 nopost' })
  acted.retire([planned(1, 'a', LIMITED), planned(4, 'c', undefined)])
  count(map, 1, 0, [[ACTED.repeats, 1]])
  context.mock.timers.tick(RETIRE_MS)
  assert.deepEqual(shownByHook(acted), { 'a f': '31 rate_limited', 'b g': '30 nopost' })
  assert.equal(map.entries.size, 2)
  // The map has room again.
  acted.add([planned(5, 'd', HIDDEN)])
  acted.close()
})

test('acted: closed maps are not read', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  const { map, acted } = rig(1)
  acted.add([planned(1, 'a', LIMITED)])
  acted.retire([planned(1, 'a', LIMITED)])
  acted.close()
  map.lookup = () => assert.fail('lookup: map "acted" is closed')
  context.mock.timers.tick(RETIRE_MS)
})

test('acted: each selector by itself; signals by their kind, and what mode monitor only counts', () => {
  const { map, acted } = rig(3)
  acted.add([planned(1, 'a', undefined, KILLING, LIMITED, MONITORED)])
  const signal = (i: number): number => ACTED.signals + 8 * i
  count(map, 1, 1, [
    [ACTED.calls, 9],
    [ACTED.refused, 1],
    [ACTED.denied, 5],
    [signal(0), 8],
    [signal(1), 4],
    [signal(2), 3],
  ])
  count(map, 1, 3, [
    [ACTED.calls, 6],
    [ACTED.hidden, 6],
  ])
  assert.deepEqual(
    [...acted.ofHook(1)].map(([index, done]) => `${index}: ${shown(done)}`),
    [
      '1: 8 signal, 7 sigkill, 5 override, 1 not_done',
      '2: ',
      '3: 6 nopost, 6 monitor_signal, 6 monitor_sigkill, 6 monitor_override',
    ],
  )
  assert.equal(acted.ofHook(2).size, 0)
})

test('acted: more selectors than the map has room for are refused in a sentence', () => {
  const { map, acted } = rig(2)
  acted.add([planned(1, 'a', LIMITED)])
  assert.throws(() => acted.add([planned(2, 'b', HIDDEN, LIMITED)]), {
    code: 'POLICY_REFUSED',
    message: /^expected at most 2 selectors with matchActions in all policies together, got more with policy b: remove/,
  })
  assert.equal(map.entries.size, 1)
})
