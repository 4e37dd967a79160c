/** Policies by id: changed as a whole or not at all, one change after another. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parsePolicy } from '../../../../config/policy/parse.ts'
import type { Policy } from '../../../../config/policy/policy.ts'
import { CollectorError } from '../../../../collector/errors.ts'
import { Policies } from '../../../../collector/policies/registry.ts'
import type { PolicyId, PolicyPut } from '../../../../collector/policies/registry.ts'
import { FakeKernel, idOf, policyOf } from '../support/policies.ts'

interface Rig {
  readonly policies: Policies
  readonly kernel: FakeKernel
  /** The kernel refuses these from now on. */
  refuse(...names: readonly string[]): void
  shown(): string[]
}

function rig(): Rig {
  const kernel = new FakeKernel()
  const policies = new Policies(kernel)
  return {
    policies,
    kernel,
    refuse: (...names) => {
      kernel.refuse = ({ name, file }) =>
        names.includes(name) ? new CollectorError('POLICY_REFUSED', `${file}: no`) : undefined
    },
    shown: () =>
      policies.list().map(({ id, state, error = '' }) => `${id.source}/${id.name} ${state} ${error}`.trimEnd()),
  }
}

const putOf = (name: string, ...replaces: readonly string[]): PolicyPut => ({
  id: idOf(name),
  policy: policyOf(name),
  replaces: replaces.map((other) => idOf(other)),
})

/** One policy in place of others; rejects with the kernel's error. */
async function replace(policies: Policies, replaces: readonly PolicyId[], id: PolicyId, policy: Policy): Promise<void> {
  const [error] = await policies.put([{ id, policy, replaces }])
  if (error !== undefined) throw error
}

test('registry: an added policy is listed with its hooks and counters until it is removed', async () => {
  const { policies, kernel } = rig()
  await policies.add(idOf('a'), policyOf('a'))
  assert.deepEqual(policies.list(), [
    {
      id: idOf('a'),
      number: 1,
      state: 'enabled',
      error: undefined,
      policy: policyOf('a'),
      hooks: [{ symbol: 'f', mode: 'fexit', load: '' }],
      skipped: [{ symbol: 'g' }],
      lacking: [],
      limited: [],
      events: 7,
      kernelMemory: 8192,
      done: [],
    },
  ])
  await policies.remove([idOf('a')])
  await policies.remove([idOf('a')])
  assert.deepEqual([policies.list(), kernel.tries], [[], ['+a', '-a']])
})

test('registry: one name from two sources or in two namespaces is two policies', async () => {
  const { policies, shown } = rig()
  await policies.add(idOf('a', 'x'), policyOf('a'))
  await policies.add(idOf('a', 'y'), policyOf('a'))
  await policies.add({ ...idOf('a', 'x'), namespace: 'n' }, policyOf('a'))
  assert.deepEqual(shown(), ['x/a enabled', 'y/a enabled', 'x/a enabled'])
})

test('registry: an existing policy is not added again', async () => {
  const { policies, kernel } = rig()
  await policies.add(idOf('a'), policyOf('a'))
  await assert.rejects(policies.add(idOf('a'), policyOf('a')), { code: 'POLICY_EXISTS' })
  assert.deepEqual(kernel.tries, ['+a'])
})

test('registry: a replacement and all that it replaces are one change', async () => {
  const { policies, kernel, shown } = rig()
  for (const name of ['a', 'b', 'c']) await policies.add(idOf(name), policyOf(name))
  await replace(policies, [idOf('a'), idOf('c')], idOf('d'), policyOf('d'))
  assert.deepEqual(shown(), ['test/b enabled', 'test/d enabled'])
  await replace(policies, [], idOf('b'), policyOf('b'))
  await replace(policies, [idOf('b'), idOf('b'), idOf('none')], idOf('b'), policyOf('b'))
  assert.deepEqual(kernel.log.slice(3), ['-a -c +d', '-b +b', '-b +b'])
})

test('registry: a refused replacement changes only the listed error', async () => {
  const { policies, kernel, refuse, shown } = rig()
  const first = policyOf('a')
  await policies.add(idOf('a'), first)
  refuse('a')
  await assert.rejects(replace(policies, [], idOf('a'), policyOf('a')), { code: 'POLICY_REFUSED' })
  assert.deepEqual([kernel.log, shown()], [['+a'], ['test/a enabled a.yaml: no']])
  assert.equal(policies.list()[0]?.policy, first)
  refuse('b')
  await assert.rejects(replace(policies, [idOf('a')], idOf('b'), policyOf('b')), { code: 'POLICY_REFUSED' })
  assert.deepEqual([kernel.log, shown()], [['+a'], ['test/a enabled a.yaml: no', 'test/b error b.yaml: no']])
  refuse()
  await replace(policies, [idOf('a')], idOf('b'), policyOf('b'))
  assert.deepEqual([kernel.log.slice(1), shown()], [['-a +b'], ['test/b enabled']])
})

test('registry: a refused policy may be added again', async () => {
  const { policies, kernel, refuse, shown } = rig()
  refuse('a')
  await assert.rejects(policies.add(idOf('a'), policyOf('a')))
  assert.deepEqual(shown(), ['test/a error a.yaml: no'])
  refuse()
  await policies.add(idOf('a'), policyOf('a'))
  assert.deepEqual([kernel.log, shown()], [['+a'], ['test/a enabled']])
})

test('registry: an error thrown by the kernel is passed on unchanged', async () => {
  const { policies, kernel, shown } = rig()
  const fault = new TypeError('x is not a function')
  kernel.refuse = () => fault
  assert.deepEqual(await policies.put([putOf('a'), putOf('b')]), [fault, fault])
  assert.deepEqual(shown(), ['test/a error x is not a function', 'test/b error x is not a function'])
})

test('registry: several policies are one change, in their order', async () => {
  const { policies, kernel, shown } = rig()
  await policies.add(idOf('old'), policyOf('old'))
  const errors = await policies.put([putOf('b'), putOf('a', 'old'), putOf('c', 'old')])
  assert.deepEqual(errors, [undefined, undefined, undefined])
  assert.deepEqual(kernel.tries, ['+old', '-old +b +a +c'])
  assert.deepEqual(shown(), ['test/b enabled', 'test/a enabled', 'test/c enabled'])
  assert.deepEqual(
    policies.list().map(({ policy }) => policy.name),
    kernel.names,
  )
})

test('registry: an empty change is none', async () => {
  const { policies, kernel } = rig()
  assert.deepEqual([await policies.put([]), kernel.tries], [[], []])
})

test('registry: only stale policies are attached again, each by itself; one that is refused stays as it was', async () => {
  const { policies, kernel, refuse, shown } = rig()
  await policies.put([putOf('a'), putOf('b')])
  kernel.load = 'm#2'
  await policies.add(idOf('c'), policyOf('c'))
  refuse('b')
  assert.deepEqual(
    (await policies.renew()).map(({ id, error }) => [id.name, error === undefined]),
    [
      ['a', true],
      ['b', false],
    ],
  )
  assert.deepEqual(kernel.tries.slice(2), ['-a +a', '-b +b'])
  assert.deepEqual(shown(), ['test/b enabled b.yaml: no', 'test/c enabled', 'test/a enabled'])
})

test('registry: when the kernel refuses several at once, they are halved until it is alone, and the good ones stay', async () => {
  const { policies, kernel, refuse, shown } = rig()
  await policies.add(idOf('b'), policyOf('b'))
  refuse('b', 'd')
  const errors = await policies.put(['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].map((name) => putOf(name)))
  assert.deepEqual(
    errors.map((error) => (error instanceof CollectorError ? error.message : error)),
    [undefined, 'b.yaml: no', undefined, 'd.yaml: no', ...Array.from({ length: 4 }, () => undefined)],
  )
  assert.deepEqual(kernel.tries.slice(1), [
    '-b +a +b +c +d +e +f +g +h',
    '-b +a +b +c +d',
    '-b +a +b',
    '+a',
    '-b +b',
    '+c +d',
    '+c',
    '+d',
    '+e +f +g +h',
  ])
  assert.deepEqual(kernel.names, ['b', 'a', 'c', 'e', 'f', 'g', 'h'])
  assert.deepEqual(shown(), [
    'test/b enabled b.yaml: no',
    'test/a enabled',
    'test/c enabled',
    'test/d error d.yaml: no',
    'test/e enabled',
    'test/f enabled',
    'test/g enabled',
    'test/h enabled',
  ])
})

test('registry: changes run one after another, in order, also behind one that fails', async () => {
  const { policies, kernel, refuse, shown } = rig()
  refuse('bad')
  const changes = await Promise.allSettled([
    replace(policies, [], idOf('a'), policyOf('a')),
    replace(policies, [], idOf('bad'), policyOf('bad')),
    policies.remove([idOf('a')]),
    policies.put([putOf('b'), putOf('c')]),
    replace(policies, [idOf('b')], idOf('a'), policyOf('a')),
  ])
  assert.deepEqual(
    changes.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled', 'fulfilled', 'fulfilled'],
  )
  assert.deepEqual(kernel.tries, ['+a', '+bad', '-a', '+b +c', '-b +a'])
  assert.equal(kernel.together, 1)
  assert.deepEqual(shown(), ['test/bad error bad.yaml: no', 'test/c enabled', 'test/a enabled'])
})

test('registry: disposed, it detaches everything, once', async () => {
  const { policies, kernel, shown } = rig()
  for (const name of ['a', 'b']) await policies.add(idOf(name), policyOf(name))
  await policies[Symbol.asyncDispose]()
  await policies[Symbol.asyncDispose]()
  assert.deepEqual([kernel.log, shown()], [['+a', '+b', '-a -b'], []])
})

test('registry: disposed during a change, that change and later ones fail, and nothing is attached', async () => {
  const { policies, kernel } = rig()
  await policies.add(idOf('a'), policyOf('a'))
  const running = replace(policies, [idOf('a')], idOf('b'), policyOf('b'))
  const waiting = policies.add(idOf('c'), policyOf('c'))
  const failed = Promise.all([
    assert.rejects(running, { message: 'the agent is stopping' }),
    assert.rejects(waiting, { message: 'the agent is stopping' }),
  ])
  await policies[Symbol.asyncDispose]()
  await failed
  assert.deepEqual([kernel.log, kernel.names], [['+a', '-a'], []])
  assert.ok(policies.list().every(({ state }) => state !== 'enabled'))
})

test('registry: a disabled policy stays listed, keeps its number, and is enabled again', async () => {
  const { policies, kernel, shown } = rig()
  for (const name of ['a', 'b']) await policies.add(idOf(name), policyOf(name))
  await policies.disable(idOf('a'))
  await policies.disable(idOf('a'))
  assert.deepEqual(shown(), ['test/a disabled', 'test/b enabled'])
  await assert.rejects(policies.add(idOf('a'), policyOf('a')), { code: 'POLICY_EXISTS' })
  await policies.enable(idOf('a'))
  await policies.enable(idOf('a'))
  assert.deepEqual(kernel.log, ['+a', '+b', '-a', '+a'])
  assert.deepEqual(
    policies.list().map(({ id, number }) => `${id.name} ${number}`),
    ['b 2', 'a 1'],
  )
  for (const change of ['enable', 'disable'] as const) {
    await assert.rejects(policies[change](idOf('c')), { code: 'NO_SUCH_POLICY', message: 'no policy "c" of test' })
  }
})

test('registry: a disabled policy that the kernel refuses is listed with its error', async () => {
  const { policies, refuse, shown } = rig()
  await policies.add(idOf('a'), policyOf('a'))
  await policies.disable(idOf('a'))
  refuse('a')
  await assert.rejects(policies.enable(idOf('a')), { code: 'POLICY_REFUSED' })
  assert.deepEqual(shown(), ['test/a error a.yaml: no'])
})

const KILLING = `apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: { name: a }
spec:
  kprobes:
    - call: fd_install
      syscall: false
      args: [{ index: 0, type: int }]
      selectors: [{ matchActions: [{ action: Sigkill }] }]
`

test('registry: each change that took effect is reported with who made it, and no other', async () => {
  const kernel = new FakeKernel()
  const changes: string[] = []
  const policies = new Policies(kernel, ({ what, by, names, mode, modeBefore = '' }) => {
    changes.push(`${what} ${names.join()} ${by} ${modeBefore}>${mode}`)
  })
  const api = 'api uid=0 pid=7'
  const parsed = parsePolicy(KILLING, 'a.yaml')
  assert.ok('policy' in parsed)
  await policies.add(idOf('a'), policyOf('a'), api)
  await policies.put([{ id: idOf('a'), policy: parsed.policy, replaces: [] }, putOf('b')], 'cluster')
  await policies.disable(idOf('a'), api)
  await policies.disable(idOf('a'), api)
  await policies.enable(idOf('a'), api)
  await policies.enable(idOf('a'), api)
  await policies.put([putOf('c', 'b')])
  kernel.refuse = () => new CollectorError('POLICY_REFUSED', 'no')
  await policies.put([putOf('d'), putOf('c')])
  await policies.remove([idOf('d')])
  await policies.remove([idOf('c')])
  await policies.remove([idOf('c')])
  const { source } = idOf('c')
  assert.deepEqual(changes, [
    `policy_added a ${api} >monitor`,
    'policy_replaced a cluster monitor>enforce',
    'policy_added b cluster >monitor',
    `policy_disabled a ${api} >enforce`,
    `policy_enabled a ${api} >enforce`,
    `policy_removed b file ${source} >monitor`,
    `policy_added c file ${source} >monitor`,
    `policy_removed c file ${source} >monitor`,
  ])
  await policies[Symbol.asyncDispose]()
  assert.equal(changes.length, 8, 'the stop is no change of policies')
})

test('registry: a policy that another file has now is replaced, and one with a namespace is named with it', async () => {
  const changes: string[] = []
  const policies = new Policies(new FakeKernel(), ({ what, by, names }) =>
    changes.push(`${what} ${names.join()} ${by}`),
  )
  const [old, now] = ['/old.yaml', '/now.yaml'].map((source) => ({ source, namespace: 'shop', name: 'a' }))
  assert.ok(old !== undefined && now !== undefined)
  await policies.add(old, policyOf('a'))
  await replace(policies, [old], now, policyOf('a'))
  assert.deepEqual(changes, ['policy_added shop/a file /old.yaml', 'policy_replaced shop/a file /now.yaml'])
})
