/** podSelector, containerSelector, hostSelector, nodeSelector, matchWorkloads and namespaced policies: text → checked filters, or refusals. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parsePolicy } from '../../../../config/policy/parse.ts'
import type { PolicyResult } from '../../../../config/policy/parse.ts'
import { labelsMatch } from '../../../../config/policy/selectors/workloads.ts'

const CLUSTER = 'kind: TracingPolicy\nmetadata: {name: p}\n'
const NAMESPACED = 'kind: TracingPolicyNamespaced\nmetadata: {name: p, namespace: shop}\n'

function parse(spec: string, selectors: string, head = CLUSTER): PolicyResult {
  const text = `apiVersion: cilium.io/v1alpha1\n${head}spec:\n  kprobes: [{call: sys_read${selectors}}]\n  ${spec}\n`
  return parsePolicy(text, 'p.yaml')
}

/** The filters of the hook's selectors without their positions, or the problems. */
function filters(spec: string, selectors = '', head = CLUSTER): unknown {
  const result = parse(spec, selectors, head)
  if ('problems' in result) return result.problems.map(({ message }) => message)
  return result.policy.hooks[0]?.selectors.map(({ workloads = [] }) =>
    workloads.map((each) => ({ ...each, at: undefined })),
  )
}

const all = { namespace: '', pods: undefined, containers: undefined, host: false, at: undefined }
const isWeb = [{ key: 'app', operator: 'In', values: ['web'] }]
const isMain = [{ key: 'name', operator: 'In', values: ['main'] }]
const P = 'podSelector: {matchLabels: {app: web}}'
const C = 'containerSelector: {matchLabels: {name: main}}'
const H = 'hostSelector: {}'

const GOOD: ReadonlyArray<readonly [spec: string, selectors: string, want: unknown, head?: string]> = [
  ['options: []', '', []],
  ['podSelector: null', '', []],
  [C, '', [[{ ...all, containers: isMain }]]],
  [P, '', [[{ ...all, pods: isWeb }]]],
  [`${P}\n  ${C}`, '', [[{ ...all, pods: isWeb, containers: isMain }]]],
  [H, '', [[{ ...all, host: true }]]],
  [`${H}\n  ${C}`, '', [[{ ...all, host: true, containers: isMain }]]],
  [`${H}\n  ${P}`, '', [[{ ...all, host: true, pods: isWeb }]]],
  ['podSelector: {}', '', [[{ ...all, pods: [] }]]],
  ['options: []', '', [[{ ...all, namespace: 'shop', pods: [] }]], NAMESPACED],
  [P, '', [[{ ...all, namespace: 'shop', pods: isWeb }]], NAMESPACED],
  [
    'podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [a, b]}, {key: x, operator: Exists}, {key: y, operator: DoesNotExist, values: []}]}',
    '',
    [
      [
        {
          ...all,
          pods: [
            { key: 'app', operator: 'NotIn', values: ['a', 'b'] },
            { key: 'x', operator: 'Exists', values: [] },
            { key: 'y', operator: 'DoesNotExist', values: [] },
          ],
        },
      ],
    ],
  ],
  // One selector of its own, one of the policy alone.
  [
    P,
    `, selectors: [{matchWorkloads: {${C}}}, {matchPIDs: [{operator: In, values: [1]}]}]`,
    [
      [
        { ...all, pods: isWeb },
        { ...all, containers: isMain },
      ],
      [{ ...all, pods: isWeb }],
    ],
  ],
  ['options: []', `, selectors: [{matchWorkloads: {${H}}}, {matchWorkloads: {}}]`, [[{ ...all, host: true }], []]],
]

for (const [spec, selectors, want, head] of GOOD) {
  test(`workloads: ${spec.replaceAll('\n ', ',').slice(0, 80)}${selectors.slice(0, 60)}`, () =>
    assert.deepEqual(filters(spec, selectors, head), want))
}

test('workloads: conditions of a policy on its namespace and on nodes', () => {
  const result = parse('nodeSelector: {matchLabels: {disk: ssd}}', '', NAMESPACED)
  assert.ok('policy' in result)
  const { namespace, nodes } = result.policy
  assert.deepEqual(
    { namespace, nodes },
    { namespace: 'shop', nodes: [{ key: 'disk', operator: 'In', values: ['ssd'] }] },
  )
})

const BAD: ReadonlyArray<readonly [spec: string, selectors: string, message: RegExp, head?: string]> = [
  [
    'hostSelector: {matchLabels: {a: b}}',
    '',
    /^spec.hostSelector: expected \{\}, which matches all host processes, got a mapping with keys$/,
  ],
  ['hostSelector: true', '', /^spec.hostSelector: expected \{\}.* got the word true$/],
  [
    H,
    '',
    /^spec.hostSelector: a namespaced policy applies only to pods, never to host processes; remove it$/,
    NAMESPACED,
  ],
  ['podSelector: {app: web}', '', /^spec.podSelector: unknown key "app"; write it below matchLabels$/],
  ['podSelector: web', '', /^spec.podSelector: expected a mapping with matchLabels, matchExpressions, got "web"$/],
  [
    'podSelector: {matchLabels: {app: 1}}',
    '',
    /matchLabels\["app"\]: expected a text, got the number 1; put it in quotes: "1"$/,
  ],
  ['podSelector: {matchLabels: [app]}', '', /matchLabels: expected a mapping of labels to their values, got a list$/],
  [
    'podSelector: {matchExpressions: [{key: app, operator: Equal, values: [a]}]}',
    '',
    /operator: expected one of In, NotIn, Exists, DoesNotExist, got "Equal" \(did you mean "In"\?\)$/,
  ],
  ['podSelector: {matchExpressions: [{key: app, operator: In}]}', '', /values: expected at least one value for In$/],
  [
    'podSelector: {matchExpressions: [{key: app, operator: Exists, values: [a]}]}',
    '',
    /values: Exists takes no values; remove them$/,
  ],
  ['podSelector: {matchExpressions: [{operator: Exists}]}', '', /key: missing; expected the name of a label$/],
  [
    'options: []',
    ', selectors: [{matchWorkloads: [x]}]',
    /^spec.kprobes\[0\].selectors\[0\].matchWorkloads: expected a mapping/,
  ],
  [
    'options: []',
    '',
    /^metadata.namespace: missing; expected the namespace/,
    'kind: TracingPolicyNamespaced\nmetadata: {name: p}\n',
  ],
  [
    'options: []',
    '',
    /^metadata.namespace: expected lower-case letters, digits and "-" .* got "A b"$/,
    'kind: TracingPolicyNamespaced\nmetadata: {name: p, namespace: A b}\n',
  ],
  [
    'options: []',
    '',
    /^metadata.namespace: a TracingPolicy applies to all namespaces; remove the key, or write kind: TracingPolicyNamespaced$/,
    'kind: TracingPolicy\nmetadata: {name: p, namespace: shop}\n',
  ],
]

for (const [spec, selectors, message, head] of BAD) {
  test(`workloads: refused: ${spec.slice(0, 80)}${selectors}`, () => {
    const [first = '', ...rest] = filters(spec, selectors, head) as string[]
    assert.deepEqual(rest, [])
    assert.match(first, message)
  })
}

const LABELS = { app: 'web', tier: '' }
const MATCHES: ReadonlyArray<readonly [requirement: string, holds: boolean]> = [
  ['app In web,db', true],
  ['app In db', false],
  ['tier In ', true],
  ['other In web', false],
  ['app NotIn db', true],
  ['app NotIn web', false],
  ['other NotIn web', true],
  ['tier Exists', true],
  ['toString Exists', false],
  ['other DoesNotExist', true],
  ['app DoesNotExist', false],
]

for (const [requirement, holds] of MATCHES) {
  test(`workloads: labels: ${requirement}`, () => {
    const [key = '', operator, values] = requirement.split(' ')
    const selector = [{ key, operator: operator as 'In', values: values === undefined ? [] : values.split(',') }]
    assert.equal(labelsMatch(selector, LABELS), holds)
  })
}

test('workloads: without requirements, any labels match', () => assert.ok(labelsMatch([], {})))
