/** Hooks by number: what records of a detached one still find, and what was counted. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HookRegistry } from '../../../../collector/ingest/hooks.ts'
import { makeHook } from '../../exporters/support/events.ts'
import { arg, spec } from '../support/specs.ts'

const RETIRE_MS = 30_000

test('hooks: know their types by position, and nop where no return is asked for', () => {
  const hooks = new HookRegistry()
  hooks.add(makeHook({ id: 4 }), spec({ args: [arg(2, 'path'), arg(0, 'nop')] }))
  hooks.add(makeHook({ id: 5 }), spec({ args: [], return: true, returnArg: arg(0, 'size_t') }))
  const [first, second] = [hooks.take(4), hooks.take(5)]
  assert.deepEqual([first?.argTypes, first?.returnType], [['path', 'nop'], 'nop'])
  assert.deepEqual([second?.argTypes, second?.returnType], [[], 'size_t'])
  assert.equal(hooks.take(6), undefined)
})

test('hooks: each look-up is an event of its policy', () => {
  const hooks = new HookRegistry()
  hooks.add(makeHook({ id: 1, policy: 'a' }), spec())
  hooks.add(makeHook({ id: 2, policy: 'a' }), spec())
  hooks.add(makeHook({ id: 3, policy: 'b' }), spec())
  for (const id of [1, 1, 2, 99]) hooks.take(id)
  assert.deepEqual(
    [...hooks.eventsByPolicy()],
    [
      ['a', 3],
      ['b', 0],
    ],
  )
})

test('hooks: a detached one answers for what is still in the ring, then goes; its count stays', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  const hooks = new HookRegistry()
  hooks.add(makeHook({ id: 1, policy: 'a' }), spec())
  hooks.take(1)
  hooks.retire([1, 77])
  context.mock.timers.tick(RETIRE_MS - 1)
  assert.notEqual(hooks.take(1), undefined)
  // The policy again, with new numbers: counters of a policy never fall.
  hooks.add(makeHook({ id: 2, policy: 'a' }), spec())
  context.mock.timers.tick(1)
  assert.equal(hooks.take(1), undefined)
  hooks.take(2)
  assert.deepEqual([...hooks.eventsByPolicy()], [['a', 3]])
})
