/** Policies on a kernel without bpf_loop: what their annotation permits, and the filters on names instead of files. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parsePolicy } from '../../../../../config/policy/parse.ts'
import type { HookSpec, Policy } from '../../../../../config/policy/policy.ts'
import { fitWithoutLoops } from '../../../../../config/policy/without-loops.ts'

const ANNOTATION = 'ktrail.dev/without-bpf-loop'

function parsed(annotation: string | undefined, ...selectors: object[]): ReturnType<typeof parsePolicy> {
  const args = [0, 1].map((index) => ({ index, type: 'dentry' }))
  const hook = { call: 'security_inode_link', syscall: false, args, selectors, aggregate: { window: '1s' } }
  const metadata = { name: 'p', ...(annotation !== undefined && { annotations: { [ANNOTATION]: annotation } }) }
  const document = { apiVersion: 'ktrail.dev/v1alpha1', kind: 'TracingPolicy', metadata, spec: { kprobes: [hook] } }
  return parsePolicy(JSON.stringify(document), 'p.yaml')
}

function policyOf(...given: Parameters<typeof parsed>): Policy {
  const result = parsed(...given)
  assert.ok('policy' in result, 'problems' in result ? JSON.stringify(result.problems) : '')
  return result.policy
}

const on = (index: number, operator: string, ...values: string[]): object => ({ index, operator, values })

/** `0 Equal /etc; 1 Prefix /x/` for each selector. */
const filtersOf = ({ hooks }: Policy): string[] =>
  hooks.flatMap(({ selectors }) =>
    selectors.map(({ matchArgs }) =>
      matchArgs.map(({ arg, operator, values }) => `${arg} ${operator} ${values.join(' ')}`).join('; '),
    ),
  )

const UNDER = { matchArgs: [on(0, 'UnderDir', '/etc/ssh', '/root//.ssh/')] }

for (const [what, selector, want] of [
  ['UnderDir', UNDER, ['0 Equal /etc/ssh /root/.ssh', '0 Prefix /etc/ssh/ /root/.ssh/']],
  [
    'UnderDir with sticky',
    { matchArgs: [{ ...on(0, 'UnderDir', '/a'), sticky: true }] },
    ['0 Equal /a', '0 Prefix /a/'],
  ],
  ['UnderDir of the root', { matchArgs: [on(0, 'UnderDir', '/')] }, ['0 Equal /', '0 Prefix /']],
  ['SameFile', { matchArgs: [on(0, 'SameFile', '/etc/shadow')] }, ['0 Equal /etc/shadow']],
  [
    'two arguments, and another filter between them',
    { matchArgs: [on(0, 'UnderDir', '/a'), on(0, 'FileType', 'reg'), on(1, 'UnderDir', '/b')] },
    ['Equal', 'Prefix'].flatMap((first) =>
      ['Equal', 'Prefix'].map((second) => {
        const end = (operator: string): string => (operator === 'Prefix' ? '/' : '')
        return `0 ${first} /a${end(first)}; 0 Equal 32768; 1 ${second} /b${end(second)}`
      }),
    ),
  ],
  ['names', { matchArgs: [on(0, 'Prefix', '/etc')] }, ['0 Prefix /etc']],
] as const) {
  test(`without bpf_loop: by name, ${what}`, () => {
    assert.deepEqual(filtersOf(fitWithoutLoops(policyOf('by-name', selector)).policy), want)
  })
}

test('without bpf_loop: a folder whose path is as long as a path may be has nothing below it', () => {
  const longest = `/${'a'.repeat(4094)}`
  const { policy } = fitWithoutLoops(policyOf('by-name', { matchArgs: [on(0, 'UnderDir', longest)] }))
  assert.deepEqual(filtersOf(policy), [`0 Equal ${longest}`])
})

test('without bpf_loop: names are those of processes in the host’s pid namespace that do not unpack images', () => {
  const own = { ...UNDER, matchNamespaces: [{ namespace: 'Mnt', operator: 'NotIn', values: ['host_ns'] }] }
  const names = { matchArgs: [on(0, 'Prefix', '/etc')] }
  const { policy } = fitWithoutLoops(policyOf('by-name', UNDER, own, names))
  const conditions = policy.hooks.flatMap(({ selectors }) =>
    selectors.map(({ task = [], process = [] }) => [
      task.map((each) =>
        each.class === 'namespace' ? `${each.namespace} ${each.operator} ${each.values.join()}` : '',
      ),
      process.map(({ operator, values }) => `${operator} ${values[0]}`),
    ]),
  )
  const unpacks = ['NotEqual /usr/bin/dockerd']
  const host = [['pid Equal host'], unpacks]
  // A selector that names namespaces keeps them.
  const kept = [['mnt NotEqual host'], unpacks]
  assert.deepEqual(conditions, [host, host, kept, kept, [[], []]])
})

test('without bpf_loop: nothing changes without a permission, and each permission has its sentence', () => {
  const aggregates = ({ hooks }: Policy): boolean => hooks.some(({ aggregate }: HookSpec) => aggregate !== undefined)
  const names = /^this kernel lacks bpf_loop: files by name, so /
  const calls = /^this kernel lacks bpf_loop: no aggregate, so /
  for (const [annotation, byName, counted, sentences] of [
    [undefined, false, true, []],
    ['by-name', true, true, [names]],
    ['no-aggregate', false, false, [calls]],
    ['no-aggregate , by-name', true, false, [names, calls]],
  ] as const) {
    const { policy, limited } = fitWithoutLoops(policyOf(annotation, UNDER))
    assert.deepEqual([filtersOf(policy).length === 2, aggregates(policy)], [byName, counted], annotation)
    assert.equal(limited.length, sentences.length)
    sentences.forEach((sentence, i) => assert.match(limited[i] ?? '', sentence))
  }
  assert.deepEqual(fitWithoutLoops(policyOf('by-name', { matchArgs: [on(0, 'Equal', '/x')] })).limited, [])
})

for (const [annotation, got] of [
  ['by-names', '"by-names" (did you mean "by-name"?)'],
  ['by-name no-aggregate', '"by-name no-aggregate"'],
  ['', '""'],
] as const) {
  test(`without bpf_loop: the annotation ${JSON.stringify(annotation)} is refused`, () => {
    const result = parsed(annotation, UNDER)
    assert.ok('problems' in result)
    assert.deepEqual(
      result.problems.map(({ message }) => message),
      [`metadata.annotations["${ANNOTATION}"]: expected by-name, no-aggregate, or both with a comma, got ${got}`],
    )
  })
}
