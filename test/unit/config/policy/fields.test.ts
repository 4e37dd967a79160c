/** Every field, type and operator of Tetragon that this version does not support is refused by name, at its position. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parsePolicy } from '../../../../config/policy/parse.ts'

// Copied from Tetragon's schema instead of imported, so that a field missing in the tables fails here.
const PLACES: Array<{ where: string; path: string; fields: string; yaml: (field: string) => string }> = [
  {
    where: 'spec',
    path: 'spec',
    fields: 'uprobes usdts loader',
    yaml: (field) => `spec: { kprobes: [{ call: sys_f }], ${field}: {} }`,
  },
  {
    where: 'an argument',
    path: 'spec.kprobes[0].args[0]',
    fields: 'btfTypeModule',
    yaml: (field) => `spec: { kprobes: [{ call: sys_f, args: [{ index: 0, type: int, ${field}: 1 }] }] }`,
  },
  {
    where: 'an action',
    path: 'spec.kprobes[0].selectors[0].matchActions[0]',
    fields:
      'argFd argName argUrl argFqdn argSock argIndex argValue argRegs argNewSymbol argNewAddr argNewOffset ' +
      'imaHash',
    yaml: (field) =>
      `spec: { kprobes: [{ call: sys_f, selectors: [{ matchActions: [{ action: Post, ${field}: 1 }] }] }] }`,
  },
  {
    where: 'a selector',
    path: 'spec.kprobes[0].selectors[0]',
    fields: 'matchReturnActions',
    yaml: (field) => `spec: { kprobes: [{ call: sys_f, selectors: [{ ${field}: [] }] }] }`,
  },
]

const TYPES = 'const_buf'

const OPERATORS = 'CapabilitiesGained CelExpr'

function messages(yaml: string): string[] {
  const head = 'apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: { name: p }\n'
  const result = parsePolicy(`${head}${yaml}\n`, 'p.yaml')
  return 'problems' in result ? result.problems.map((problem) => problem.message) : []
}

for (const { where, path, fields, yaml } of PLACES) {
  describe(`in ${where}, parsePolicy refuses the known field`, () => {
    for (const field of fields.split(' ')) {
      it(field, () => {
        const want = `${path}: Tetragon field "${field}" is not supported by this version of ktrail`
        // Some have a hint after it.
        assert.deepEqual(
          messages(yaml(field)).map((message) => message.split('; ', 1)[0]),
          [want],
        )
      })
    }
  })
}

describe('parsePolicy refuses the known type', () => {
  for (const type of TYPES.split(' ')) {
    it(type, () => {
      const [message, ...more] = messages(`spec: { kprobes: [{ call: sys_f, args: [{ index: 0, type: ${type} }] }] }`)
      assert.ok(message?.includes(`: Tetragon argument type "${type}" is not supported by this version`), message)
      assert.deepEqual(more, [])
    })
  }
})

describe('parsePolicy refuses the known operator', () => {
  for (const operator of OPERATORS.split(' ')) {
    it(operator, () => {
      const filter = `{ index: 0, operator: ${operator}, values: ["1"] }`
      const args = 'args: [{ index: 0, type: int }]'
      const [message, ...more] = messages(
        `spec: { kprobes: [{ call: sys_f, ${args}, selectors: [{ matchArgs: [${filter}] }] }] }`,
      )
      assert.ok(message?.includes(`: Tetragon operator "${operator}" is not supported by this version`), message)
      assert.deepEqual(more, [])
    })
  }
})

describe('parsePolicy refuses a document', () => {
  for (const { name, yaml, want } of [
    { name: 'without spec', yaml: '', want: ['spec: missing; expected a mapping with the hooks of the policy'] },
    { name: 'with an empty spec', yaml: 'spec: {}', want: ['spec.kprobes: missing; expected a list of hooks'] },
    {
      name: 'with no hook',
      yaml: 'spec: { kprobes: [] }',
      want: ['spec.kprobes: expected at least one hook, got an empty list'],
    },
    {
      name: 'whose spec is a list',
      yaml: 'spec: [x]',
      want: [
        'spec: expected a mapping with kprobes, fentries, lsmhooks, tracepoints, lists, options, selectorsMacros, podSelector, containerSelector, hostSelector, nodeSelector, enforcers, got a list',
      ],
    },
    {
      name: 'with a second section',
      yaml: 'spec: { kprobes: [{ call: sys_f }], usdts: [{ path: x }] }',
      want: [
        'spec: Tetragon field "usdts" is not supported by this version of ktrail; see docs/how-to/policies/tetragon.md',
        'spec: expected one hook section per policy, got kprobes and usdts: split the policy',
      ],
    },
    {
      name: 'with another section alone',
      yaml: 'spec: { uprobes: [{ path: x }] }',
      want: [
        'spec: Tetragon field "uprobes" is not supported by this version of ktrail; see docs/how-to/policies/tetragon.md',
      ],
    },
    {
      name: 'with an unknown key',
      yaml: 'spec: { kprobes: [{ call: sys_f }] }\nstatus: {}',
      want: ['unknown key "status"; the API server sets it: remove it'],
    },
  ]) {
    it(name, () => assert.deepEqual(messages(yaml), want))
  }

  it('with several errors before its hooks, all at once', () => {
    const result = parsePolicy('kind: TracingPolcy\nmetadata: { labels: [a], annotations: { b: true } }\n', 'p.yaml')
    assert.ok('problems' in result)
    assert.deepEqual(
      result.problems.map((problem) => problem.message),
      [
        'apiVersion: missing; expected cilium.io/v1alpha1',
        'spec: missing; expected a mapping with the hooks of the policy',
        'kind: expected TracingPolicy or TracingPolicyNamespaced, got "TracingPolcy" (did you mean "TracingPolicy"?)',
        'metadata.name: missing; expected the name of the policy',
        'metadata.labels: expected a mapping of texts, got a list',
        'metadata.annotations["b"]: expected a text, got the word true; put it in quotes: "true"',
      ],
    )
  })
})
