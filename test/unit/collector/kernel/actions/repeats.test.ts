/** The counters of suppressed repeats: by policy, for attached and detached hooks, and bounded. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Repeats } from '../../../../../collector/kernel/actions/repeats.ts'
import { u32, u64 } from '../../../../../collector/kernel/bytes.ts'
import type { PlannedHook } from '../../../../../collector/kernel/plan.ts'
import type { BpfMap } from '../../../../../native/types.ts'
import { makeHook } from '../../../exporters/support/events.ts'
import { spec } from '../../support/specs.ts'

const RETIRE_MS = 30_000
const limit = { last: 'post', signals: [], reports: true, limit: { ms: 1000, scope: 'thread' } } as const

const planned = (id: number, policy: string, limited = true): PlannedHook => ({
  hook: makeHook({ id, policy }),
  spec: spec({ selectors: [{ matchArgs: [], ...(limited ? { actions: limit } : {}) }] }),
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
  repeats.add([planned(1, 'a'), planned(2, 'a'), planned(3, 'b'), planned(4, 'c', false)])
  for (const id of [1, 2, 3]) suppressed.update(u32(id), u64(10 * id))
  // A later change brings the same hooks again: their counts stay.
  repeats.add([planned(1, 'a')])
  assert.deepEqual(Object.fromEntries(repeats.suppressed()), { a: 30, b: 30 })
  repeats.retire([planned(1, 'a'), planned(4, 'c', false)])
  suppressed.update(u32(1), u64(11))
  context.mock.timers.tick(RETIRE_MS)
  assert.deepEqual(Object.fromEntries(repeats.suppressed()), { a: 31, b: 30 })
  assert.equal(suppressed.entries.size, 2)
  repeats.close()
})

test('repeats: more hooks than the map has room for are refused in a sentence', () => {
  const repeats = new Repeats({ map: () => mapOf(1) })
  repeats.add([planned(1, 'a')])
  assert.throws(() => repeats.add([planned(2, 'b')]), {
    code: 'POLICY_REFUSED',
    message: /^expected at most 1 hooks with rateLimit in all policies together, got one more in policy b: drop/,
  })
})
