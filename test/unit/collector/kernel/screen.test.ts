/** The first pass of path filters must never refuse what the exact filters would let through. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { emptySets, hookBytes } from '../../../../collector/kernel/layout.ts'
import { screenOf } from '../../../../collector/kernel/screen.ts'
import { HOOK, PREFIXES_MAX, SELECTORS_MAX, NO_ARG, PATH_SCREEN } from '../../../../collector/kernel/wire.ts'
import type { Operator } from '../../../../config/policy/operators.ts'
import type { KprobeSpec } from '../../../../config/policy/policy.ts'
import { passes, textOf } from '../support/screen-model.ts'
import type { RealPath } from '../support/screen-model.ts'
import { arg, filter, numberFilter, onPath, spec } from '../support/specs.ts'

const plain = (text: string): RealPath => ({
  names: text.split('/').slice(1),
  deleted: false,
  boundFrom: undefined,
})
const gone = (text: string): RealPath => ({ ...plain(text), deleted: true })
const bytesOf = (hook: KprobeSpec): Buffer => hookBytes(1, hook, emptySets())
const screened = (hook: KprobeSpec): boolean => bytesOf(hook)[HOOK.screen + PATH_SCREEN.arg] !== NO_ARG

function matches(operator: Operator, value: string, text: string): boolean {
  const [whole, part] = [Buffer.from(text), Buffer.from(value)]
  if (operator === 'Equal') return whole.equals(part)
  if (operator === 'Prefix') return whole.subarray(0, part.length).equals(part)
  return whole.length >= part.length && whole.subarray(whole.length - part.length).equals(part)
}

/** Names that are alike, so that random values and paths meet: around 8 bytes, around the mark of unlinked files. */
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
const path: fc.Arbitrary<RealPath> = fc.record({
  names: fc.array(name, { maxLength: 12 }),
  deleted: fc.boolean(),
  boundFrom: fc.option(name, { nil: undefined, freq: 8 }),
})

/** A piece of a text, between whole characters. */
function piece(text: string, operator: Operator, cut: number): string {
  const characters = [...text]
  const at = characters.length === 0 ? 0 : cut % characters.length
  if (operator === 'Prefix') return characters.slice(0, at + 1).join('')
  return operator === 'Postfix' ? characters.slice(at).join('') : text
}

type Filters = ReadonlyArray<readonly [Operator, readonly string[]]>

interface Case {
  readonly hook: KprobeSpec
  readonly paths: readonly RealPath[]
  readonly filters: Filters
}

const aCase: fc.Arbitrary<Case> = fc
  .record({
    paths: fc.array(path, { minLength: 1, maxLength: 14 }),
    filters: fc.array(
      fc.record({
        operator: fc.constantFrom<Operator>('Equal', 'Prefix', 'Postfix'),
        from: fc.array(fc.tuple(fc.nat(20), fc.nat(400)), { minLength: 1, maxLength: 12 }),
        odd: fc.array(
          fc.constantFrom('/', '//', '/etc//', 'etc', '/a//b', ' (deleted)', 'd)', '/etc/', '/ (deleted)'),
          {
            maxLength: 2,
          },
        ),
      }),
      { minLength: 1, maxLength: SELECTORS_MAX },
    ),
  })
  .map(({ paths, filters }) => {
    const made = filters.map(({ operator, from, odd }): readonly [Operator, readonly string[]] => {
      const values = from.map(([i, cut]) => piece(textOf(paths[i % paths.length] ?? plain('/a')), operator, cut))
      const fit = [...values, ...odd].filter(
        (v) => v !== '' && Buffer.byteLength(v) <= (operator === 'Postfix' ? 127 : 252),
      )
      return [operator, fit.length > 0 ? fit : ['/etc/']]
    })
    return { hook: onPath(...made), paths, filters: made }
  })

test('screen: passes every path that a filter matches, for any values', () => {
  let hits = 0
  fc.assert(
    fc.property(aCase, ({ hook, paths, filters }) => {
      const bytes = bytesOf(hook)
      for (const real of paths) {
        const text = textOf(real)
        const wanted = text !== '' && filters.some(([op, values]) => values.some((value) => matches(op, value, text)))
        if (!wanted) continue
        hits++
        assert.ok(passes(bytes, real), `${JSON.stringify(text)} by ${JSON.stringify(filters)}`)
      }
    }),
    { numRuns: 3000 },
  )
  // Else the property would hold without a match.
  assert.ok(hits > 3000, `${hits} matches tried`)
})

test('screen: rejects most of what does not match', () => {
  let refused = 0
  let misses = 0
  fc.assert(
    fc.property(aCase, ({ hook, paths, filters }) => {
      if (!screened(hook)) return
      for (const real of paths) {
        const text = textOf(real)
        if (filters.some(([op, values]) => values.some((value) => matches(op, value, text)))) continue
        misses++
        if (!passes(bytesOf(hook), real)) refused++
      }
    }),
    { numRuns: 300, seed: 7 },
  )
  assert.ok(misses > 300 && refused > misses / 2, `${refused} of ${misses} refused`)
})

const ROWS: ReadonlyArray<readonly [filters: Filters, path: RealPath, through: boolean]> = [
  [[['Prefix', ['/etc/']]], plain('/etc/passwd'), true],
  [[['Prefix', ['/etc/']]], plain('/etc'), false],
  [[['Prefix', ['/etc/']]], gone('/etc'), false],
  [[['Prefix', ['/etc/']]], plain('/etcetera/passwd'), false],
  [[['Prefix', ['/etc/']]], plain('/usr/etc/passwd'), false],
  [[['Prefix', ['/etc']]], plain('/etcetera/passwd'), true],
  [[['Prefix', ['/etc']]], plain('/et'), false],
  [[['Prefix', ['/']]], plain('/x'), true],
  [[['Prefix', ['etc']]], plain('/etc/x'), false],
  [[['Prefix', ['//']]], plain('/x'), false],
  [[['Prefix', ['/abcdefgh']]], plain('/abcdefghi'), true],
  [[['Prefix', ['/abcdefgh']]], plain('/abcdefgX'), false],
  [[['Prefix', ['/a/b/c/d/e/f/g/h/']]], plain('/a/b/c/d/e/f/g/h/i'), true],
  [[['Prefix', ['/a/b/c/d/e/f/g/h/']]], plain('/a/b/c/d/e/f/X/h/i'), false],
  [[['Equal', ['/etc/passwd']]], plain('/etc/passwd'), true],
  [[['Equal', ['/etc/passwd']]], plain('/etc/passwd-'), false],
  [[['Equal', ['/etc/passwd']]], plain('/etc/passwd/x'), false],
  [[['Equal', ['/etc/passwd']]], plain('/etc/shadow'), false],
  [[['Equal', ['/etc/x (deleted)']]], gone('/etc/x'), true],
  [[['Equal', ['/etc/x (deleted)']]], plain('/etc/x (deleted)'), true],
  [[['Equal', ['/etc/x (deleted)']]], plain('/etc/y (deleted)'), false],
  [[['Equal', ['/etc/']]], plain('/etc/x'), false],
  [[['Postfix', ['passwd']]], plain('/etc/passwd'), true],
  [[['Postfix', ['passwd']]], plain('/etc/opasswd'), true],
  [[['Postfix', ['passwd']]], plain('/etc/passwx'), false],
  [[['Postfix', ['/passwd']]], plain('/etc/opasswd'), false],
  [[['Postfix', ['long-name.conf']]], plain('/x/another-long-name.conf'), true],
  [[['Postfix', ['long-name.conf']]], plain('/x/another-long-name.conX'), false],
  [[['Postfix', ['x/']]], plain('/x/x'), false],
  [[['Postfix', ['.conf']]], { ...plain('/etc/resolv.conf'), boundFrom: 'layer' }, true],
  [
    [
      ['Prefix', ['/etc/']],
      ['Postfix', ['.key']],
    ],
    plain('/home/id.key'),
    true,
  ],
  [
    [
      ['Prefix', ['/etc/']],
      ['Postfix', ['.key']],
    ],
    plain('/home/id.pub'),
    false,
  ],
  [[['Prefix', ['/etc/']]], { names: [], deleted: false, boundFrom: undefined }, false],
]

for (const [filters, real, through] of ROWS) {
  const what = filters.map(([op, values]) => `${op} ${values.join(' ')}`).join(' or ')
  test(`screen: ${what} ${through ? 'passes' : 'refuses'} ${JSON.stringify(textOf(real))}`, () => {
    const bytes = bytesOf(onPath(...filters))
    assert.notEqual(bytes[HOOK.screen + PATH_SCREEN.arg], NO_ARG)
    assert.equal(passes(bytes, real), through)
  })
}

test('screen: more values than prefixes share shorter prefixes', () => {
  const values = Array.from({ length: 20 }, (_, i) => `/data/${i}/x/`)
  const bytes = bytesOf(onPath(['Prefix', values]))
  assert.ok((bytes[HOOK.screen + PATH_SCREEN.nprefixes] ?? 99) <= PREFIXES_MAX)
  assert.ok(passes(bytes, plain('/data/19/x/y')))
  assert.ok(!passes(bytes, plain('/var/19/x/y')))
})

const NONE: ReadonlyArray<readonly [why: string, hook: KprobeSpec]> = [
  ['no selectors', spec()],
  ['a selector without filters', spec({ selectors: [{ matchArgs: [] }] })],
  ['only a negative operator', onPath(['NotPrefix', ['/etc/']])],
  [
    'one selector of two is about a number',
    spec({
      selectors: [{ matchArgs: [filter(0, 'Prefix', ['/etc/'])] }, { matchArgs: [numberFilter(1, 'Equal', [4n])] }],
    }),
  ],
  ['a postfix that the mark of unlinked files may end', onPath(['Postfix', ['d)']])],
  ['a postfix that ends in the mark', onPath(['Postfix', ['x (deleted)']])],
  ['more postfixes than the hook has slots for', onPath(['Postfix', 'abcdefghi'.split('')])],
  ['more than eight first components', onPath(['Prefix', 'abcdefghi'.split('').map((c) => `/${c}/`)])],
  [
    'selectors about different paths',
    spec({
      args: [arg(0, 'path'), arg(1, 'path')],
      selectors: [{ matchArgs: [filter(0, 'Prefix', ['/a'])] }, { matchArgs: [filter(1, 'Prefix', ['/a'])] }],
    }),
  ],
  [
    'a string is not a path',
    spec({ args: [arg(0, 'string')], selectors: [{ matchArgs: [{ ...filter(0, 'Prefix', ['/a']), class: 'text' }] }] }),
  ],
]

for (const [why, hook] of NONE) {
  test(`screen: none if it would not be sound: ${why}`, () => {
    assert.equal(screenOf(hook), undefined)
    assert.equal(bytesOf(hook)[HOOK.screen + PATH_SCREEN.arg], NO_ARG)
  })
}

test('screen: is on the second path if every selector filters only that one', () => {
  const hook = spec({
    args: [arg(0, 'path'), arg(2, 'path')],
    selectors: [
      { matchArgs: [filter(0, 'Prefix', ['/a']), filter(1, 'Prefix', ['/b'])] },
      { matchArgs: [filter(1, 'Equal', ['/c'])] },
    ],
  })
  assert.equal(screenOf(hook)?.arg, 1)
})
