/** SameFile and UnderDir: text → checked filters, or refusals. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OPERATORS_OF } from '../../../../config/policy/operators.ts'
import { parsePolicy } from '../../../../config/policy/parse.ts'

const OWN = 'ktrail.dev/v1alpha1'

function document(filter: string, version: string, type: string): string {
  const hook = `{call: f, syscall: false, args: [{index: 0, type: ${type}}], selectors: [{matchArgs: [{index: 0, ${filter}}]}]}`
  return `apiVersion: ${version}\nkind: TracingPolicy\nmetadata: {name: p}\nspec:\n  kprobes:\n    - ${hook}\n`
}

/** The filters without their positions, or the problems. */
function filters(filter: string, version = OWN, type = 'file'): unknown {
  const result = parsePolicy(document(filter, version, type), 'p.yaml')
  if ('problems' in result) return result.problems.map(({ message }) => message)
  return result.policy.hooks[0]?.selectors[0]?.matchArgs.map((each) => ({ ...each, at: undefined }))
}

const identity = { arg: 0, class: 'identity', at: undefined }
const WHERE = 'spec.kprobes[0].selectors[0].matchArgs[0]'
const TEXT = [...OPERATORS_OF.text.keys()].join(', ')
const NUMBER = [...OPERATORS_OF.number.keys()].join(', ')

const ROWS: ReadonlyArray<readonly [name: string, filter: string, want: readonly unknown[], type?: string]> = [
  [
    'paths lose needless slashes',
    'operator: UnderDir, values: ["/etc/", "//srv//data", "/"]',
    [{ ...identity, operator: 'UnderDir', values: ['/etc', '/srv/data', '/'] }],
  ],
  [
    'sticky',
    'operator: UnderDir, values: [/etc], sticky: true',
    [{ ...identity, operator: 'UnderDir', values: ['/etc'], sticky: true }],
  ],
  [
    'not sticky',
    'operator: UnderDir, values: [/etc], sticky: false',
    [{ ...identity, operator: 'UnderDir', values: ['/etc'] }],
  ],
  [
    'sticky with SameFile',
    'operator: SameFile, values: [/etc/shadow], sticky: true',
    [`${WHERE}.sticky: applies only to UnderDir, got SameFile`],
  ],
  [
    'sticky with Prefix',
    'operator: Prefix, values: [/etc/], sticky: true',
    [`${WHERE}.sticky: applies only to UnderDir, got Prefix`],
  ],
  [
    'sticky with a text',
    'operator: UnderDir, values: [/etc], sticky: maybe',
    [`${WHERE}.sticky: expected true or false, got "maybe"`],
  ],
  [
    'on a path',
    'operator: SameFile, values: [/etc/shadow]',
    [{ ...identity, operator: 'SameFile', values: ['/etc/shadow'] }],
    'path',
  ],
  [
    'a relative path',
    'operator: SameFile, values: [etc/shadow]',
    [`${WHERE}.values[0]: expected the absolute path of a file or folder, without "." and "..", got "etc/shadow"`],
  ],
  [
    'a path that leads back',
    'operator: UnderDir, values: [/a/../b]',
    [`${WHERE}.values[0]: expected the absolute path of a file or folder, without "." and "..", got "/a/../b"`],
  ],
  [
    'a number',
    'operator: UnderDir, values: [/a]',
    [`${WHERE}.operator: UnderDir does not apply to an argument of type int; expected one of ${NUMBER}`],
    'int',
  ],
  [
    'a string, which leads to no file',
    'operator: SameFile, values: [/a]',
    [`${WHERE}.operator: SameFile does not apply to an argument of type string; expected one of ${TEXT}`],
    'string',
  ],
  ['no value', 'operator: SameFile, values: []', [`${WHERE}.values: expected at least one value, got an empty list`]],
]

for (const [name, filter, want, type] of ROWS)
  test(`identity filters: ${name}`, () => assert.deepEqual(filters(filter, OWN, type), want))

test("identity filters: Tetragon's language does not have them", () => {
  assert.deepEqual(filters('operator: UnderDir, values: [/etc]', 'cilium.io/v1alpha1'), [
    "operator: UnderDir is an addition of ktrail's: write apiVersion: ktrail.dev/v1alpha1, got cilium.io/v1alpha1",
  ])
})

test("identity filters: Tetragon's operators are in our language too", () => {
  assert.deepEqual(filters('operator: Prefix, values: [/etc/]'), [
    { arg: 0, class: 'path', operator: 'Prefix', values: ['/etc/'], at: undefined },
  ])
})

test('identity filters: two arguments of a hook may have them, three may not', () => {
  const args = '{index: 0, type: file}, {index: 1, type: path}, {index: 2, type: path}'
  const asked = [0, 1, 2].map((i) => `{index: ${i}, operator: UnderDir, values: [/a]}`)
  const problems = (matchArgs: readonly string[]): unknown => {
    const hook = `{call: f, syscall: false, args: [${args}], selectors: [{matchArgs: [${matchArgs.join(', ')}]}]}`
    const text = `apiVersion: ${OWN}\nkind: TracingPolicy\nmetadata: {name: p}\nspec:\n  kprobes:\n    - ${hook}\n`
    const result = parsePolicy(text, 'p.yaml')
    return 'problems' in result ? result.problems.map(({ message }) => message) : []
  }
  assert.deepEqual(problems(asked.slice(0, 2)), [])
  assert.deepEqual(problems(asked), [
    'operator: expected at most 2 arguments of a hook with SameFile or UnderDir, got 3; use a second hook on the same call',
  ])
})
