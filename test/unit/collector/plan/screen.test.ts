/** The first half of a call must never reject a selector that the exact filters would let through. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Together } from '../../../../collector/plan/layout/hook.ts'
import { NO_ARG, SELECTORS_MAX } from '../../../../collector/wire/wire.ts'
import type { Operator } from '../../../../config/policy/operators.ts'
import type { ArgumentFilter, HookSpec, NumberFilter, TextFilter } from '../../../../config/policy/policy.ts'
import { laidOut, members, pathIn, selectorsIn } from '../support/layout.ts'
import { ScreenModel, narrowed, textOf } from '../support/screen-model.ts'
import type { Param, RealPath } from '../support/screen-model.ts'
import { arg, filter, numberFilter, onPath, spec, typeOf } from '../support/specs.ts'

const plain = (text: string): RealPath => ({
  names: text.split('/').slice(1),
  deleted: false,
  boundFrom: undefined,
})
const gone = (text: string): RealPath => ({ ...plain(text), deleted: true })

function numberMatches({ operator, values }: NumberFilter, number: bigint): boolean {
  switch (operator) {
    case 'Equal':
      return values.includes(number)
    case 'NotEqual':
      return !values.includes(number)
    case 'Mask':
      return values.some((value) => (value & number) !== 0n)
    case 'GreaterThan':
      return values.some((value) => number > value)
    case 'LessThan':
      return values.some((value) => number < value)
    default:
      return assert.fail(`${operator} of a number`)
  }
}

function textMatches({ operator, values }: TextFilter, text: string): boolean {
  const whole = Buffer.from(text)
  const any = (holds: (part: Buffer) => boolean): boolean => values.some((value) => holds(Buffer.from(value)))
  const begins = (part: Buffer): boolean => whole.subarray(0, part.length).equals(part)
  const ends = (part: Buffer): boolean => whole.length >= part.length && whole.subarray(-part.length).equals(part)
  switch (operator) {
    case 'Equal':
      return any((part) => whole.equals(part))
    case 'NotEqual':
      return !any((part) => whole.equals(part))
    case 'Prefix':
      return any(begins)
    case 'NotPrefix':
      return !any(begins)
    case 'Postfix':
      return any(ends)
    case 'NotPostfix':
      return !any(ends)
    case 'SubString':
      return any((part) => whole.includes(part))
    case 'SubStringIgnCase':
      return values.some((value) => text.toLowerCase().includes(value.toLowerCase()))
    default:
      return assert.fail(`${operator} of a text`)
  }
}

/** The plain definition. A file without a path matches no filter, whatever its operator. */
function matches(each: ArgumentFilter, { args }: HookSpec, params: readonly Param[]): boolean {
  const { index, type } = args[each.arg] ?? assert.fail('no such argument')
  const param = params[index]
  if (each.class === 'number') {
    return numberMatches(each, narrowed(type.read, typeof param === 'bigint' ? param : assert.fail('no number')))
  }
  if (each.class === 'socket') return assert.fail('no socket')
  // The kind and the identity of a file have no text; a real kernel decides these filters (test/e2e/files).
  if (each.class === 'fileType') return assert.fail('no kinds of files here')
  if (each.class === 'identity') return assert.fail('no identity here')
  const text = param === undefined || typeof param === 'bigint' ? '' : textOf(param)
  return text !== '' && textMatches(each, text)
}

/** Whether each selector of each hook matches, in the order of their bits. */
function expected(specs: readonly HookSpec[], params: readonly Param[]): boolean[] {
  return specs.flatMap((hook) => {
    if (hook.selectors.length === 0) return [true]
    return hook.selectors.map(({ matchArgs }) => matchArgs.every((each) => matches(each, hook, params)))
  })
}

/** Similar names, so that random values and paths meet: around 8 bytes, and around the mark of unlinked files. */
const name = fc.oneof(
  fc.constantFrom('a', 'ab', 'etc', 'passwd', 'abcdefg', 'abcdefgh', 'abcdefghi', 'abcdefgX', 'abcdefghX', 'ü', 'üüüü'),
  fc.constantFrom(
    '日本語',
    ' ',
    '(',
    ' (',
    ' (deleted)',
    'x (deleted)',
    'x (del',
    'x ',
    ' (deleted) (deleted)',
    '.',
    '-',
  ),
  fc.constant('n'.repeat(255)),
  fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
    .filter((text) => text.isWellFormed() && !/[/\0]/.test(text)),
)
const realPath: fc.Arbitrary<RealPath> = fc.record({
  names: fc.array(name, { maxLength: 12, size: 'max' }),
  deleted: fc.boolean(),
  boundFrom: fc.option(name, { nil: undefined, freq: 8 }),
  unfinished: fc.nat(9).map((n) => n === 0),
})
const number = fc.oneof(
  fc.bigInt({ min: -3n, max: 70n }),
  fc.constantFrom(-128n, 127n, 255n, 256n, 2n ** 31n - 1n, 2n ** 31n, 2n ** 32n + 3n, 2n ** 63n, 2n ** 64n - 1n),
)

/** A cut anywhere, or near the end: inside the mark of unlinked files. */
const cut = fc.oneof(fc.nat(400), fc.integer({ min: -14, max: -1 }))

/** A piece of a text, between whole characters; from the end for a negative cut. */
function piece(text: string, operator: Operator, from: number): string {
  const characters = [...text]
  const length = Math.max(1, characters.length)
  const at = ((from % length) + length) % length
  if (operator === 'Prefix' || operator === 'NotPrefix') return characters.slice(0, at + 1).join('')
  if (operator === 'SubString' || operator === 'SubStringIgnCase') return characters.slice(at, at + 9).join('')
  return operator === 'Postfix' || operator === 'NotPostfix' ? characters.slice(at).join('') : text
}

/** Parts of random filters. */
interface Pool {
  /** The arguments that hooks may have, one of each type. */
  readonly args: ReadonlyArray<readonly [index: number, types: readonly string[]]>
  readonly texts: readonly Operator[]
  readonly numbers: readonly Operator[]
  readonly odd: readonly string[]
}

const ANY: Pool = {
  args: [
    [0, ['file']],
    [1, ['int', 'uint32', 'int8']],
    [2, ['path']],
    [3, ['long', 'uint64']],
    [4, ['path']],
  ],
  texts: ['Equal', 'Prefix', 'Postfix', 'SubString', 'SubStringIgnCase', 'NotEqual', 'NotPrefix', 'NotPostfix'],
  numbers: ['Equal', 'NotEqual', 'Mask', 'GreaterThan', 'LessThan'],
  odd: ['/', '//', '/etc//', 'etc', '/a//b', ' (deleted)', 'd)', '/etc/', '/ (deleted)'],
}

/** Filters that distinguish calls. */
const NARROW: Pool = {
  args: [
    [0, ['file']],
    [1, ['int']],
  ],
  texts: ['Equal', 'Prefix', 'Postfix'],
  numbers: ['Equal'],
  odd: ['/etc/'],
}

interface Case {
  readonly specs: readonly HookSpec[]
  readonly calls: ReadonlyArray<readonly Param[]>
}

interface FilterSeed {
  readonly arg: number
  readonly operator: number
  readonly from: ReadonlyArray<readonly [number, number]>
  readonly odd: readonly string[]
}

interface Least {
  readonly hooks: number
  readonly selectors: number
  readonly filters: number
}

/** Up to 20 policies, and calls with paths and numbers that their filters are made of. */
function cases(pool: Pool, least: Least): fc.Arbitrary<Case> {
  const seed: fc.Arbitrary<FilterSeed> = fc.record({
    arg: fc.nat(99),
    operator: fc.nat(99),
    from: fc.array(fc.tuple(fc.nat(99), cut), { minLength: 1, maxLength: 8, size: 'max' }),
    odd: fc.array(fc.constantFrom(...pool.odd), { maxLength: 2 }),
  })
  const selector = fc.array(seed, { minLength: least.filters, maxLength: 5 })
  const hook = fc.record({
    args: fc.shuffledSubarray([...pool.args], { minLength: Math.min(1, least.filters) }),
    types: fc.nat(99),
    selectors: fc.array(selector, { minLength: least.selectors, maxLength: 5, size: 'max' }),
  })
  return fc
    .record({
      paths: fc.array(realPath, { minLength: 1, maxLength: 14, size: 'max' }),
      numbers: fc.array(number, { minLength: 1, maxLength: 8 }),
      hooks: fc.array(hook, { minLength: least.hooks, maxLength: 20, size: 'max' }),
      calls: fc.array(fc.tuple(fc.nat(99), fc.nat(99), fc.nat(99)), { minLength: 1, maxLength: 30, size: 'max' }),
    })
    .map(({ paths, numbers, hooks, calls }) => {
      const specs = hooks.map(({ args, types, selectors }) => {
        const made = args.map(([index, names]) => arg(index, names[types % names.length] ?? 'int'))
        const filters = (seeds: readonly FilterSeed[]): ArgumentFilter[] =>
          made.length === 0
            ? []
            : seeds.map((each) =>
                filterOf(
                  each,
                  made.map(({ type }) => type.name),
                  paths,
                  numbers,
                ),
              )
        return spec({ args: made, selectors: selectors.map((seeds) => ({ matchArgs: filters(seeds) })) })
      })
      const pathAt = (n: number): Param => (n % 17 === 16 ? undefined : paths[n % paths.length])
      const numberAt = (n: number): bigint => BigInt.asUintN(64, numbers[n % numbers.length] ?? 0n)
      return {
        specs,
        calls: calls.map(([a, b, c]) => [pathAt(a), numberAt(b), pathAt(b), numberAt(c), pathAt(c)]),
      }
    })

  function filterOf(
    { arg: at, operator, from, odd }: FilterSeed,
    types: readonly string[],
    paths: readonly RealPath[],
    numbers: readonly bigint[],
  ): ArgumentFilter {
    const position = at % types.length
    const type = typeOf(types[position] ?? '')
    if (type.filter === 'number') {
      const op = pool.numbers[operator % pool.numbers.length] ?? 'Equal'
      const values = from.map(([i]) => narrowed(type.read, numbers[i % numbers.length] ?? 0n))
      return numberFilter(position, op, values)
    }
    const op = pool.texts[operator % pool.texts.length] ?? 'Equal'
    const longest = op === 'Postfix' || op === 'NotPostfix' ? 127 : 252
    const values = from.map(([i, n]) => piece(textOf(paths[i % paths.length] ?? plain('/a')), op, n))
    const fit = [...values, ...odd].filter((value) => value !== '' && Buffer.byteLength(value) <= longest)
    return filter(position, op, fit.length > 0 ? fit : ['/etc/'])
  }
}

test('screen: no selector that matches is rejected, for any policies on a function', () => {
  let hits = 0
  let many = 0
  const few = cases(ANY, { hooks: 1, selectors: 0, filters: 0 })
  // More selectors than a word of a set has bits.
  const crowd = cases(ANY, { hooks: 14, selectors: 5, filters: 1 })
  fc.assert(
    fc.property(fc.oneof({ weight: 4, arbitrary: few }, { weight: 1, arbitrary: crowd }), ({ specs, calls }) => {
      const together = new Together()
      assert.ok(specs.every((each) => together.add(each)))
      const model = new ScreenModel(laidOut(...specs))
      for (const params of calls) {
        const alive = model.alive(params)
        const wanted = expected(specs, params)
        if (wanted.length > 64) many++
        wanted.forEach((wants, bit) => {
          if (!wants) return
          hits++
          const why = (): string => JSON.stringify([params, bit, specs.flatMap((hook) => hook.selectors)], shown)
          if (((alive >> BigInt(bit)) & 1n) === 0n) assert.fail(why())
        })
        assert.equal(alive >> BigInt(wanted.length), 0n)
      }
    }),
    { numRuns: 400 },
  )
  // Without these checks the property would hold with no match, or within one word.
  assert.ok(hits > 10_000 && many > 200, `${hits} matches tried, ${many} calls with more than 64 selectors`)
})

function shown(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value
}

/** Few and short names, from which paths and folders are made. */
const short = fc.constantFrom('a', 'etc', 'abcdefgh', 'abcdefghi', ' ', ' x', ' (deleted)', 'ü')
const folder = fc.array(short, { maxLength: 9, size: 'max' }).map((names) => names.map((each) => `/${each}`).join(''))
const prefix = fc
  .tuple(folder, fc.constantFrom('/', '/', '/', '//', '/ ', '/ (', '/ (deleted)', '/e', ''))
  .map(([above, last]) => above + last)
  .filter((value) => value !== '')

test('screen: selectors left by a Prefix that it decides alone match', () => {
  let decided = 0
  let matched = 0
  const path = fc.record({ names: fc.array(short, { maxLength: 10, size: 'max' }), deleted: fc.boolean() })
  fc.assert(
    fc.property(
      fc.array(prefix, { minLength: 1, maxLength: 3 }),
      fc.array(path, { minLength: 1, maxLength: 9, size: 'max' }),
      (values, paths) => {
        const hook = onPath(['Prefix', values])
        const laid = laidOut(hook)
        if (selectorsIn(laid)[0]?.undecided !== 0) return
        const model = new ScreenModel(laid)
        for (const each of paths) {
          const params = [{ ...each, boundFrom: undefined }, 0n]
          const [wants = false] = expected([hook], params)
          decided++
          if (wants) matched++
          assert.equal(model.alive(params), wants ? 1n : 0n, JSON.stringify([values, each]))
        }
      },
    ),
    { numRuns: 2_000 },
  )
  assert.ok(matched > 50 && decided > 2 * matched, `${decided} decided, of them ${matched} match`)
})

test('screen: rejects most calls that do not match', () => {
  let rejected = 0
  let misses = 0
  fc.assert(
    fc.property(cases(NARROW, { hooks: 1, selectors: 1, filters: 1 }), ({ specs, calls }) => {
      const model = new ScreenModel(laidOut(...specs))
      for (const params of calls) {
        if (params.some((param) => typeof param === 'object' && param.unfinished === true)) continue
        const alive = model.alive(params)
        expected(specs, params).forEach((wants, bit) => {
          if (wants) return
          misses++
          if (((alive >> BigInt(bit)) & 1n) === 0n) rejected++
        })
      }
    }),
    { numRuns: 100, seed: 7 },
  )
  assert.ok(misses > 10_000 && rejected > 0.8 * misses, `${rejected} of ${misses} rejected`)
})

type Filters = ReadonlyArray<readonly [Operator, readonly string[]]>

const ROWS: ReadonlyArray<readonly [filters: Filters, path: RealPath | undefined, alive: string]> = [
  [[['Prefix', ['/etc/']]], plain('/etc/passwd'), '0'],
  [[['SubString', ['none', 'c/pa']]], plain('/etc/passwd'), '0'],
  [[['SubString', ['none', 'Passwd']]], plain('/etc/passwd'), ''],
  [[['SubStringIgnCase', ['none', 'PASSWD']]], plain('/etc/passwd'), '0'],
  // The text decides: the name is not the whole of it, or the walk does not have all names.
  [[['SubString', ['none']]], gone('/etc/passwd'), '0'],
  [[['SubString', ['none']]], plain('/1/2/3/4/5/6/7/8/9'), '0'],
  [[['Prefix', ['/etc/']]], plain('/etc'), ''],
  [[['Prefix', ['/etc/']]], gone('/etc'), ''],
  [[['Prefix', ['/etc/']]], plain('/etcetera/passwd'), ''],
  [[['Prefix', ['/etc/']]], plain('/usr/etc/passwd'), ''],
  [[['Prefix', ['/etc/']]], { ...plain('/usr/x'), unfinished: true }, '0'],
  [[['Prefix', ['/etc']]], plain('/etcetera/passwd'), '0'],
  [[['Prefix', ['/etc']]], plain('/et'), ''],
  [[['Prefix', ['/']]], plain('/x'), '0'],
  [[['Prefix', ['etc']]], plain('/etc/x'), ''],
  [[['Prefix', ['//']]], plain('/x'), ''],
  [[['Prefix', ['/abcdefgh']]], plain('/abcdefghi'), '0'],
  [[['Prefix', ['/abcdefgh']]], plain('/abcdefgX'), ''],
  [[['Prefix', ['/a/b/c/d/e/f/g/h/']]], plain('/a/b/c/d/e/f/g/h/i'), '0'],
  [[['Prefix', ['/a/b/c/d/e/f/g/h/']]], plain('/a/b/c/d/e/f/X/h/i'), ''],
  [[['Prefix', ['/a/b/c/d/e/f/g/h/']]], plain('/a/b/c/d/e/f/g'), ''],
  [[['Equal', ['/etc/passwd']]], plain('/etc/passwd'), '0'],
  [[['Equal', ['/etc/passwd']]], plain('/etc/passwd-'), ''],
  [[['Equal', ['/etc/passwd']]], plain('/etc/passwd/x'), ''],
  [[['Equal', ['/etc/passwd']]], plain('/etc/shadow'), ''],
  [[['Equal', ['/etc/x (deleted)']]], gone('/etc/x'), '0'],
  [[['Equal', ['/etc/x (deleted)']]], plain('/etc/x (deleted)'), '0'],
  [[['Equal', ['/etc/x (deleted)']]], plain('/etc/y (deleted)'), ''],
  [[['Equal', ['/etc/']]], plain('/etc/x'), ''],
  [[['Prefix', ['/etc/x ']]], gone('/etc/x'), '0'],
  [[['Prefix', ['/etc/x (del']]], gone('/etc/x'), '0'],
  [[['Prefix', ['/etc/ (del']]], gone('/etc'), ''],
  [[['Prefix', ['/etc/ ']]], plain('/etc/x'), ''],
  [[['Prefix', ['/etc/ ']]], plain('/etc/ x'), '0'],
  [[['Prefix', ['/ ']]], plain('/etc/x'), ''],
  [[['Equal', ['/etc/ (deleted)']]], plain('/etc/ (deleted)'), '0'],
  [[['Postfix', ['passwd']]], plain('/etc/passwd'), '0'],
  [[['Postfix', ['passwd']]], plain('/etc/opasswd'), '0'],
  [[['Postfix', ['passwd']]], plain('/etc/passwx'), ''],
  [[['Postfix', ['/passwd']]], plain('/etc/opasswd'), ''],
  [[['Postfix', ['/passwd']]], plain('/etc/passwd'), '0'],
  [[['Postfix', ['long-name.conf']]], plain('/x/another-long-name.conf'), '0'],
  [[['Postfix', ['long-name.conf']]], plain('/x/another-long-name.conX'), ''],
  [[['Postfix', ['x/']]], plain('/x/x'), ''],
  [[['Postfix', ['.conf']]], { ...plain('/etc/resolv.conf'), boundFrom: 'layer' }, '0'],
  [
    [
      ['Prefix', ['/etc/']],
      ['Postfix', ['.key']],
    ],
    plain('/home/id.key'),
    '1',
  ],
  [
    [
      ['Prefix', ['/etc/']],
      ['Postfix', ['.key']],
    ],
    plain('/etc/id.key'),
    '0 1',
  ],
  [
    [
      ['Prefix', ['/etc/']],
      ['Postfix', ['.key']],
    ],
    plain('/home/id.pub'),
    '',
  ],
  [
    [
      ['Prefix', ['/etc/']],
      ['NotPrefix', ['/etc/']],
    ],
    plain('/home/id.pub'),
    '1',
  ],
  [
    [
      ['Prefix', ['/etc/']],
      ['NotPrefix', ['/etc/']],
    ],
    plain('/etc/x'),
    '0 1',
  ],
  [
    [
      ['Prefix', ['/etc/']],
      ['NotPrefix', ['/etc/']],
    ],
    { ...plain('/x'), names: [] },
    '1',
  ],
  [
    [
      ['Prefix', ['/etc/']],
      ['NotPrefix', ['/etc/']],
    ],
    { ...plain('/x'), unfinished: true },
    '0 1',
  ],
  [
    [
      ['Prefix', ['/etc/']],
      ['NotPrefix', ['/etc/']],
    ],
    undefined,
    '1',
  ],
  [[['Prefix', ['/etc/']]], undefined, ''],
  [[['Prefix', ['/etc/']]], { ...plain('/x'), names: [] }, ''],
]

for (const [filters, real, alive] of ROWS) {
  const what = filters.map(([op, values]) => `${op} ${values.join(' ')}`).join(' or ')
  const path = real === undefined ? 'no file' : JSON.stringify(textOf(real))
  test(`screen: ${what} leaves {${alive}} for ${path}${real?.unfinished === true ? ', whose root was not reached' : ''}`, () => {
    const laid = laidOut(onPath(...filters))
    assert.notEqual(pathIn(laid).param, NO_ARG)
    assert.equal(members(new ScreenModel(laid).alive([real, 0n])), alive)
  })
}

const NUMBERS: ReadonlyArray<readonly [type: string, Operator, values: bigint[], raw: bigint, alive: string]> = [
  ['int', 'Equal', [4n], 4n, '0'],
  ['int', 'Equal', [4n], 5n, ''],
  ['int', 'Equal', [-1n], 0xffff_ffffn, '0'],
  ['int', 'Equal', [4n], 0xdead_0000_0004n, '0'],
  ['uint8', 'Equal', [4n], 0x104n, '0'],
  ['uint64', 'Equal', [4n], 0x1_0000_0004n, ''],
  ['int', 'LessThan', [0n], 3n, ''],
  ['int', 'LessThan', [0n], 0xffff_fff0n, '0'],
  ['int', 'Equal', [64n], 65n, '0'],
]

for (const [type, operator, values, raw, alive] of NUMBERS) {
  test(`screen: ${operator} ${values.join(' ')} on ${type} leaves {${alive}} for 0x${raw.toString(16)}`, () => {
    const hook = spec({ args: [arg(1, type)], selectors: [{ matchArgs: [numberFilter(0, operator, values)] }] })
    assert.equal(members(new ScreenModel(laidOut(hook)).alive([undefined, raw])), alive)
  })
}

test('screen: as many selectors as a program has, each left by its own path and number only', () => {
  const specs = Array.from({ length: SELECTORS_MAX }, (_, i) =>
    spec({
      selectors: [{ matchArgs: [filter(0, 'Prefix', [`/data/${i}/x/`]), numberFilter(1, 'Equal', [BigInt(i % 2)])] }],
    }),
  )
  const laid = laidOut(...specs)
  assert.equal(selectorsIn(laid).length, SELECTORS_MAX)
  const model = new ScreenModel(laid)
  for (const i of [0, 63, 64, 300, SELECTORS_MAX - 1]) {
    assert.equal(members(model.alive([plain(`/data/${i}/x/y`), BigInt(i % 2)])), String(i))
    assert.equal(model.alive([plain(`/data/${i}/x/y`), BigInt((i + 1) % 2)]), 0n)
  }
  assert.equal(model.alive([plain('/data/512/x/y'), 0n]), 0n)
  assert.equal(model.alive([plain('/var/1/x/y'), 1n]), 0n)
})
