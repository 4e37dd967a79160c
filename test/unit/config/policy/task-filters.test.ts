/** matchNamespaces, matchCapabilities, and changes of both: text → checked filters, or refusals. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CAPABILITIES } from '../../../../config/policy/selectors/capabilities.ts'
import { NAMESPACES } from '../../../../config/policy/selectors/task.ts'
import { parsePolicy } from '../../../../config/policy/parse.ts'

const HEAD = 'apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {name: p}\nspec:\n  kprobes:\n'

/** The filters without their positions, or the problems. */
function filters(selector: string): unknown {
  const result = parsePolicy(`${HEAD}    - {call: sys_read, selectors: [{${selector}}]}\n`, 'p.yaml')
  if ('problems' in result) return result.problems.map(({ message }) => message)
  return (result.policy.hooks[0]?.selectors[0]?.task ?? []).map((filter) => ({ ...filter, at: undefined }))
}

const namespace = { class: 'namespace', operator: 'Equal', at: undefined }
const capability = { class: 'capability', set: 'effective', operator: 'Mask', outsideHost: false, at: undefined }

const GOOD: ReadonlyArray<readonly [selector: string, want: readonly object[]]> = [
  [
    'matchNamespaces: [{namespace: Pid, operator: In, values: [host_ns, "4026531836"]}]',
    [{ ...namespace, namespace: 'pid', values: ['host', 4026531836] }],
  ],
  [
    'matchNamespaces: [{namespace: timeforchildren, operator: NotIn, values: ["1"]}, {namespace: USER, operator: In, values: ["2"]}]',
    [
      { ...namespace, namespace: 'timeForChildren', operator: 'NotEqual', values: [1] },
      { ...namespace, namespace: 'user', values: [2] },
    ],
  ],
  [
    'matchCapabilities: [{operator: In, values: [CAP_CHOWN, CAP_CHECKPOINT_RESTORE]}]',
    [{ ...capability, mask: (1n << 40n) | 1n }],
  ],
  [
    'matchCapabilities: [{type: Inheritable, operator: NotIn, values: [DAC_OVERRIDE, CAP_DAC_OVERRIDE], isNamespaceCapability: true}]',
    [{ ...capability, set: 'inheritable', operator: 'NotMask', mask: 2n, outsideHost: true }],
  ],
  [
    'matchNamespaceChanges: [{operator: In, values: [net, Mnt, Mnt]}]',
    [{ class: 'namespaceChange', namespaces: ['mnt', 'net'], at: undefined }],
  ],
  [
    'matchNamespaceChanges: [{operator: NotIn, values: [Uts, Ipc, Mnt, Pid, PidForChildren, Net, Time, TimeForChildren]}]',
    [{ class: 'namespaceChange', namespaces: ['cgroup', 'user'], at: undefined }],
  ],
  [
    'matchCapabilityChanges: [{operator: In, values: [CAP_CHOWN, CAP_FOWNER]}]',
    [{ class: 'capabilityChange', set: 'effective', outsideHost: false, mask: 9n, at: undefined }],
  ],
  [
    'matchCapabilityChanges: [{type: Permitted, operator: NotIn, values: [CAP_CHOWN], isNamespaceCapability: true}]',
    [{ class: 'capabilityChange', set: 'permitted', outsideHost: true, mask: (1n << 41n) - 2n, at: undefined }],
  ],
]

for (const [selector, want] of GOOD)
  test(`task filters: ${selector.slice(0, 90)}`, () => assert.deepEqual(filters(selector), want))

const S = 'spec.kprobes[0].selectors[0]'
const BAD: ReadonlyArray<readonly [selector: string, message: RegExp]> = [
  [
    'matchNamespaces: [{namespace: Pids, operator: In, values: [host_ns]}]',
    /namespace: unknown value "Pids" \(did you mean "Pid"\?\)$/,
  ],
  [
    'matchNamespaces: [{namespace: Pid, operator: Equal, values: [host_ns]}]',
    /operator: expected one of In, NotIn, got "Equal"$/,
  ],
  [
    'matchNamespaces: [{namespace: Pid, operator: In, values: [hostns]}]',
    /values\[0\]: expected host_ns or the inode number .* got "hostns" \(did you mean "host_ns"\?\)$/,
  ],
  [
    'matchNamespaces: [{namespace: Pid, operator: In, values: [4026531836]}]',
    /values\[0\]: expected a text, got the number 4026531836; put it in quotes/,
  ],
  [
    'matchNamespaces: [{namespace: Pid, operator: In, values: ["4294967296"]}]',
    /values\[0\]: expected host_ns or the inode number/,
  ],
  ['matchNamespaces: [{operator: In, values: [host_ns]}]', /namespace: missing; expected one of Uts/],
  [
    'matchCapabilities: [{operator: In, values: [CAP_SYS_ADMN]}]',
    /values\[0\]: expected a capability such as CAP_SYS_ADMIN, got "CAP_SYS_ADMN" \(did you mean "CAP_SYS_ADMIN"\?\)$/,
  ],
  ['matchCapabilities: [{operator: In, values: []}]', /values: expected at least one value/],
  [
    'matchNamespaceChanges: [{operator: In, values: [Mount]}]',
    /values\[0\]: unknown value "Mount" \(did you mean "Mnt"\?\)$/,
  ],
  ['matchNamespaceChanges: [{operator: In, values: []}]', /values: expected at least one value/],
  ['matchNamespaceChanges: [{values: [Mnt]}]', /operator: missing; expected one of In, NotIn/],
  ['matchNamespaceChanges: [{operator: Changed, values: [Mnt]}]', /operator: expected one of In, NotIn, got "Changed"/],
  [
    'matchNamespaceChanges: [{operator: In, namespace: Mnt, values: [Mnt]}]',
    /unknown key "namespace" \(did you mean "values"\?\)$/,
  ],
  [
    `matchNamespaceChanges: [{operator: NotIn, values: [${[...NAMESPACES.keys()].join(', ')}]}]`,
    /values: NotIn with all namespaces matches no change; remove some, or use In$/,
  ],
  [
    'matchNamespaceChanges: [{operator: In, values: [Mnt]}, {operator: In, values: [Net]}]',
    /matchNamespaceChanges.*at most 1/,
  ],
  [
    'matchCapabilityChanges: [{operator: In, values: [CAP_SYS_ADMN]}]',
    /values\[0\]: expected a capability such as CAP_SYS_ADMIN, got "CAP_SYS_ADMN" \(did you mean "CAP_SYS_ADMIN"\?\)$/,
  ],
  ['matchCapabilityChanges: [{operator: In}]', /values: missing; expected a list of capabilities/],
  [
    'matchCapabilityChanges: [{type: Bounding, operator: In, values: [CAP_BPF]}]',
    /type: expected one of Effective, Inheritable, Permitted, got "Bounding"$/,
  ],
  [
    `matchCapabilityChanges: [{operator: NotIn, values: [${CAPABILITIES.join(', ')}]}]`,
    /values: NotIn with all capabilities matches no change; remove some, or use In$/,
  ],
  [
    'matchCapabilities: [{type: Ambient, operator: In, values: [CAP_BPF]}]',
    /type: expected one of Effective, Inheritable, Permitted, got "Ambient"$/,
  ],
]

for (const [selector, message] of BAD) {
  test(`task filters: refused: ${selector.slice(0, 80)}`, () => {
    const [first, ...rest] = filters(selector) as string[]
    assert.deepEqual(rest, [])
    assert.ok(first?.startsWith(S))
    assert.match(first ?? '', message)
  })
}
