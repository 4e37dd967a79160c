/** When policies are checked again, because kernel modules came or went. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { ModuleWatch } from '../../../../collector/policies/modules.ts'
import type { PolicyStatus } from '../../../../collector/policies/registry.ts'
import { enabledPolicies, idOf } from '../support/policies.ts'

function rig(list: readonly PolicyStatus[]): {
  readonly logged: string[]
  readonly state: { loaded: string; load: string; looks: number; renews: number; errors: unknown[]; fails: boolean }
  look(): Promise<void>
} {
  const logged: string[] = []
  const state = { loaded: 'vmlinux', load: '', looks: 0, renews: 0, errors: [] as unknown[], fails: false }
  const watch = new ModuleWatch({
    policies: {
      list: () => [...list],
      renew: async () => {
        state.renews++
        await setImmediate()
        if (state.fails) throw new Error('no descriptor')
        return state.errors.map((error) => ({ id: idOf('a'), error }))
      },
    },
    log: {
      info: (_: object, message: string) => logged.push(`info ${message}`),
      error: (_: object, message: string) => logged.push(`error ${message}`),
    },
    modules: {
      loaded: () => {
        state.looks++
        return state.loaded
      },
      loadOf: (module) => `${module}${state.load}`,
    },
  })
  const look = async (): Promise<void> => {
    watch.look()
    await setImmediate()
    await setImmediate()
  }
  return { logged, state, look }
}

const [whole] = enabledPolicies({ name: 'a', modes: ['fexit'] }).list()
const [waiting] = enabledPolicies({ name: 'a', skipped: ['late'] }).list()

test('modules: nothing is read for policies on functions of vmlinux', async () => {
  assert.ok(whole !== undefined)
  const { state, look } = rig([whole])
  await look()
  assert.deepEqual([state.looks, state.renews], [0, 0])
})

test('modules: a waiting policy is checked when the modules have changed, and not in between', async () => {
  assert.ok(waiting !== undefined)
  const { state, logged, look } = rig([waiting])
  await look()
  await look()
  assert.equal(state.renews, 1)
  state.loaded += ' loop'
  state.errors = [undefined, new Error('no')]
  await look()
  await look()
  assert.equal(state.renews, 2)
  assert.deepEqual(
    logged.map((line) => line.split(',')[0]),
    ['info policy attached again', 'error policy not attached again'],
  )
})

test('modules: a module that comes while policies are renewed, and goes before the next check, is noticed', async () => {
  assert.ok(waiting !== undefined)
  const { state, look } = rig([waiting])
  const looked = look()
  state.loaded = 'vmlinux loop'
  await looked
  state.loaded = 'vmlinux'
  await look()
  assert.equal(state.renews, 2)
})

test('modules: a module that was reloaded between two checks counts as another one', async () => {
  assert.ok(whole !== undefined)
  const { state, look } = rig([{ ...whole, hooks: [{ symbol: 'f', mode: 'kprobe', load: 'loop#7' }] }])
  await look()
  state.load = '#8'
  await look()
  await look()
  assert.equal(state.renews, 2)
})

test('modules: a search that failed is repeated at the next check', async () => {
  assert.ok(waiting !== undefined)
  const { state, logged, look } = rig([waiting])
  state.fails = true
  await look()
  state.fails = false
  await look()
  await look()
  assert.equal(state.renews, 2)
  assert.deepEqual(logged, ['error the search for functions of modules failed'])
})
