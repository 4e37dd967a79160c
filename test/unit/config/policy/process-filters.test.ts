/** matchBinaries, matchParentBinaries and matchPIDs: text → checked filters, or refusals. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parsePolicy } from '../../../../config/policy/parse.ts'

const HEAD = 'apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {name: p}\nspec:\n  kprobes:\n'

const parse = (selector: string): ReturnType<typeof parsePolicy> =>
  parsePolicy(`${HEAD}    - {call: sys_read, selectors: [{${selector}}]}\n`, 'p.yaml')

/** The filters without their positions. */
function filters(selector: string): unknown {
  const result = parse(selector)
  if ('problems' in result) return result.problems.map(({ message }) => message)
  return (result.policy.hooks[0]?.selectors[0]?.process ?? []).map((filter) => ({ ...filter, at: undefined }))
}

const program = { class: 'program', descendants: false }
const LONGEST = `/${'x'.repeat(254)}`

const GOOD: ReadonlyArray<readonly [selector: string, want: readonly object[]]> = [
  ['matchArgs: []', []],
  ['matchBinaries: []', []],
  [
    'matchBinaries: [{operator: In, values: [/bin/a, /bin/b]}]',
    [{ ...program, operator: 'Equal', values: ['/bin/a', '/bin/b'] }],
  ],
  [
    'matchBinaries: [{operator: NotIn, values: [/bin/a], followChildren: true}]',
    [{ ...program, operator: 'NotEqual', values: ['/bin/a'], descendants: true }],
  ],
  ['matchBinaries: [{operator: Prefix, values: [/usr/]}]', [{ ...program, operator: 'Prefix', values: ['/usr/'] }]],
  [
    'matchBinaries: [{operator: NotPrefix, values: [/usr/]}]',
    [{ ...program, operator: 'NotPrefix', values: ['/usr/'] }],
  ],
  ['matchBinaries: [{operator: Postfix, values: [sh]}]', [{ ...program, operator: 'Postfix', values: ['sh'] }]],
  ['matchBinaries: [{operator: NotPostfix, values: [sh]}]', [{ ...program, operator: 'NotPostfix', values: ['sh'] }]],
  [`matchBinaries: [{operator: In, values: [${LONGEST}]}]`, [{ ...program, operator: 'Equal', values: [LONGEST] }]],
  [
    'matchParentBinaries: [{operator: In, values: [/a]}]',
    [{ ...program, class: 'parent', operator: 'Equal', values: ['/a'] }],
  ],
  [
    'matchPIDs: [{operator: In, values: [0, 4294967295]}]',
    [{ class: 'pid', operator: 'Equal', values: [0, 4294967295], descendants: false }],
  ],
  [
    'matchPIDs: [{operator: NotIn, values: [1], isNamespacePID: true, followForks: true}, {operator: In, values: [2]}]',
    [
      { class: 'innerPid', operator: 'NotEqual', values: [1], descendants: true },
      { class: 'pid', operator: 'Equal', values: [2], descendants: false },
    ],
  ],
]

for (const [selector, want] of GOOD)
  test(`process filters: ${selector.slice(0, 90)}`, () =>
    assert.deepEqual(
      filters(selector),
      want.map((filter) => ({ ...filter, at: undefined })),
    ))

const S = 'spec.kprobes[0].selectors[0]'
const BAD: ReadonlyArray<readonly [selector: string, ...messages: string[]]> = [
  [
    'matchBinaries: [{operator: In, values: [/a]}, {operator: In, values: [/b]}]',
    `${S}.matchBinaries: expected at most 1 items, got 2`,
  ],
  [
    'matchBinaries: [{operator: Equal, values: [/a]}]',
    `${S}.matchBinaries[0].operator: expected one of In, NotIn, Prefix, NotPrefix, Postfix, NotPostfix, got "Equal" (did you mean "In"?)`,
  ],
  [
    'matchBinaries: [{operator: In, values: []}]',
    `${S}.matchBinaries[0].values: expected at least one value, got an empty list`,
  ],
  [
    'matchBinaries: [{operator: In}]',
    `${S}.matchBinaries[0].values: missing; expected a list of paths, such as ["/usr/bin/cat"]`,
  ],
  [
    'matchBinaries: [{operator: Prefix, values: [/a], followChildren: true}]',
    `${S}.matchBinaries[0].followChildren: applies only to In and NotIn; remove it`,
  ],
  [
    `matchBinaries: [{operator: In, values: [${LONGEST}x]}]`,
    `${S}.matchBinaries[0].values[0]: expected at most 255 bytes for Equal, got 256`,
  ],
  [
    'matchBinaries: [{operator: In, values: [7]}]',
    `${S}.matchBinaries[0].values[0]: expected a text, got the number 7; put it in quotes: "7"`,
  ],
  [
    'matchBinaries: [{operator: In, values: [/a], followForks: true}]',
    `${S}.matchBinaries[0]: unknown key "followForks"; it belongs in an item of matchPIDs`,
  ],
  [
    'matchPIDs: [{operator: Prefix, values: [1]}]',
    `${S}.matchPIDs[0].operator: expected one of In, NotIn, got "Prefix"`,
  ],
  [
    'matchPIDs: [{operator: In, values: ["1"]}]',
    `${S}.matchPIDs[0].values[0]: expected a whole number from 0 to 4294967295, got "1"; write it without quotes`,
  ],
  [
    'matchPIDs: [{operator: In, values: [-1]}]',
    `${S}.matchPIDs[0].values[0]: expected a whole number from 0 to 4294967295, got the number -1`,
  ],
  [
    'matchPIDs: [{operator: In, values: [1], followChildren: true}]',
    `${S}.matchPIDs[0]: unknown key "followChildren" (did you mean "followForks"?)`,
  ],
]

for (const [selector, ...messages] of BAD)
  test(`process filters: refused: ${selector.slice(0, 80)}`, () => assert.deepEqual(filters(selector), messages))

test('process filters: a program without a leading slash is a warning', () => {
  const result = parse('matchBinaries: [{operator: In, values: [cat]}]')
  assert.ok('warnings' in result)
  assert.match(result.warnings[0]?.message ?? '', /no path begins with "cat"/)
})
