import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parsePolicy } from '../../../../config/policy/parse.ts'
import { OPERATORS_OF } from '../../../../config/policy/operators.ts'
import { TYPES } from '../../../../config/policy/arguments.ts'
import { policyText } from '../../../support/policies/documents.ts'
import type { ActionDocument, FilterDocument, HookDocument } from '../../../support/policies/documents.ts'
import { HookModel, accepts, predicted } from '../../../support/policies/evaluator.ts'
import type { Call } from '../../../support/policies/evaluator.ts'
import type { FileLookup, Identity } from '../../../support/policies/identity.ts'
import { asBytes, numberType } from '../../../support/policies/operators.ts'
import type { SocketFacts } from '../../../support/policies/operators.ts'
import type { Privileges, ProcessFacts } from '../../../support/policies/process-filters.ts'
import type { Value } from '../../../support/policies/value.ts'

const path = (text: string): Value => ({ kind: 'path', text: asBytes(text) })
const string = (text: string): Value => ({ kind: 'text', text: asBytes(text) })
const number = (value: bigint | number): Value => ({ kind: 'number', value: BigInt(value) })

const typed = (fileType?: string): Value => ({
  kind: 'path',
  text: '',
  ...(fileType === undefined ? {} : { fileType }),
})
const socket = (facts: Partial<SocketFacts>): Value => ({
  kind: 'socket',
  socket: {
    family: 'AF_INET',
    familyNumber: 2,
    protocol: 6,
    state: 7,
    source: '10.0.0.1',
    destination: '10.1.0.255',
    sourcePort: 1023,
    destinationPort: 8080,
    ...facts,
  },
})
const unix = socket({ family: 'AF_UNIX', familyNumber: 1, source: '', destination: '' })
const six = socket({ family: 'AF_INET6', familyNumber: 10, source: 'fd00::1', destination: '::1', sourcePort: 1024 })

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
  ['file', 'FileType', ['pipe', 'dir'], ['fifo', 'dir'].map(typed), [typed('reg'), typed()]],
  ['file', 'NotFileType', ['regular'], ['fifo', 'dir'].map(typed), [typed('reg'), typed()]],
  ['socket', 'SAddr', ['10.0.0.0/31', 'fd00::/16'], [socket({}), six], [socket({ source: '10.0.0.2' }), unix]],
  ['socket', 'NotSAddr', ['10.0.0.1', '::/0'], [socket({ source: '10.0.0.2' })], [socket({}), six, unix]],
  ['socket', 'DAddr', ['0.0.0.0/0'], [socket({})], [six, unix]],
  ['socket', 'NotDAddr', ['::1'], [socket({})], [six, unix]],
  ['socket', 'SPort', ['1000:1023'], [socket({})], [six]],
  ['socket', 'NotSPort', ['1024'], [socket({})], [six]],
  ['socket', 'SPortPriv', [], [socket({})], [six]],
  ['socket', 'NotSportPriv', [], [six], [socket({})]],
  ['socket', 'DPort', ['8080', '9'], [socket({})], [socket({ destinationPort: 8081 })]],
  ['socket', 'NotDPort', ['8080'], [socket({ destinationPort: 8081 })], [socket({})]],
  ['socket', 'DPortPriv', [], [socket({ destinationPort: 0 })], [socket({})]],
  ['socket', 'NotDPortPriv', [], [socket({})], [socket({ destinationPort: 0 })]],
  ['socket', 'Family', ['af_inet6', '1'], [six, unix], [socket({})]],
  ['socket', 'Protocol', ['IPPROTO_UDP', '5:6'], [socket({})], [socket({ protocol: 7 })]],
  ['socket', 'State', ['TCP_LISTEN', '2'], [socket({ state: 10 }), socket({ state: 2 })], [socket({})]],
]

describe('evaluator', () => {
  for (const [type, operator, values, yes, no] of ROWS) {
    test(`evaluator: ${type} ${operator} ${values.join(' ')}`, () => {
      for (const value of yes) assert.ok(matches(type, operator, values, value), JSON.stringify(value, textOf))
      for (const value of no) assert.ok(!matches(type, operator, values, value), JSON.stringify(value, textOf))
    })
  }

  test('evaluator: knows every operator and every integer type of the policy language', () => {
    const covered = new Set(ROWS.map(([, operator]) => operator))
    for (const table of Object.values(OPERATORS_OF)) {
      for (const name of table.keys()) assert.ok(covered.has(name) || name === 'NotSPortPriv', name)
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

  test('evaluator: if a path is too long, a prefix is judged by the end or the whole, and a part may be missing', () => {
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
    for (const operator of ['SubString', 'SubStringIgnCase']) assert.deepEqual(of([operator, '/x']), [[0], false])
    assert.deepEqual(of(['Equal', '/begin/end']), undefined)
    assert.deepEqual(of(['Equal', '/x'], ['Prefix', '/x'], ['NotEqual', '/x'], ['Prefix', '/x']), [[1, 2], false])
  })

  test('evaluator: an event is accepted when everything but an uncertain selector is equal', () => {
    const hook = { call: 'sys_f', args: [{ index: 2, type: 'int' }] }
    const prediction = predicted(hook, call) ?? assert.fail()
    const report = { selector: 0, args: ['int_arg 7'], data: [], returned: '', action: 'post' }
    assert.ok(accepts(prediction, report))
    const others = [
      { selector: 1 },
      { args: ['int_arg 8'] },
      { args: [] },
      { returned: 'int_arg 0' },
      { data: ['x'] },
      { action: 'signal' },
    ]
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

  test('evaluator: a selector matches by the return value too, or there is no event', () => {
    const returning = { call: 'sys_f', args, return: true, returnArg: { index: 0, type: 'int' } }
    const of = (operator: string, ...values: string[]): unknown =>
      predicted({ ...returning, selectors: [{ matchReturnArgs: [{ index: 0, operator, values }] }, {}] }, call)
        ?.selector
    assert.equal(of('LT', '0'), 0)
    assert.equal(of('Equal', '-2', '7'), 0)
    assert.equal(of('GT', '0'), undefined)
  })

  test('evaluator: members of arguments, and data of the task', () => {
    const members: Readonly<Record<string, Value>> = {
      'a.b': string('deep'),
      mode: { kind: 'number', value: 0o100644n, width: { signed: false, bits: 16 } },
    }
    const full: Call = {
      ...call,
      args: [{ ...number(1), members }],
      caller: { ...facts(1), data: { comm: string('me') } },
    }
    const hook: HookDocument = {
      call: 'sys_f',
      args: [
        { index: 0, type: 'string', resolve: 'a.b' },
        { index: 0, type: 'int', resolve: 'mode' },
        { index: 0, type: 'string', resolve: 'nowhere' },
      ],
      data: [{ type: 'string', source: 'current_task', resolve: 'comm' }],
    }
    const of = (selector: object): unknown => predicted({ ...hook, selectors: [selector] }, full)?.selector
    assert.deepEqual(predicted(hook, full)?.args, ['string_arg deep', 'uint_arg 33188', 'error_arg'])
    assert.deepEqual(predicted(hook, full)?.data, ['string_arg me'])
    assert.equal(of({ matchArgs: [{ args: [0], operator: 'Postfix', values: ['ep'] }] }), 0)
    assert.equal(of({ matchArgs: [{ args: [2], operator: 'NotEqual', values: ['x'] }] }), undefined)
    assert.equal(of({ matchData: [{ index: 0, operator: 'Equal', values: ['me'] }] }), 0)
    assert.equal(of({ matchData: [{ index: 0, operator: 'Equal', values: ['you'] }] }), undefined)
  })

  test('evaluator: actions: repeats by thread, process or of all, hidden calls, signals by call', () => {
    const events = (matchActions: ActionDocument[], monitor = false): unknown[] => {
      const model = new HookModel({ call: 'sys_f', args, selectors: [{ matchActions }] }, { monitor })
      const calls = [1, 1, 2].map((pid) => ({ ...call, caller: facts(pid) }))
      calls.splice(1, 0, { ...call, args: [number(-100), string('/b'), number(7)], caller: facts(1) })
      const actions = calls.map((each) => model.event(each)?.action ?? '')
      return [...actions, calls.map((each) => model.signals.get(each) ?? 0)]
    }
    const limited = { action: 'Post', rateLimit: '1h' }
    const signal = { action: 'Signal', argSig: 40 }
    assert.deepEqual(events([{ action: 'Post' }]), ['post', 'post', 'post', 'post', [0, 0, 0, 0]])
    assert.deepEqual(events([limited]), ['post', 'post', '', 'post', [0, 0, 0, 0]])
    assert.deepEqual(events([{ ...limited, rateLimitScope: 'global' }]), ['post', 'post', '', '', [0, 0, 0, 0]])
    assert.deepEqual(events([signal, { action: 'NoPost' }]), ['', '', '', '', [1, 1, 1, 1]])
    assert.deepEqual(events([limited, signal, signal]), ['signal', 'signal', '', 'signal', [2, 2, 2, 2]])
    assert.deepEqual(events([signal], true), ['signal', 'signal', 'signal', 'signal', [0, 0, 0, 0]])
  })

  test('evaluator: a change is reported once by each selector that decides on a call, and by each process', () => {
    const had = (net: number, ...names: string[]): Privileges => ({
      namespaces: { Net: net, Uts: 0 },
      capabilities: { Effective: names },
    })
    const model = new HookModel({
      call: 'sys_f',
      args,
      selectors: [
        { matchNamespaceChanges: [{ operator: 'In', values: ['Net'] }], matchArgs: [text] },
        { matchCapabilityChanges: [{ operator: 'NotIn', values: ['CAP_BPF'] }] },
      ],
    })
    const at = (pid: number, now: Privileges): unknown =>
      model.event({ ...call, caller: { ...facts(pid), privileges: { now, first: had(0, 'CAP_KILL') } } })?.selector
    assert.equal(at(1, had(0, 'CAP_KILL')), undefined)
    assert.equal(at(1, had(1, 'CAP_KILL')), 0)
    assert.equal(at(1, had(1, 'CAP_KILL')), undefined)
    assert.equal(at(1, had(1, 'CAP_KILL', 'CAP_BPF')), undefined)
    assert.equal(at(1, had(1)), 1)
    assert.equal(at(1, had(1)), undefined)
    assert.equal(at(2, had(1)), 0)
    assert.equal(at(2, had(1)), 1)
  })

  test('evaluator: files by identity, whatever their names, and after renames', () => {
    // /top (0) has a (1), sub (2) and gone; sub has b (3), which is also linked as top/b.
    const chain = (...links: Array<[node: number, parent: number, name: string]>): Identity['chains'][number] =>
      [...links, [0, -1, 'top'] as const].map(([node, parent, name]) => ({ node, parent, name }))
    const a: Identity = { node: 1, chains: [chain([1, 0, 'a'])] }
    const b: Identity = { node: 3, chains: [chain([3, 2, 'b'], [2, 0, 'sub']), chain([3, 0, 'b'])] }
    const other: Identity = { node: 4, chains: [chain([4, 0, 'gone'])] }
    const paths: Readonly<Record<string, ReturnType<FileLookup>>> = {
      '/top/a': { node: 1, parent: 0, name: 'a' },
      '/top/sub': { node: 2, parent: 0, name: 'sub' },
      '/top/gone': { parent: 0, name: 'gone' },
    }
    const of = (
      operator: string,
      values: string[],
      identities: Array<Identity | 'sub moves'>,
      sticky?: boolean,
    ): unknown => {
      const filter = { index: 0, operator, values, ...(sticky === true ? { sticky } : {}) }
      const hook = { call: 'f', args: [{ index: 0, type: 'file' }], selectors: [{ matchArgs: [filter] }] }
      const model = new HookModel(hook, { files: (name) => paths[name] })
      return identities.flatMap((identity) => {
        const sub = { node: 2, chains: [chain([2, 0, 'sub'])] }
        if (identity === 'sub moves') return (model.event({ call: '', args: [], returned: 0n, moved: sub }), [])
        return model.event({ call: 'f', args: [{ kind: 'path', text: '/x', identity }], returned: 0n }) !== undefined
      })
    }
    assert.deepEqual(of('SameFile', ['/top/a', '/none/x'], [a, b, other]), [true, false, false])
    assert.deepEqual(of('SameFile', ['/top/gone'], [a, b, other]), [false, false, true])
    assert.deepEqual(of('UnderDir', ['/top/sub'], [a, b, other]), [false, true, false])
    const moved: Identity = { node: 3, chains: [chain([3, 2, 'b'], [2, 0, 'elsewhere'])] }
    const out: Identity = { node: 3, chains: [chain([3, 0, 'b'])] }
    assert.deepEqual(of('UnderDir', ['/top/sub'], ['sub moves', moved, out]), [true, false])
    assert.deepEqual(of('UnderDir', ['/top/gone'], [b, 'sub moves', moved], true), [false, false])
    assert.deepEqual(of('UnderDir', ['/top/sub'], ['sub moves', moved, a], true), [true, false])
  })

  test('evaluator: its documents are policies', () => {
    const hook = { call: 'sys_f', args, message: 'h0', selectors: [{ matchArgs: [text, low] }, {}] }
    const parsed = parsePolicy(policyText({ name: 'p', hooks: [hook] }), 'p.yaml')
    assert.deepEqual('problems' in parsed ? parsed.problems : [], [])
  })
})

const facts = (pid: number): ProcessFacts => ({ program: '/p', parent: '/q', pid, innerPid: 0, before: undefined })

const textOf = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? String(value) : value)
