/** Policies by id: attached completely or not at all, the new before the old. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { CollectorError } from '../../../../collector/errors.ts'
import { Policies } from '../../../../collector/policies/registry.ts'
import { idOf, policyOf } from '../support/policies.ts'

interface Rig {
  readonly policies: Policies
  /** `+name` for each that was attached, `-name` for each that was detached. */
  readonly log: string[]
  refused: string
  shown(): string[]
}

function rig(): Rig {
  const log: string[] = []
  const policies = new Policies(async ({ name, file }) => {
    await setImmediate()
    if (made.refused === name) throw new CollectorError('POLICY_REFUSED', `${file}: no`)
    log.push(`+${name}`)
    return {
      hooks: [{ symbol: 'f', mode: 'fexit' }],
      skipped: [{ symbol: 'g' }],
      events: () => 7,
      [Symbol.asyncDispose]: async () => {
        await setImmediate()
        log.push(`-${name}`)
      },
    }
  })
  const shown = (): string[] =>
    policies.list().map(({ id, state, error = '' }) => `${id.source}/${id.name} ${state} ${error}`.trimEnd())
  const made: Rig = { policies, log, refused: '', shown }
  return made
}

test('registry: an added policy is listed with its hooks and counters until it is removed', async () => {
  const { policies, log } = rig()
  await policies.add(idOf('a'), policyOf('a'))
  assert.deepEqual(policies.list(), [
    {
      id: idOf('a'),
      state: 'enabled',
      error: undefined,
      policy: policyOf('a'),
      hooks: [{ symbol: 'f', mode: 'fexit' }],
      skipped: [{ symbol: 'g' }],
      events: 7,
    },
  ])
  await policies.remove(idOf('a'))
  await policies.remove(idOf('a'))
  assert.deepEqual([policies.list(), log], [[], ['+a', '-a']])
})

test('registry: one name from two sources or in two namespaces is two policies', async () => {
  const { policies, shown } = rig()
  await policies.add(idOf('a', 'x'), policyOf('a'))
  await policies.add(idOf('a', 'y'), policyOf('a'))
  await policies.add({ ...idOf('a', 'x'), namespace: 'n' }, policyOf('a'))
  assert.deepEqual(shown(), ['x/a enabled', 'y/a enabled', 'x/a enabled'])
})

test('registry: an existing policy is not added again', async () => {
  const { policies, log } = rig()
  await policies.add(idOf('a'), policyOf('a'))
  await assert.rejects(policies.add(idOf('a'), policyOf('a')), { code: 'POLICY_EXISTS' })
  assert.deepEqual(log, ['+a'])
})

test('registry: a replacement is attached before anything that it replaces is detached', async () => {
  const { policies, log, shown } = rig()
  for (const name of ['a', 'b', 'c']) await policies.add(idOf(name), policyOf(name))
  log.length = 0
  await policies.replace([idOf('a'), idOf('c')], idOf('d'), policyOf('d'))
  assert.deepEqual(
    [log, shown()],
    [
      ['+d', '-a', '-c'],
      ['test/b enabled', 'test/d enabled'],
    ],
  )
  await policies.replace([], idOf('b'), policyOf('b'))
  assert.deepEqual(log.slice(3), ['+b', '-b'])
})

test('registry: a refused replacement changes only the listed error', async () => {
  const made = rig()
  const { policies, log } = made
  await policies.add(idOf('a'), policyOf('a'))
  made.refused = 'a'
  await assert.rejects(policies.replace([], idOf('a'), policyOf('a')), { code: 'POLICY_REFUSED' })
  assert.deepEqual([log, made.shown()], [['+a'], ['test/a enabled a.yaml: no']])
  made.refused = 'b'
  await assert.rejects(policies.replace([idOf('a')], idOf('b'), policyOf('b')), { code: 'POLICY_REFUSED' })
  assert.deepEqual([log, made.shown()], [['+a'], ['test/a enabled a.yaml: no', 'test/b error b.yaml: no']])
  made.refused = ''
  await policies.replace([idOf('a')], idOf('b'), policyOf('b'))
  assert.deepEqual([log.slice(1), made.shown()], [['+b', '-a'], ['test/b enabled']])
})

test('registry: a refused policy may be added again', async () => {
  const made = rig()
  made.refused = 'a'
  await assert.rejects(made.policies.add(idOf('a'), policyOf('a')))
  assert.deepEqual(made.shown(), ['test/a error a.yaml: no'])
  made.refused = ''
  await made.policies.add(idOf('a'), policyOf('a'))
  assert.deepEqual([made.log, made.shown()], [['+a'], ['test/a enabled']])
})

test('registry: disposed, it detaches everything, once', async () => {
  const { policies, log, shown } = rig()
  for (const name of ['a', 'b']) await policies.add(idOf(name), policyOf(name))
  await policies[Symbol.asyncDispose]()
  await policies[Symbol.asyncDispose]()
  assert.deepEqual([log, shown()], [['+a', '+b', '-a', '-b'], []])
})

test('registry: changes that are asked for together are made one after the other', async () => {
  const made = rig()
  const { policies, log, shown } = made
  made.refused = 'b'
  const changes = await Promise.allSettled([
    policies.add(idOf('a'), policyOf('a')),
    policies.add(idOf('a'), policyOf('a')),
    policies.add(idOf('b'), policyOf('b')),
    policies.replace([idOf('a')], idOf('c'), policyOf('c')),
    policies.remove(idOf('c')),
    policies.add(idOf('d'), policyOf('d')),
    policies[Symbol.asyncDispose](),
  ])
  assert.deepEqual(
    changes.map(({ status }) => status),
    ['fulfilled', 'rejected', 'rejected', 'fulfilled', 'fulfilled', 'fulfilled', 'fulfilled'],
  )
  assert.deepEqual([log, shown()], [['+a', '+c', '-a', '-c', '+d', '-d'], []])
})
