import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parsePolicy } from '../../../../config/policy/parse.ts'
import { OPERATORS_OF } from '../../../../config/policy/operators.ts'
import { TYPES } from '../../../../config/policy/arguments.ts'
import { accepts, asBytes, numberType, policyText, predicted } from '../../../support/policies/evaluator.ts'
import type { Call, FilterDocument, HookDocument, Value } from '../../../support/policies/evaluator.ts'

const path = (text: string): Value => ({ kind: 'path', text: asBytes(text) })
const string = (text: string): Value => ({ kind: 'text', text: asBytes(text) })
const number = (value: bigint | number): Value => ({ kind: 'number', value: BigInt(value) })

/** A function of one argument. */
function matches(type: string, operator: string, values: readonly string[], value: Value): boolean {
  const filter = { index: 0, operator, values }
  const hook: HookDocument = { call: 'f', args: [{ index: 0, type }], selectors: [{ matchArgs: [filter] }] }
  return predicted(hook, { call: 'f', args: [value], returned: 0n }) !== undefined
}

type Row = readonly [
  type: string,
  operator: string,
  values: readonly string[],
  yes: readonly Value[],
  no: readonly Value[],
]

const ROWS: readonly Row[] = [
  ['file', 'Equal', ['/a', '/b'], [path('/a'), path('/b')], [path('/ab'), path('/'), path(''), path('/a (deleted)')]],
  ['file', 'In', ['/a'], [path('/a')], [path('/b')]],
  ['file', 'NotEqual', ['/a', '/b'], [path('/ab'), path('/c')], [path('/a'), path('/b'), path('')]],
  ['path', 'NotIn', ['/a'], [path('/b')], [path('/a'), path('')]],
  ['file', 'Prefix', ['/etc'], [path('/etc'), path('/etcX'), path('/etc/a')], [path('/et'), path('/x/etc'), path('')]],
  ['file', 'Prefix', ['/etc/', '/x'], [path('/etc/a'), path('/x')], [path('/etc'), path('/etcX')]],
  ['file', 'NotPrefix', ['/etc/', '/x'], [path('/etc'), path('/y')], [path('/etc/a'), path('/x'), path('')]],
  ['file', 'Postfix', ['b', '/c'], [path('/a/b'), path('/ab'), path('/c')], [path('/b/a'), path('/xc'), path('')]],
  ['file', 'Postfix', ['d)'], [path('/a (deleted)')], [path('/a')]],
  ['file', 'NotPostfix', ['b', 'c'], [path('/b/a')], [path('/b'), path('/c'), path('')]],
  ['file', 'Prefix', ['/ü'], [path('/ü'), path('/üx')], [path('/u')]],
  ['string', 'Equal', ['a'], [string('a')], [string(''), string('ab'), { kind: 'unreadable' }]],
  // A text may be empty; only files have no path.
  ['string', 'NotEqual', ['a'], [string(''), string('b')], [string('a'), { kind: 'unreadable' }]],
  ['string', 'NotPrefix', ['a'], [string(''), string('ba')], [string('ab'), { kind: 'unreadable' }]],
  [
    'string',
    'SubString',
    ['bc', 'x'],
    [string('abcd'), string('x')],
    [string('aBcd'), string(''), { kind: 'unreadable' }],
  ],
  ['string', 'SubStringIgnCase', ['bC', 'Ä'], [string('aBcd'), string('Ä')], [string('ac'), string('ä')]],
  ['string', 'Postfix', ['x'], [string('x'), string('ax')], [string('')]],
  [
    'int',
    'Equal',
    ['4', '0x10', '010', '0b11', '-1'],
    [4, 16, 8, 3, -1, 2 ** 32 - 1].map(number),
    [10, 11].map(number),
  ],
  ['int', 'NotEqual', ['4', '5'], [number(6)], [number(4), number(5), number(2 ** 32 + 4)]],
  ['uint32', 'Equal', ['4294967295'], [number(-1), number(2 ** 32 - 1)], [number(1)]],
  ['int64', 'Equal', ['-1'], [number(-1)], [number(2 ** 32 - 1)]],
  ['uint64', 'GreaterThan', ['9223372036854775807'], [number(-1)], [number(5)]],
  ['int64', 'GT', ['-1'], [number(0)], [number(-1), number(-2)]],
  ['sint8', 'LT', ['0'], [number(128), number(-1)], [number(127), number(256)]],
  ['uint8', 'LessThan', ['3', '7'], [number(6), number(256)], [number(7), number(255)]],
  ['int', 'GreaterThan', ['9', '3'], [number(4)], [number(3)]],
  ['int', 'InMap', ['-1', '5'], [-1, 5].map(number), [number(4)]],
  ['int', 'InRange', ['-2:3', '0x10'], [-2, 3, 16].map(number), [-3, 4, 17].map(number)],
  ['uint8', 'NotInMap', ['1', '3:4'], [2, 5, 0].map(number), [1, 3, 4, 256 + 1].map(number)],
  ['uint64', 'NotInRange', ['1:2'], [number(3), number(-1)], [number(1), number(2)]],
  ['int', 'Mask', ['2', '0x8'], [2, 3, 8, 10].map(number), [0, 1, 4, 2 ** 33].map(number)],
]

describe('evaluator', () => {
  for (const [type, operator, values, yes, no] of ROWS) {
    test(`evaluator: ${type} ${operator} ${values.join(' ')}`, () => {
      for (const value of yes) assert.ok(matches(type, operator, values, value), JSON.stringify(value, textOf))
      for (const value of no) assert.ok(!matches(type, operator, values, value), JSON.stringify(value, textOf))
    })
  }

  // Operators on sockets, and on what a file is, have rows of their own in test/e2e/language and test/e2e/files.
  test('evaluator: knows every operator on numbers, texts and paths, and every integer type of the policy language', () => {
    const covered = new Set(ROWS.map(([, operator]) => operator))
    for (const table of [OPERATORS_OF.path, OPERATORS_OF.text, OPERATORS_OF.number]) {
      for (const name of table.keys()) assert.ok(covered.has(name) || name.endsWith('FileType'), name)
    }
    for (const { name, filter } of TYPES) assert.equal(numberType(name) !== undefined, filter === 'number', name)
  })

  const call: Call = { call: 'sys_f', args: [number(-100), string('/etc/x'), number(7)], returned: -2n }
  const args = [
    { index: 1, type: 'string' },
    { index: 2, type: 'nop' },
    { index: 0, type: 'uint8' },
  ]
  const text: FilterDocument = { index: 1, operator: 'Prefix', values: ['/etc/'] }
  const low: FilterDocument = { args: [2], index: 1, operator: 'Equal', values: ['156'] }
  const none: FilterDocument = { index: 1, operator: 'Equal', values: ['/'] }

  test('evaluator: of a path that is too long, a prefix may be judged by the end or by the whole', () => {
    const long: Call = { call: 'f', args: [{ kind: 'path', text: '/end', whole: '/begin/end' }], returned: 0n }
    const first = [{ index: 0, type: 'file' }]
    const of = (...filters: Array<[operator: string, value: string]>): unknown => {
      const selectors = filters.map(([operator, value]) => ({ matchArgs: [{ index: 0, operator, values: [value] }] }))
      const prediction = predicted({ call: 'f', args: first, selectors }, long)
      return prediction && [prediction.selectors, prediction.optional]
    }
    assert.deepEqual(of(['Prefix', '/begin']), [[0], false])
    assert.deepEqual(of(['Prefix', '/end']), [[0], true])
    assert.deepEqual(of(['NotPrefix', '/begin']), [[0], true])
    assert.deepEqual(of(['NotPrefix', '/end']), [[0], false])
    assert.deepEqual(of(['Postfix', 'end']), [[0], false])
    assert.deepEqual(of(['Equal', '/begin/end']), undefined)
    assert.deepEqual(of(['Equal', '/x'], ['Prefix', '/x'], ['NotEqual', '/x'], ['Prefix', '/x']), [[1, 2], false])
  })

  test('evaluator: an event is accepted when everything but an uncertain selector is equal', () => {
    const hook = { call: 'sys_f', args: [{ index: 2, type: 'int' }] }
    const prediction = predicted(hook, call) ?? assert.fail()
    const report = { selector: 0, args: ['int_arg 7'], returned: '' }
    assert.ok(accepts(prediction, report))
    const others = [{ selector: 1 }, { args: ['int_arg 8'] }, { args: [] }, { returned: 'int_arg 0' }]
    for (const other of others) assert.ok(!accepts(prediction, { ...report, ...other }))
  })

  test('evaluator: all filters of a selector, the first selector that matches', () => {
    const selectorOf = (...selectors: FilterDocument[][]): number | undefined =>
      predicted({ call: 'sys_f', args, selectors: selectors.map((matchArgs) => ({ matchArgs })) }, call)?.selector
    assert.equal(selectorOf(), 0)
    assert.equal(selectorOf([]), 0)
    assert.equal(selectorOf([text, low]), 0)
    assert.equal(selectorOf([text, none], [low], [text]), 1)
    assert.equal(selectorOf([none], []), 1)
    assert.equal(selectorOf([none], [none, text]), undefined)
  })

  test('evaluator: the arguments of a record in the order of the policy, without nop; the return value', () => {
    const hook = { call: 'sys_f', args }
    assert.deepEqual(predicted(hook, call)?.args, ['string_arg /etc/x', 'uint_arg 156'])
    assert.equal(predicted(hook, call)?.returned, '')
    assert.equal(predicted({ ...hook, call: 'sys_g' }, call), undefined)
    const returning = { ...hook, return: true, returnArg: { index: 0, type: 'int' } }
    assert.equal(predicted(returning, call)?.returned, 'int_arg -2')
    const wide = { ...hook, return: true, returnArg: { index: 0, type: 'size_t' } }
    assert.equal(predicted(wide, call)?.returned, 'size_arg 18446744073709551614')
  })

  test('evaluator: its documents are policies', () => {
    const hook = { call: 'sys_f', args, message: 'h0', selectors: [{ matchArgs: [text, low] }, {}] }
    const parsed = parsePolicy(policyText({ name: 'p', hooks: [hook] }), 'p.yaml')
    assert.deepEqual('problems' in parsed ? parsed.problems : [], [])
  })
})

const textOf = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? String(value) : value)
