/** The counters of matched calls without an event: by policy and function, for attached and detached hooks, and bounded. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Repeats } from '../../../../../collector/kernel/actions/repeats.ts'
import { u32, u64 } from '../../../../../collector/kernel/bytes.ts'
import type { Actions } from '../../../../../config/policy/policy.ts'
import type { PlannedHook } from '../../../../../collector/kernel/plan.ts'
import type { BpfMap } from '../../../../../native/types.ts'
import { makeHook } from '../../../exporters/support/events.ts'
import { spec } from '../../support/specs.ts'

const RETIRE_MS = 30_000
const POSTED = { last: 'post', signals: [], reports: true, limit: undefined } as const
const HIDDEN = { last: 'nopost', signals: [], reports: false, limit: undefined } as const
const limit = { last: 'post', signals: [], reports: true, limit: { ms: 1000, scope: 'thread' } } as const

const planned = (id: number, policy: string, actions: Actions = limit): PlannedHook => ({
  hook: makeHook({ id, policy, functionName: policy === 'b' ? 'g' : 'f' }),
  spec: spec({ selectors: [{ matchArgs: [], actions }] }),
  symbol: 'f',
  way: { mode: 'kprobe', multi: false },
  load: '',
})

/** A hash map in memory, as far as Repeats uses one. */
function mapOf(maxEntries: number): BpfMap & { readonly entries: Map<string, Buffer> } {
  const entries = new Map<string, Buffer>()
  const key = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
  return {
    entries,
    info: { maxEntries },
    lookup: (bytes: Uint8Array) => entries.get(key(bytes)),
    update: (bytes: Uint8Array, value: Uint8Array) => entries.set(key(bytes), Buffer.from(value)) !== undefined,
    delete: (bytes: Uint8Array) => entries.delete(key(bytes)),
    close: () => entries.clear(),
  } as unknown as BpfMap & { readonly entries: Map<string, Buffer> }
}

test('repeats: counts are those of the kernel, by policy, and stay when hooks go', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  const suppressed = mapOf(3)
  const repeats = new Repeats({ map: (name) => (name === 'suppressed' ? suppressed : mapOf(1)) })
  const counts = (): Record<string, number> =>
    Object.fromEntries(
      [...repeats.suppressed()].flatMap(([policy, all]) =>
        [...all].map(([name, count]) => [`${policy} ${name}`, count]),
      ),
    )
  repeats.add([planned(1, 'a'), planned(2, 'a'), planned(3, 'b', HIDDEN), planned(4, 'c', POSTED)])
  for (const id of [1, 2, 3]) suppressed.update(u32(id), u64(10 * id))
  // A later change brings the same hooks again: their counts stay.
  repeats.add([planned(1, 'a')])
  assert.deepEqual(counts(), { 'a f': 30, 'b g': 30 })
  repeats.retire([planned(1, 'a'), planned(4, 'c', POSTED)])
  suppressed.update(u32(1), u64(11))
  context.mock.timers.tick(RETIRE_MS)
  assert.deepEqual(counts(), { 'a f': 31, 'b g': 30 })
  assert.equal(suppressed.entries.size, 2)
  repeats.close()
})

test('repeats: more hooks than the map has room for are refused in a sentence', () => {
  const repeats = new Repeats({ map: () => mapOf(1) })
  repeats.add([planned(1, 'a')])
  assert.throws(() => repeats.add([planned(2, 'b')]), {
    code: 'POLICY_REFUSED',
    message:
      /^expected at most 1 hooks with rateLimit or NoPost in all policies together, got one more in policy b: drop/,
  })
})
