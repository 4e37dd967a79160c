/** The hooks of policies on one function as struct hook and selectors. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { Together, hookBytes, recordRoom, valueIndex } from '../../../../../collector/plan/layout/hook.ts'
import { NO_FACTS } from '../../../../../collector/plan/layout/selector.ts'
import { knobsOf } from '../../../../../collector/plan/layout/knobs.ts'
import { Tables } from '../../../../../collector/plan/layout/tables.ts'
import {
  ARG_TYPES,
  CLASSES,
  ACTION,
  EVENT_FIELD,
  FILE_DETAILS,
  FILE_SCREEN,
  FILTERS_MAX,
  FROM_REGISTERS,
  EVENT_HEADER,
  FROM_SYSCALL,
  HOOK,
  NO_ARG,
  OPS,
  PARAMS_MAX,
  PATH_SCREEN,
  RECORD_AT,
  RECORD_BYTES,
  SCRATCH_BYTES,
  SELECTOR,
  SELECTORS_MAX,
  STACK_KERNEL,
  STACK_USER,
  TEXT_ROOM,
  VALUE_ROOM,
  WANTED_VALUE,
} from '../../../../../collector/wire/wire.ts'
import type { Operator } from '../../../../../config/policy/operators.ts'
import { parsePolicy } from '../../../../../config/policy/parse.ts'
import type {
  Actions,
  ArgumentFilter,
  ArgumentSpec,
  HookSpec,
  Selector,
  TextFilter,
} from '../../../../../config/policy/policy.ts'
import { matchesGolden } from '../../../exporters/support/golden.ts'
import { laidOut, laidOutAs, members, numbersIn, pathIn, selectorsIn, setIn, valuesIn } from '../../support/layout.ts'
import { dump, showTables } from '../../support/show-layout.ts'
import { arg, filter, numberFilter, onPath, spec } from '../../support/specs.ts'

const ROOT = join(import.meta.dirname, '../../../../..')

/** The hooks of a policy, each on its own function, in one object. */
function golden(file: string): string {
  const parsed = parsePolicy(readFileSync(join(ROOT, file), 'utf8'), file)
  assert.ok('policy' in parsed)
  const tables = new Tables()
  const hooks = parsed.policy.hooks.flatMap((hook, i) => [
    hook.call,
    ...dump(hookBytes(i + 1, [{ id: 100 + i, spec: hook }], tables)),
  ])
  return `${[...hooks, ...showTables(tables)].join('\n')}\n`
}

test('layout: the bytes and map entries of the sample policy', () => {
  matchesGolden('hooks-file-monitoring.txt', golden('config/policies/optional/file-monitoring.yaml'))
})

test('layout: the bytes and map entries of a policy with all keys', () => {
  matchesGolden('hooks-everything.txt', golden('test/fixtures/policies/good/everything.yaml'))
})

test('layout: file details are read if a policy on the function has fileDetails, and only of its files', () => {
  const asks = {
    ...spec({ args: [arg(0, 'file'), arg(1, 'path'), arg(2, 'int')] }),
    fileDetails: { at: { line: 1, col: 1 } },
  }
  const shown = (...specs: readonly HookSpec[]): number[] => {
    const { bytes } = laidOut(...specs)
    return specs
      .flatMap(({ args }) => args)
      .map((_, i) => bytes.readUInt16LE(HOOK.values + i * WANTED_VALUE.bytes + WANTED_VALUE.shown))
  }
  const { bytes: each } = FILE_DETAILS
  assert.deepEqual(shown(asks), [each, each, 0])
  assert.deepEqual(shown(spec({ args: [arg(3, 'file'), arg(0, 'file')] }), asks), [0, each, each, 0, 0])
  assert.deepEqual(shown(spec({ args: [arg(0, 'file')] })), [0])
  const asked = (of: HookSpec): number | undefined => knobsOf([{ hooks: [{ spec: of }] }]).asks_details?.readUInt32LE()
  assert.deepEqual([asked(asks), asked(spec())], [1, 0])
})

test('layout: filters read a file behind resolve at the same place as the record', () => {
  const [named, other] = [arg(0, 'file'), arg(0, 'file')].map((of, i): ArgumentSpec => {
    const list = [
      { steps: [], last: 8 * i, sizeBytes: 8, signed: false, bit: 0, bits: 0, textBytes: 0, user: false, at: 0 },
    ]
    return { ...of, places: { number: 4 + i, list, bytes: 0 } }
  })
  assert.ok(named !== undefined && other !== undefined)
  const filterOn: ArgumentFilter = {
    class: 'identity',
    arg: 1,
    operator: 'UnderDir',
    values: ['/etc'],
    at: { line: 1, col: 1 },
  }
  const { bytes } = laidOut(spec({ args: [other, named], selectors: [{ matchArgs: [filterOn] }] }))
  const file = bytes.subarray(HOOK.files)
  assert.deepEqual(
    [file[FILE_SCREEN.param], file.readUInt16LE(FILE_SCREEN.places), file.readUInt32LE(FILE_SCREEN.place)],
    [0, 4, 1],
  )
  const asked = (...matchArgs: readonly ArgumentFilter[]): number | undefined =>
    knobsOf([{ hooks: [{ spec: spec({ selectors: [{ matchArgs }] }) }] }]).asks_files?.readUInt32LE()
  assert.deepEqual([asked(filterOn), asked()], [1, 0])
})

/** How each parameter is read: 0 not read, L loaded, H by a helper. */
const paramsOf = (bytes: Buffer): string =>
  [...bytes.subarray(HOOK.params, HOOK.params + PARAMS_MAX)].map((read) => '0LH'[read]).join('')

test('layout: the function has its id, and what it must read', () => {
  const returns = spec({ args: [arg(0, 'nop'), arg(3, 'uint64'), arg(1, 'path')] })
  const { bytes } = laidOut(returns, spec({ args: [arg(4, 'nop')] }))
  assert.equal(bytes.length, HOOK.bytes)
  assert.deepEqual([bytes.readUInt32LE(HOOK.id), bytes[HOOK.from], paramsOf(bytes)], [7, 0, '0H0H0'])
  assert.equal(paramsOf(laidOut(spec({ args: [] })).bytes), '00000')
  const { bytes: loaded } = laidOutAs({ plain: 0b01010 }, spec({ args: [arg(0, 'file'), arg(1, 'int')] }))
  assert.equal(paramsOf(loaded), 'HL000')
})

test('layout: a parameter with the number of bytes of another one is read, listed or not', () => {
  const buffer = { ...arg(1, 'char_buf'), size: { param: 4, read: 'u64', returned: undefined } } as const
  assert.equal(paramsOf(laidOut(spec({ args: [buffer] })).bytes), '0H00H')
  const returned = { ...buffer, size: { ...buffer.size, param: undefined } }
  assert.equal(paramsOf(laidOut(spec({ args: [returned] })).bytes), '0H000')
})

test('layout: the address of a Unix socket has a length or none, and neither path nor family is screened by the register', () => {
  const address = arg(1, 'sockaddr_un')
  const sized = { ...address, size: { param: 2, read: 'u32', returned: undefined } } as const
  const filters = [filter(0, 'Equal', ['/run/a']), numberFilter(0, 'Equal', [1n])]
  const layoutOf = (each: ArgumentSpec): Buffer =>
    laidOut(spec({ args: [each], selectors: [{ matchArgs: filters }] })).bytes
  const lengths = [address, sized].map((each) => layoutOf(each)[HOOK.values + WANTED_VALUE.size])
  assert.deepEqual(lengths, [PARAMS_MAX, 2])
  assert.equal(paramsOf(layoutOf(sized)), '0HH00')
  const screened = layoutOf(address)
  assert.deepEqual([screened[HOOK.path + PATH_SCREEN.param], screened[HOOK.nnumbers]], [NO_ARG, 0])
  const knobOf = (type: string): number | undefined =>
    knobsOf([{ hooks: [{ spec: spec({ args: [arg(0, type)] }) }] }]).asks_network?.readUInt32LE()
  assert.deepEqual(['file', 'sock', 'sockaddr_un'].map(knobOf), [0, 1, 2])
})

test('layout: the parameters of a system call are behind the first one', () => {
  const { bytes } = laidOut(spec({ syscall: true, args: [arg(4, 'string')] }))
  assert.deepEqual([bytes[HOOK.from], paramsOf(bytes)], [FROM_SYSCALL, 'H0000'])
})

test('layout: registers take the place of parameters, of a system call too, and numbers among them are screened', () => {
  const register = { ...arg(4, 'uint64'), source: 'pt_regs', register: 'rbx' } as const
  const fields = [0, 0, 0, 0, 8].map((bytes) => ({ offset: 5 * bytes, bytes, kind: 'unsigned' as const }))
  const selectors = [{ matchArgs: [numberFilter(1, 'Equal', [7n])] }]
  const read = [false, true].map((syscall) => {
    const { bytes } = laidOutAs({ fields }, spec({ syscall, args: [arg(0, 'file'), register], selectors }))
    const at = HOOK.fields + 4 * EVENT_FIELD.bytes
    const field = [bytes.readUInt16LE(at + EVENT_FIELD.offset), bytes[at + EVENT_FIELD.width]]
    return [bytes[HOOK.from], paramsOf(bytes), field, bytes[HOOK.nnumbers]]
  })
  assert.deepEqual(read, [
    [FROM_REGISTERS, '0000H', [40, 8], 1],
    [FROM_SYSCALL | FROM_REGISTERS, '0000H', [40, 8], 1],
  ])
})

const VALUES: ReadonlyArray<readonly [what: string, args: ReadonlyArray<readonly ArgumentSpec[]>, want: string[]]> = [
  ['none', [[], []], []],
  ['an argument that is not read', [[arg(0, 'nop')]], []],
  ['those of one policy, in its order', [[arg(2, 'path'), arg(0, 'int')]], ['2 path', '0 s32']],
  [
    'those of several policies, each once, in any order',
    [
      [arg(0, 'file'), arg(1, 'int')],
      [arg(1, 'int'), arg(0, 'file')],
      [arg(2, 'string'), arg(1, 'int')],
    ],
    ['0 file', '1 s32', '2 string'],
  ],
  [
    'one parameter read in several ways',
    [[arg(1, 'int')], [arg(1, 'uint32'), arg(0, 'file')], [arg(1, 'int8')]],
    ['1 s32', '1 u32', '0 file', '1 s8'],
  ],
  ['types with other names that are read alike', [[arg(0, 'uint64')], [arg(0, 'size_t')]], ['0 u64']],
]

for (const [what, args, want] of VALUES) {
  test(`layout: the values of records: ${what}`, () => {
    const laid = laidOut(...args.map((each) => spec({ args: each })))
    assert.deepEqual(valuesIn(laid), want)
  })
}

test('layout: a value has the same index in records, whatever other values are read', () => {
  const args = [arg(4, 'string'), arg(0, 'uint64'), arg(2, 'path'), arg(0, 'int8')]
  const { bytes } = laidOut(spec({ args }))
  const indices = args.map((_, i) => bytes[HOOK.values + i * WANTED_VALUE.bytes + WANTED_VALUE.index])
  assert.deepEqual(indices, args.map(valueIndex))
  assert.equal(new Set(indices).size, args.length)
  assert.deepEqual(indices, [4 + 8 * ARG_TYPES.string, 8 * ARG_TYPES.u64, 2 + 8 * ARG_TYPES.path, 8 * ARG_TYPES.s8])
})

test('layout: filters refer to the value, and selectors to their policy', () => {
  const one = spec({
    args: [arg(1, 'int'), arg(0, 'file')],
    selectors: [{ matchArgs: [filter(1, 'Prefix', ['/a'])] }, { matchArgs: [numberFilter(0, 'Equal', [4n])] }],
  })
  const two = spec({
    args: [arg(0, 'nop'), arg(0, 'file'), arg(1, 'uint32')],
    return: true,
    returnArg: arg(0, 'int'),
    selectors: [{ matchArgs: [numberFilter(2, 'NotEqual', [5n]), filter(1, 'NotPostfix', ['x'])] }],
  })
  const rows = selectorsIn(laidOut(one, spec({ returnArg: arg(0, 'int') }), two)).map(
    ({ policyHook, index, returnType, filters }) => [policyHook, index, returnType, filters.map((each) => each.value)],
  )
  assert.deepEqual(rows, [
    [1, 0, 'nop', ['0 file']],
    [1, 1, 'nop', ['1 s32']],
    // No selector in the policy: one without filters. The type of a return value that is not reported is not used.
    [2, 0, 'nop', []],
    [3, 0, 's32', ['1 u32', '0 file']],
  ])
})

const DECIDED: ReadonlyArray<readonly [what: string, filters: ArgumentFilter[], undecided: number]> = [
  ['folders with short names', [filter(0, 'Prefix', ['/etc/', '/usr/bin/', '/'])], 0],
  ['values that no path has', [filter(0, 'Prefix', ['etc/', '//'])], 0],
  ['a name that goes on', [filter(0, 'Prefix', ['/etc/', '/usr'])], 1],
  ['a name that begins like the mark of an unlinked file', [filter(0, 'Prefix', ['/etc/', '/etc/ '])], 1],
  ['a name of more than eight bytes', [filter(0, 'Prefix', ['/folder-of/'])], 1],
  ['a name of eight bytes', [filter(0, 'Prefix', ['/folder-8/'])], 0],
  ['more folders than the tree has levels', [filter(0, 'Prefix', ['/1/2/3/4/5/6/7/8/'])], 1],
  ['as many', [filter(0, 'Prefix', ['/1/2/3/4/5/6/7/'])], 0],
  ['a whole path, which may be that of an unlinked file', [filter(0, 'Equal', ['/etc/x'])], 1],
  ['an end', [filter(0, 'Postfix', ['/x'])], 1],
  ['small numbers', [numberFilter(1, 'Equal', [4n, 63n])], 0],
  ['a number that is not small', [numberFilter(1, 'Equal', [4n, 64n])], 1],
  ['bits', [numberFilter(1, 'Mask', [4n])], 1],
  ['all but a number', [numberFilter(1, 'NotEqual', [4n])], 1],
  [
    'two of four',
    [
      numberFilter(1, 'Equal', [4n]),
      filter(0, 'Prefix', ['/etc/']),
      filter(0, 'NotEqual', ['/etc/x']),
      filter(0, 'Postfix', ['y', 'z']),
    ],
    2,
  ],
]

for (const [what, matchArgs, undecided] of DECIDED) {
  test(`layout: filters that the screen decides alone stand last: ${what}`, () => {
    const [selector] = selectorsIn(laidOut(spec({ selectors: [{ matchArgs }] })))
    assert.deepEqual([selector?.undecided, selector?.filters.length], [undecided, matchArgs.length])
    const last = selector?.filters.slice(undecided).map(({ op }) => op)
    assert.ok(last?.every((op) => op === OPS.Equal || op === OPS.Prefix))
  })
}

test('layout: filters have class, operator and an id that counts over all hooks of an object', () => {
  const text: TextFilter = { ...filter(1, 'NotEqual', ['b']), class: 'text' }
  const hook = spec({
    args: [arg(0, 'file'), arg(2, 'string'), arg(1, 'int')],
    selectors: [{ matchArgs: [filter(0, 'Postfix', ['a']), text] }, { matchArgs: [numberFilter(2, 'Mask', [1n])] }],
  })
  const laid = laidOut(hook)
  const kinds = selectorsIn(laid).flatMap(({ filters }) => filters.map(({ id, class: kind, op }) => [id, kind, op]))
  assert.deepEqual(kinds, [
    [1, CLASSES.path, OPS.Postfix],
    [2, CLASSES.text, OPS.NotEqual],
    [3, CLASSES.number, OPS.Mask],
  ])
  const bytes = hookBytes(8, [{ id: 9, spec: hook }], laid.tables)
  assert.deepEqual(
    selectorsIn({ bytes, tables: laid.tables }).map(({ policyHook, filters }) => [policyHook, filters[0]?.id]),
    [
      [9, 4],
      [9, 6],
    ],
  )
  assert.equal(bytes.readUInt32LE(HOOK.selectors), 2)
})

const onNumber = (type: string, ...filters: ReadonlyArray<readonly [Operator, readonly bigint[]]>): HookSpec =>
  spec({
    args: [arg(0, type)],
    selectors: [{ matchArgs: filters.map(([operator, values]) => numberFilter(0, operator, values)) }],
  })

const NUMBERS: ReadonlyArray<readonly [type: string, op: Operator, values: bigint[], want: bigint[]]> = [
  ['int', 'Equal', [-1n, 0n, 2n], [0xffff_ffff_ffff_ffffn, 0n, 2n]],
  ['int', 'NotEqual', [-(2n ** 31n)], [0xffff_ffff_8000_0000n]],
  ['int', 'Equal', [2n ** 31n - 1n], [0x7fff_ffffn]],
  ['uint32', 'NotEqual', [0xffff_ffffn], [0xffff_ffffn]],
  ['uint64', 'Equal', [2n ** 64n - 1n, 1n, 2n, 3n], [0xffff_ffff_ffff_ffffn, 1n, 2n, 3n]],
  ['size_t', 'Mask', [1n, 4n, 2n ** 63n], [0x8000_0000_0000_0005n]],
  ['int', 'Mask', [-(2n ** 31n)], [0xffff_ffff_8000_0000n]],
  ['sint8', 'GreaterThan', [5n, -3n, 7n, 1n, 2n], [0xffff_ffff_ffff_fffdn]],
  ['uint64', 'LessThan', [2n ** 63n, 1n], [2n ** 63n]],
  ['int8', 'Equal', [-128n, 127n], [0xffff_ffff_ffff_ff80n, 127n]],
  ['uint16', 'NotEqual', [0xffffn], [0xffffn]],
  ['long', 'Equal', [-(2n ** 63n)], [2n ** 63n]],
  ['uint32', 'Mask', [1n, 2n, 4n, 8n, 16n, 32n], [63n]],
]

for (const [type, op, values, want] of NUMBERS) {
  test(`layout: ${op} ${values.join(', ')} on ${type}`, () => {
    const laid = laidOut(onNumber(type, [op, values]))
    const [found] = selectorsIn(laid)[0]?.filters ?? []
    assert.deepEqual(
      [found?.op, found?.numbers, found?.count],
      [OPS[op === 'SubStringIgnCase' ? 'SubString' : op], want, want.length],
    )
    assert.deepEqual([laid.tables.numbers, laid.tables.texts], [[], []])
  })
}

test('layout: if a filter has too many numbers, all of them go to the map, and its count is 0', () => {
  const laid = laidOut(onNumber('int', ['Equal', [-1n, 0n, 1n, 2n, 3n]]))
  assert.equal(selectorsIn(laid)[0]?.filters[0]?.count, 0)
  assert.deepEqual(
    laid.tables.numbers,
    [2n ** 64n - 1n, 0n, 1n, 2n, 3n].map((number) => ({ filter: 1, number })),
  )
})

test('layout: texts go to the map as bytes, those of Postfix and NotPostfix reversed', () => {
  const { tables } = laidOut(
    onPath(['Prefix', ['/é']], ['NotEqual', ['/a', '/b']], ['NotPostfix', ['.ü']], ['Postfix', ['.c']]),
  )
  assert.deepEqual(
    tables.texts.map(({ filter: id, bytes }) => [id, String(bytes)]),
    [
      [1, '/é'],
      [2, '/a'],
      [2, '/b'],
    ],
  )
  assert.deepEqual(tables.suffixes, [
    { filter: 3, bytes: Buffer.from([0xbc, 0xc3, 0x2e]) },
    { filter: 4, bytes: Buffer.from('c.') },
  ])
})

test('layout: a set has a word for each 64 selectors', () => {
  for (const [count, words] of [
    [1, 1],
    [64, 1],
    [65, 2],
    [SELECTORS_MAX, SELECTORS_MAX / 64],
  ] as const) {
    const { bytes, tables } = laidOut(...Array.from({ length: count }, () => spec()))
    assert.deepEqual([bytes.readUInt32LE(HOOK.words), bytes.readUInt32LE(HOOK.nselectors)], [words, count])
    assert.equal(setIn(tables, bytes.readUInt32LE(HOOK.all)), 2n ** BigInt(count) - 1n)
  }
})

/** Small numbers as ranges with their selectors, `*` for all others: `0-3 {0} 4-63 {} * {0}`. */
function screens(...specs: readonly HookSpec[]): string[] {
  return numbersIn(laidOut(...specs)).map(({ param, type, sets }) => {
    const runs: Array<{ from: number; to: number; set: bigint }> = []
    sets.slice(0, -1).forEach((set, i) => {
      const last = runs.at(-1)
      if (last?.set === set) last.to = i
      else runs.push({ from: i, to: i, set })
    })
    const shown = runs.map(({ from, to, set }) => `${from === to ? from : `${from}-${to}`} {${members(set)}}`)
    return `${param} ${type}: ${[...shown, `* {${members(sets.at(-1) ?? 0n)}}`].join(' ')}`
  })
}

const SCREENS: ReadonlyArray<readonly [what: string, specs: HookSpec[], want: string[]]> = [
  ['Equal', [onNumber('int', ['Equal', [2n, 4n]])], ['0 s32: 0-1 {} 2 {0} 3 {} 4 {0} 5-63 {} * {}']],
  ['Equal to a large one', [onNumber('int', ['Equal', [63n, 64n]])], ['0 s32: 0-62 {} 63 {0} * {0}']],
  ['Equal to a negative one', [onNumber('int', ['Equal', [-1n]])], ['0 s32: 0-63 {} * {0}']],
  [
    'Equal to more than a filter has room for',
    [onNumber('int', ['Equal', [0n, 1n, 2n, 3n, 62n]])],
    ['0 s32: 0-3 {0} 4-61 {} 62 {0} 63 {} * {}'],
  ],
  ['NotEqual', [onNumber('int', ['NotEqual', [0n, 63n, 64n]])], ['0 s32: 0 {} 1-62 {0} 63 {} * {0}']],
  ['NotEqual to a large one rejects no small one', [onNumber('int', ['NotEqual', [64n, -1n]])], []],
  ['Mask', [onNumber('int', ['Mask', [32n]])], ['0 s32: 0-31 {} 32-63 {0} * {0}']],
  ['Mask of several bits', [onNumber('int', ['Mask', [1n, 62n]])], ['0 s32: 0 {} 1-63 {0} * {0}']],
  ['Mask of the sign', [onNumber('int', ['Mask', [-(2n ** 31n)]])], ['0 s32: 0-63 {} * {0}']],
  ['GreaterThan', [onNumber('uint8', ['GreaterThan', [61n, 62n]])], ['0 u8: 0-61 {} 62-63 {0} * {0}']],
  ['GreaterThan a negative one', [onNumber('int', ['GreaterThan', [-1n]])], []],
  ['LessThan', [onNumber('long', ['LessThan', [2n]])], ['0 s64: 0-1 {0} 2-63 {} * {0}']],
  ['LessThan a negative one', [onNumber('int', ['LessThan', [0n, -5n]])], ['0 s32: 0-63 {} * {0}']],
  ['LessThan a large one', [onNumber('int', ['LessThan', [64n]])], []],
  [
    'several filters on one number: all must hold',
    [onNumber('int', ['GreaterThan', [9n]], ['LessThan', [12n]], ['NotEqual', [11n]])],
    ['0 s32: 0-9 {} 10 {0} 11-63 {} * {0}'],
  ],
  [
    'selectors by bit; one without a filter on the number always stays',
    [onNumber('int', ['Equal', [1n]]), spec({ args: [] }), onNumber('int', ['LessThan', [1n]])],
    ['0 s32: 0 {1 2} 1 {0 1} 2-63 {1} * {1 2}'],
  ],
  [
    'one number read in two ways',
    [onNumber('int', ['Equal', [1n]]), onNumber('uint8', ['Equal', [2n]])],
    ['0 s32: 0 {1} 1 {0 1} 2-63 {1} * {1}', '0 u8: 0-1 {0} 2 {0 1} 3-63 {0} * {0}'],
  ],
  ['a number without a filter', [spec({ args: [arg(0, 'int')] })], []],
]

for (const [what, specs, want] of SCREENS) {
  test(`layout: screened numbers: ${what}`, () => assert.deepEqual(screens(...specs), want))
}

test('layout: four numbers are screened, more of them are left to the exact filters', () => {
  const args = [0, 1, 2, 3, 4].map((index) => arg(index, 'int'))
  const matchArgs = args.map((_, i) => numberFilter(i, i === 1 ? 'GreaterThan' : 'Equal', [-1n]))
  const five = spec({ args, selectors: [{ matchArgs }] })
  assert.deepEqual(
    numbersIn(laidOut(five)).map(({ param }) => param),
    [0, 2, 3, 4],
  )
  const onAll = spec({ args, selectors: [{ matchArgs: args.map((_, i) => numberFilter(i, 'Equal', [1n])) }] })
  assert.deepEqual(
    numbersIn(laidOut(onAll)).map(({ param }) => param),
    [0, 1, 2, 3],
  )
})

test('layout: the path of most selectors is screened, and is the first value', () => {
  const args = [arg(0, 'path'), arg(2, 'file')]
  const both = spec({
    args,
    selectors: [
      { matchArgs: [filter(0, 'Prefix', ['/a']), filter(1, 'Prefix', ['/b'])] },
      { matchArgs: [filter(1, 'Postfix', ['.c'])] },
      { matchArgs: [filter(0, 'NotPrefix', ['/a'])] },
    ],
  })
  const laid = laidOut(both, spec())
  const found = pathIn(laid)
  assert.deepEqual([found.param, found.type], [2, 'file'])
  assert.deepEqual(valuesIn(laid).slice(0, 2), ['2 file', '0 path'])
  assert.deepEqual([found.all, found.others, found.suffixes].map(members), ['0 1', '2 3', '1'])
  // Selectors of other policies count, too.
  const first = spec({ args, selectors: [{ matchArgs: [filter(0, 'Equal', ['/c'])] }] })
  assert.equal(pathIn(laidOut(both, first, first)).param, 0)
})

test('layout: one parameter as file and as path makes two values, one of which is screened', () => {
  const file = onPath(['Prefix', ['/a/']])
  const path = spec({ ...file, args: [arg(0, 'path')] })
  const found = pathIn(laidOut(file, path, path))
  assert.deepEqual([found.type, members(found.all), members(found.others)], ['path', '1 2', '0'])
})

const text: ArgumentFilter = { ...filter(0, 'Prefix', ['/a']), class: 'text' }
const UNSCREENED: ReadonlyArray<readonly [why: string, hook: HookSpec]> = [
  ['no selectors', spec()],
  ['a selector without filters', spec({ selectors: [{ matchArgs: [] }] })],
  ['only negative operators', onPath(['NotPrefix', ['/etc/']], ['NotEqual', ['/a']], ['NotPostfix', ['b']])],
  ['only a number', spec({ selectors: [{ matchArgs: [numberFilter(1, 'Equal', [4n])] }] })],
  ['a postfix that the mark of unlinked files may end', onPath(['Postfix', ['d)']])],
  ['a postfix that ends in the mark', onPath(['Postfix', ['x (deleted)']])],
  ['one of several postfixes is such', onPath(['Postfix', ['.conf', ')']])],
  ['a string is not a path', spec({ args: [arg(0, 'string')], selectors: [{ matchArgs: [text] }] })],
]

for (const [why, hook] of UNSCREENED) {
  test(`layout: no path is screened if it would not be sound: ${why}`, () => {
    assert.equal(pathIn(laidOut(hook)).param, NO_ARG)
  })
}

const numbered = (count: number): HookSpec[] => {
  const types = ['int', 'uint32', 'int8', 'uint8', 'int16', 'uint16', 'long', 'uint64']
  return Array.from({ length: count }, (_, i) => spec({ args: [arg(Math.floor(i / 8), types[i % 8] ?? 'int')] }))
}
const texts = (count: number): HookSpec[] =>
  Array.from({ length: count }, (_, i) => spec({ args: [arg(i % 5, ['string', 'file'][Math.floor(i / 5)] ?? 'path')] }))
const selecting = (count: number): HookSpec[] => Array.from({ length: count }, () => spec({ args: [] }))

const FITS: ReadonlyArray<readonly [what: string, specs: HookSpec[], fits: boolean]> = [
  ['nothing', [], true],
  ['512 selectors', selecting(512), true],
  ['513 selectors', selecting(513), false],
  ['102 hooks of five selectors, and two', [...Array(102).fill(onPath(...fiveFilters())), ...selecting(2)], true],
  ['102 hooks of five selectors, and three', [...Array(102).fill(onPath(...fiveFilters())), ...selecting(3)], false],
  ['8 values', numbered(8), true],
  ['9 values', numbered(9), false],
  ['8 values that many ask for', [...numbered(8), ...numbered(8)], true],
  ['5 texts', texts(5), true],
  ['6 texts', texts(6), false],
  ['5 texts and 3 numbers', [...texts(5), ...numbered(3)], true],
  ['5 texts and 4 numbers', [...texts(5), ...numbered(4)], false],
  ['values that are not read', [...numbered(8), spec({ args: [arg(4, 'nop')] })], true],
]

function fitTogether(specs: readonly HookSpec[]): boolean {
  const together = new Together()
  return specs.every((each) => together.add(each))
}

function fiveFilters(): Array<[Operator, string[]]> {
  return Array.from({ length: 5 }, () => ['Prefix', ['/a/']])
}

for (const [what, specs, fits] of FITS) {
  test(`layout: ${what} ${fits ? 'fit' : 'do not fit'} into one program`, () => {
    assert.equal(fitTogether(specs), fits)
  })
}

test('layout: any hook of a policy fits into a program of its own', () => {
  const args = [0, 1, 2, 3, 4].map((index) => arg(index, 'path'))
  const matchArgs = Array.from({ length: FILTERS_MAX }, (_, i) => filter(i, 'Prefix', ['/a/b/c/d/e/f/g/h/i']))
  const hook = spec({ args, selectors: Array.from({ length: 5 }, () => ({ matchArgs })) })
  assert.ok(fitTogether([hook]))
  assert.equal(selectorsIn(laidOut(hook)).length, 5)
})

test('layout: actions of selectors, and the values that are equal in repeats', () => {
  const file = arg(0, 'file')
  const acting = { last: 'signal', signals: [10, 9], reports: false, limit: undefined } as const
  const limited = { ...acting, signals: [], reports: true, limit: { ms: 60_000, scope: 'global' } } as const
  const plain = laidOut(spec({ args: [file] }))
  assert.equal(plain.bytes.readUInt32LE(HOOK.actions), 0)
  const { bytes, tables } = laidOut(
    spec({ args: [arg(1, 'int'), file] }),
    spec({ args: [file], selectors: [acting, limited].map((actions) => ({ matchArgs: [], actions })) }),
  )
  assert.equal(bytes.readUInt32LE(HOOK.actions), 1)
  const actions = tables.selectors.map((selector) =>
    selector.subarray(SELECTOR.action, SELECTOR.action + ACTION.enforcer),
  )
  assert.deepEqual(
    actions.map((each) => each.toString('hex')),
    ['00'.repeat(16), '000000000a0900010000000000000000', '60ea0000000000000202000000000000'],
  )
})

test('layout: notes for an enforcer, and its own hooks', () => {
  const notes = { last: 'notifyenforcer', signals: [], reports: true, limit: undefined } as const
  const of = (actions: Actions): string => {
    const { tables } = laidOut(spec({ args: [], enforcer: 7, selectors: [{ matchArgs: [], actions }] }))
    const from = SELECTOR.action + ACTION.enforcer
    return tables.selectors[0]?.subarray(from, SELECTOR.action + ACTION.bytes).toString('hex') ?? ''
  }
  assert.equal(of({ ...notes, notify: { error: -13, signal: 9 } }), '07000000f3ff0900')
  assert.equal(of({ ...notes, notify: { error: 0, signal: 0 } }), '0700000000000000')
  assert.equal(of({ ...notes, enforces: { denies: true } }), '0700000000000001')
  assert.equal(of({ ...notes, signals: [9] }), '0000000000000000')
})

test('layout: the values that make calls equal for aggregate, and whether calls are judged at their return', () => {
  const at = { line: 1, col: 1 }
  const [file, mask, size] = [arg(0, 'file'), arg(1, 'int'), arg(2, 'size_t')]
  const args = [file, mask, size]
  const aggregated = (byFile: boolean, byKind: boolean, more = {}): HookSpec =>
    spec({ args, aggregate: { windowMs: 1000, byFile, byKind, at }, ...more })
  const action = (...specs: HookSpec[]): readonly [hex: string, atReturn: number] => {
    const { bytes, tables } = laidOut(...specs)
    assert.equal(bytes.readUInt32LE(HOOK.actions), 1)
    const last = tables.selectors.at(-1) ?? Buffer.alloc(0)
    const hex = last.subarray(SELECTOR.action, SELECTOR.action + ACTION.enforcer).toString('hex')
    return [hex, bytes[HOOK.atReturn] ?? 0]
  }
  assert.deepEqual(action(aggregated(true, true)), ['00000000000000000007000003000000', 0])
  assert.deepEqual(action(aggregated(true, false)), ['00000000000000000001000001000000', 0])
  assert.deepEqual(action(aggregated(false, true)), ['00000000000000000006000003000000', 0])
  // Values of other policies on the function do not count.
  assert.deepEqual(action(spec({ args: [arg(3, 'int')] }), aggregated(true, true)), [
    '0000000000000000000e000003000000',
    0,
  ])
  const returns = (type: string): object => ({ return: true, returnArg: arg(0, type) })
  assert.deepEqual(action(aggregated(false, false, returns('int'))), ['00000000000000000000000001000000', 1])
  assert.deepEqual(action(aggregated(false, false, returns('long'))), ['00000000000000000000000005000000', 1])
  // A call that is denied is judged at its entry.
  const denying = { last: 'override', signals: [], reports: true, limit: undefined, error: -1 } as const
  const denies = spec({ args: [], selectors: [{ matchArgs: [], actions: denying }] })
  assert.deepEqual(action(denies, aggregated(false, false, returns('int'))), ['00000000000000000000000001000000', 0])
})

test('layout: conditions on processes and cgroups are screened apart, and are one set for the selector', () => {
  /** `bits`: of each selector, of the process and of the cgroup. */
  const asking = (...bits: ReadonlyArray<readonly [process: bigint, workloads: bigint]>): object => {
    const tables = new Tables()
    const selectors = bits.map(() => ({ matchArgs: [] }))
    const of =
      (kind: 0 | 1) =>
      (selector: Selector): bigint =>
        bits[selectors.findIndex((each) => each === selector)]?.[kind] ?? 0n
    const known = { conditionsOf: of(0), workloadsOf: of(1), hostNamespace: () => 0, filesOf: () => 0n }
    const bytes = hookBytes(1, [{ id: 1, spec: spec({ args: [], selectors }) }], tables, known)
    const set = (id: number): bigint => setIn(tables, id)
    return {
      conditional: bytes.readUInt32LE(HOOK.conditional),
      conditions: set(bytes.readUInt32LE(HOOK.conditions)),
      placed: bytes.readUInt16LE(HOOK.placed),
      early: bytes[HOOK.early],
      workloads: set(bytes.readUInt32LE(HOOK.workloads)),
      selectors: tables.selectors.map((each) => set(each.readUInt32LE(SELECTOR.conditions))),
      words: bytes.readUInt16LE(HOOK.conditionWords),
    }
  }
  assert.deepEqual(asking([0n, 0n]), {
    conditional: 0,
    conditions: 0n,
    placed: 0,
    early: 0,
    workloads: 0n,
    selectors: [0n],
    words: 0,
  })
  // Each set has its lowest bit: a process without it does not fulfil all conditions.
  assert.deepEqual(asking([0n, 6n], [8n, 16n]), {
    conditional: 1,
    conditions: 0n,
    placed: 1,
    early: 1,
    workloads: 18n,
    selectors: [6n, 24n],
    words: 1,
  })
  assert.deepEqual(asking([1n, 2n], [4n, 0n]), {
    conditional: 1,
    conditions: 5n,
    placed: 1,
    early: 1,
    workloads: 0n,
    selectors: [3n, 4n],
    words: 1,
  })
  assert.deepEqual(asking([1n << 511n, 1n << 130n]), {
    conditional: 1,
    conditions: 1n << 511n,
    placed: 1,
    early: 0,
    workloads: 1n << 130n,
    selectors: [(1n << 511n) | (1n << 130n)],
    words: 0b1000_0100,
  })
})

test('layout: values of a record are read last where selectors have conditions on the task that the screen cannot decide', () => {
  const early = (...asked: readonly bigint[]): number | undefined => {
    const selectors = asked.map(() => ({ matchArgs: [] }))
    const conditionsOf = (selector: Selector): bigint => asked[selectors.findIndex((each) => each === selector)] ?? 0n
    const known = { ...NO_FACTS, conditionsOf }
    return hookBytes(1, [{ id: 1, spec: spec({ args: [], selectors }) }], new Tables(), known)[HOOK.early]
  }
  assert.equal(early(0n), 0)
  assert.equal(early(4n), 0)
  assert.equal(early(6n), 1)
  assert.equal(early(4n, 0n), 1)
  const namespace = {
    class: 'namespace',
    namespace: 'mnt',
    operator: 'Equal',
    values: [1],
    at: { line: 1, col: 1 },
  } as const
  const task: Selector = { matchArgs: [], task: [namespace] }
  const bytes = hookBytes(1, [{ id: 1, spec: spec({ args: [], selectors: [task] }) }], new Tables())
  assert.equal(bytes[HOOK.early], 1)
})

test('layout: filters on members of structs and on types of files are tested first, if each selector has one', () => {
  const place = { steps: [], last: 8, sizeBytes: 4, signed: true, bit: 0, bits: 0, textBytes: 0, user: false, at: 0 }
  const member: ArgumentSpec = { ...arg(2, 'int'), places: { number: 1, list: [place], bytes: 0 } }
  const args = [arg(0, 'file'), arg(1, 'fd'), member]
  const ofType = (position: number): ArgumentFilter => ({
    class: 'fileType',
    arg: position,
    operator: 'Equal',
    values: [0o040000n],
    at: { line: 1, col: 1 },
  })
  const substring = filter(0, 'SubString', ['x'])
  /** The values and filters that are tested first. */
  const early = (...selectors: ArgumentFilter[][]): object => {
    const laid = laidOut(spec({ args, selectors: selectors.map((matchArgs) => ({ matchArgs })) }))
    const judged = valuesIn(laid).filter((_, i) => (laid.bytes[HOOK.judged] ?? 0) & (1 << i))
    const first = selectorsIn(laid).map(({ filters, early: count }) =>
      filters.slice(0, count).map(({ value }) => value),
    )
    return { early: laid.bytes[HOOK.early], judged, first }
  }
  assert.deepEqual(early([substring, ofType(0)]), { early: 1, judged: ['0 file'], first: [['0 file']] })
  assert.deepEqual(early([numberFilter(2, 'Equal', [7n]), ofType(0)], [ofType(0), substring]), {
    early: 1,
    judged: ['0 file', '2 s32'],
    first: [['2 s32', '0 file'], ['0 file']],
  })
  assert.deepEqual(early([ofType(0)], [substring]), { early: 0, judged: [], first: [[], []] })
  assert.deepEqual(early([ofType(1)]), { early: 0, judged: [], first: [[]] })
  assert.deepEqual(early([substring]), { early: 0, judged: [], first: [[]] })
})

test('layout: paths are walked for records only if the screen does not walk them', () => {
  const asked = (...specs: readonly HookSpec[]): number | undefined =>
    knobsOf([{ hooks: specs.map((each) => ({ spec: each })) }]).asks_paths?.readUInt32LE()
  const screened = spec({ selectors: [{ matchArgs: [filter(0, 'Prefix', ['/etc/'])] }] })
  assert.equal(asked(screened), 0)
  assert.equal(asked(spec({ args: [arg(1, 'int')] })), 0)
  assert.equal(asked(spec({ selectors: [{ matchArgs: [filter(0, 'SubString', ['x'])] }] })), 0)
  assert.equal(asked(spec({ selectors: [{ matchArgs: [filter(0, 'NotPrefix', ['/x'])] }] })), 1)
  assert.equal(asked(screened, spec({ args: [arg(2, 'path')] })), 1)
})

test('layout: a record has room for the values of its function', () => {
  const taking = (...types: readonly string[]): HookSpec => spec({ args: types.map((type, i) => arg(i, type)) })
  const most = { texts: RECORD_BYTES, bytes: SCRATCH_BYTES - RECORD_AT }
  const begin = EVENT_HEADER.bytes + 16
  const one = { texts: begin, bytes: begin + TEXT_ROOM + 3 * 16 + VALUE_ROOM }
  assert.deepEqual(recordRoom([taking('file', 'int')]), one)
  assert.equal(recordRoom([taking('int', 'uint64')]).texts, begin + 16)
  assert.equal(recordRoom([taking('file', 'path', 'sock', 'int')]).texts, begin + 2 * TEXT_ROOM)
  assert.deepEqual(recordRoom([taking('file'), taking('file', 'int')]), one)
  assert.deepEqual(recordRoom([taking('char_buf', 'int')]), one)
  assert.deepEqual(recordRoom([spec({ args: [{ ...arg(1, 'char_buf'), maxData: true }] })]), most)
  assert.deepEqual(recordRoom([spec({ selectors: [{ matchArgs: [], stacks: { kernel: true, user: false } }] })]), most)
  const numbers = ['int', 'uint32', 'uint64'].map((type) => arg(1, type))
  const largest = recordRoom([taking('file', 'path', 'string', 'fd', 'sock'), spec({ args: numbers })])
  assert.ok(largest.texts <= most.texts && largest.bytes <= most.bytes, JSON.stringify(largest))
  const functions = [taking('file', 'int'), taking('int')].map((each) => ({ hooks: [{ spec: each }] }))
  const { record_texts, scratch_bytes } = knobsOf(functions)
  assert.deepEqual([record_texts?.readUInt32LE(), scratch_bytes.readUInt32LE()], [one.texts, RECORD_AT + one.bytes])
})

test('layout: a function takes the stacks that any of its policies requests', () => {
  const stacksOf = (...asked: Array<Selector['stacks']>): number | undefined => {
    const selectors = asked.map((stacks): Selector => ({ matchArgs: [], ...(stacks && { stacks }) }))
    const hooks = selectors.map((selector, id) => ({ id, spec: spec({ selectors: [selector] }) }))
    return hookBytes(1, hooks, new Tables())[HOOK.stacks]
  }
  assert.equal(stacksOf(undefined), 0)
  assert.equal(stacksOf(undefined, { kernel: true, user: false }), STACK_KERNEL)
  assert.equal(stacksOf({ kernel: false, user: true }), STACK_USER)
  assert.equal(stacksOf({ kernel: true, user: false }, { kernel: false, user: true }), STACK_KERNEL | STACK_USER)
})

test('layout: more bytes of a buffer are read if any policy on the function has maxData', () => {
  const buffer = arg(1, 'char_buf')
  const asks = { ...buffer, maxData: true as const }
  const moreOf = (...args: ArgumentSpec[]): Array<number | undefined> => {
    const hooks = args.map((each, id) => ({ id, spec: spec({ args: [each, arg(2, 'int')] }) }))
    const bytes = hookBytes(1, hooks, new Tables())
    assert.equal(bytes[HOOK.nvalues], 2)
    return [0, 1].map((i) => bytes[HOOK.values + i * WANTED_VALUE.bytes + WANTED_VALUE.more])
  }
  assert.deepEqual(moreOf(buffer), [0, 0])
  assert.deepEqual(moreOf(buffer, asks), [1, 0])
  assert.deepEqual(moreOf(asks, buffer), [1, 0])
  const knob = (...args: ArgumentSpec[]): number | undefined =>
    knobsOf([{ hooks: args.map((each) => ({ spec: spec({ args: [each] }) })) }]).asks_bytes?.readUInt32LE()
  assert.deepEqual([knob(arg(0, 'int')), knob(buffer), knob(buffer, asks)], [0, 1, 2])
})
