/** Hooks by number: records of a detached hook that are still in the ring, and its counters. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HookRegistry } from '../../../../collector/ingest/hooks.ts'
import { valueIndex } from '../../../../collector/plan/layout/hook.ts'
import { makeHook } from '../../exporters/support/events.ts'
import { NOP } from '../../../../config/policy/arguments.ts'
import type { NumberFilter } from '../../../../config/policy/policy.ts'
import { arg, spec, typeOf } from '../support/specs.ts'

const RETIRE_MS = 30_000

test('hooks: have the arguments that are read, as records call them, and nop without a return value', () => {
  const hooks = new HookRegistry()
  const path = arg(2, 'path')
  hooks.add(makeHook({ id: 4 }), spec({ args: [arg(0, 'nop'), path] }))
  hooks.add(makeHook({ id: 5 }), spec({ args: [], return: true, returnArg: arg(0, 'size_t') }))
  const [first, second] = [hooks.take(4, 0), hooks.take(5, 0)]
  assert.deepEqual([first?.args, first?.returned], [[{ index: valueIndex(path), type: path.type }], NOP])
  assert.deepEqual([second?.args, second?.returned], [[], typeOf('size_t')])
  assert.equal(hooks.take(6, 0), undefined)
})

test('hooks: each lookup counts as an event of its policy', () => {
  const hooks = new HookRegistry()
  hooks.add(makeHook({ id: 1, policy: 'a' }), spec())
  hooks.add(makeHook({ id: 2, policy: 'a' }), spec())
  hooks.add(makeHook({ id: 3, policy: 'b', type: 'process_lsm' }), spec())
  for (const id of [1, 1, 2, 99]) hooks.take(id, 0)
  assert.deepEqual(hooks.eventsByPolicy(), [
    { type: 'process_kprobe', policy: 'a', count: 3 },
    { type: 'process_lsm', policy: 'b', count: 0 },
  ])
})

test('hooks: a call that a filter on the return value rejects is no event of its policy', () => {
  const hooks = new HookRegistry()
  const filter: NumberFilter = { class: 'number', arg: 0, operator: 'LessThan', values: [0n], at: { line: 1, col: 1 } }
  const selectors = [{ matchArgs: [] }, { matchArgs: [], matchReturnArgs: [filter] }]
  hooks.add(makeHook({ id: 1, policy: 'a' }), spec({ return: true, returnArg: arg(0, 'int'), selectors }))
  const passes = [-1, 0].map((value) => {
    hooks.take(1, 1)
    return hooks.returnOf(1, 1).passes?.({ kind: 'number', field: 'int_arg', value })
  })
  assert.deepEqual(passes, [true, false])
  assert.equal(hooks.returnOf(1, 0).passes, undefined)
  assert.deepEqual(hooks.returnOf(1, 0).type, typeOf('int'))
  assert.deepEqual(hooks.returnOf(2, 0).type, NOP)
  assert.deepEqual(hooks.eventsByPolicy(), [{ type: 'process_kprobe', policy: 'a', count: 1 }])
  assert.deepEqual(hooks.eventsBySelector(1), [0, 1])
})

test('hooks: events by the selector that matched; without selectors one number', () => {
  const hooks = new HookRegistry()
  hooks.add(makeHook({ id: 1 }), spec({ selectors: [{ matchArgs: [] }, { matchArgs: [] }] }))
  hooks.add(makeHook({ id: 2 }), spec())
  for (const selector of [1, 0, 1, 65_535]) hooks.take(1, selector)
  hooks.take(2, 0)
  assert.deepEqual(
    [1, 2, 3].map((id) => hooks.eventsBySelector(id)),
    [[2, 2], [1], []],
  )
  assert.equal(hooks.eventsOf([1, 2, 3]), 5)
})

test('hooks: a detached hook is kept for records still in the ring, then removed; its count stays', () => {
  const hooks = new HookRegistry()
  hooks.add(makeHook({ id: 1, policy: 'a' }), spec())
  hooks.take(1, 0)
  const retiredMs = performance.now()
  hooks.retire([1, 77])
  hooks.sweep(retiredMs + RETIRE_MS - 1)
  assert.notEqual(hooks.take(1, 0), undefined)
  // The policy again, with new numbers: counters of a policy never decrease.
  hooks.add(makeHook({ id: 2, policy: 'a' }), spec())
  hooks.sweep(performance.now() + RETIRE_MS)
  assert.equal(hooks.take(1, 0), undefined)
  hooks.take(2, 0)
  assert.deepEqual(hooks.eventsByPolicy(), [{ type: 'process_kprobe', policy: 'a', count: 3 }])
})
