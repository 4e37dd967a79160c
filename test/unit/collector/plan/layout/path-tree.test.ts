/** Wanted paths → the tree of their components. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hash } from '../../../../../collector/plan/files/entries.ts'
import { writePathTree } from '../../../../../collector/plan/layout/path-tree.ts'
import type { PathTree } from '../../../../../collector/plan/layout/path-tree.ts'
import { demandOf } from '../../../../../collector/plan/layout/screen.ts'
import { Tables } from '../../../../../collector/plan/layout/tables.ts'
import type { EdgeTarget } from '../../../../../collector/plan/layout/tables.ts'
import type { Operator } from '../../../../../config/policy/operators.ts'
import { members, setIn } from '../../support/layout.ts'
import { showWord } from '../../support/show-layout.ts'
import { filter } from '../../support/specs.ts'

type Filters = ReadonlyArray<readonly [Operator, ...(readonly string[])]>

const ALL_BITS = 2n ** 64n - 1n

/** The tree of selectors with one filter each. */
function treeOf(filters: Filters): { tree: PathTree; tables: Tables } {
  const tables = new Tables()
  const demands = filters.map(([operator, ...values]) => demandOf({ matchArgs: [filter(0, operator, values)] }, 0))
  const entries = demands.flatMap((demand, bit) => (demand === undefined ? [] : [[bit, demand] as const]))
  return { tree: writePathTree(new Map(entries), tables), tables }
}

/** One line for each node: its way from the root (`/`) or from the ends (`$`), its selectors (`=` here, `>` below), and the lengths of open names. */
function show({ tree, tables }: ReturnType<typeof treeOf>): string[] {
  const lines: string[] = []
  const visit = (way: string, { id, here, below, open }: EdgeTarget): void => {
    const lengths = [1, 2, 3, 4, 5, 6, 7, 8].filter((n) => (open & (1 << (n - 1))) !== 0)
    const sets = `= {${members(setIn(tables, here))}} > {${members(setIn(tables, below))}}`
    lines.push(`${way} ${sets}${lengths.length === 0 ? '' : ` open ${lengths.join(' ')}`}`)
    for (const edge of tables.edges) {
      if (edge.node === id)
        visit(way.endsWith('/') || way === '$' ? way + showWord(edge) : `${way}/${showWord(edge)}`, edge.to)
    }
  }
  visit(`/${tree.shared.map(showWord).join('/')}`, tree.root)
  visit('$', { id: tree.suffix, here: 0, below: 0, open: tree.suffixOpen })
  return lines.filter((line) => line !== '$ = {} > {}')
}

const TREES: ReadonlyArray<readonly [what: string, Filters, want: string[]]> = [
  ['everything below the root', [['Prefix', '/']], ['/ = {} > {0}']],
  ['a prefix inside a name', [['Prefix', '/etc']], ['/ = {} > {} open 3', '/etc… = {0} > {}']],
  ['a folder', [['Prefix', '/etc/']], ['/etc = {} > {0}']],
  ['one file', [['Equal', '/etc/passwd']], ['/etc/passwd = {0} > {}']],
  [
    'what a node allows, all below it allow',
    [
      ['Prefix', '/etc/'],
      ['Equal', '/etc/passwd', '/etc/ssh/config'],
      ['Prefix', '/etc/ssh/k'],
    ],
    [
      '/etc = {} > {0}',
      '/etc/passwd = {0 1} > {0}',
      '/etc/ssh = {0} > {0} open 1',
      '/etc/ssh/config = {0 1} > {0}',
      '/etc/ssh/k… = {0 2} > {0}',
    ],
  ],
  [
    'the root allows all',
    [
      ['Prefix', '/'],
      ['Equal', '/a'],
    ],
    ['/ = {} > {0}', '/a = {0 1} > {0}'],
  ],
  [
    'names of eight bytes, alike or not',
    [
      ['Equal', '/abcdefgh'],
      ['Equal', '/abcdefghi'],
      ['Equal', '/abcdefghj'],
      ['Prefix', '/abcdefgh'],
      ['Prefix', '/abcdefghi'],
      ['Prefix', '/abcdefg'],
    ],
    [
      '/ = {} > {} open 7 8',
      '/abcdefgh = {0} > {}',
      // Beyond eight bytes only lengths differ.
      '/abcdefgh of 9 = {1 2} > {}',
      '/abcdefgh… = {3 4} > {}',
      '/abcdefg… = {5} > {}',
    ],
  ],
  [
    'seven components, and more of them',
    [
      ['Equal', '/1/2/3/4/5/6/7'],
      ['Equal', '/1/2/3/4/5/6/7/8'],
      ['Prefix', '/1/2/3/4/5/6/7/'],
      ['Prefix', '/1/2/3/4/5/6/7/8'],
      ['Prefix', '/1/2/3/4/5/6/7/8/9/'],
      ['Prefix', '/1/2/3/4/5/6/7'],
    ],
    ['/1/2/3/4/5/6 = {} > {} open 1', '/1/2/3/4/5/6/7 = {0} > {1 2 3 4}', '/1/2/3/4/5/6/7… = {5} > {}'],
  ],
  [
    'ends of names, and whole last names',
    [
      ['Postfix', '.c'],
      ['Postfix', 'long-name.conf'],
      ['Postfix', '/passwd'],
      ['Postfix', 'ssh/very-long-name'],
      ['Postfix', 'x/'],
    ],
    [
      '/ = {} > {}',
      '$ = {} > {} open 2 8',
      '$.c… = {0} > {}',
      '$ame.conf… = {1} > {}',
      '$passwd = {2} > {}',
      '$ong-name of 14 = {3} > {}',
    ],
  ],
  [
    'a value that may be the mark of unlinked files is left open',
    [
      ['Equal', '/a/x (deleted)'],
      ['Prefix', '/b/x (del'],
      ['Equal', '/c/x '],
      ['Equal', '/d/ (deleted)'],
      ['Equal', '/ (deleted)'],
      ['Equal', '/e/x (deleted) (deleted)'],
      ['Prefix', '/d/ '],
    ],
    [
      '/ = {} > {}',
      '/a = {} > {} open 1',
      '/a/x… = {0} > {}',
      '/b = {} > {} open 1',
      '/b/x… = {1} > {}',
      '/c = {} > {} open 1',
      '/c/x… = {2} > {}',
      // The mark follows a name, so these are names themselves.
      '/d = {} > {} open 1',
      '/d/ (delete of 10 = {3} > {}',
      '/d/ … = {6} > {}',
      '/ (delete of 10 = {4} > {}',
      '/e = {} > {} open 8',
      '/e/x (delet… = {5} > {}',
    ],
  ],
  [
    'values that no path can have',
    [
      ['Equal', '/etc/', 'etc', '/a//b'],
      ['Prefix', '//', 'etc'],
    ],
    ['/ = {} > {}'],
  ],
  ['one selector with one way twice', [['Prefix', '/a/', '/a/', '/a/b/']], ['/a = {} > {0}', '/a/b = {0} > {0}']],
]

for (const [what, filters, want] of TREES) {
  test(`path tree: ${what}`, () => assert.deepEqual(show(treeOf(filters)), want))
}

const FIRST: ReadonlyArray<readonly [what: string, Filters, first: (bits: bigint) => boolean]> = [
  [
    'a bit for each first component',
    [
      ['Prefix', '/etc/', '/usr/x/'],
      ['Equal', '/etc/b'],
    ],
    (bits) => ones(bits) === 2,
  ],
  ['none without a prefix', [['Postfix', 'a']], (bits) => bits === 0n],
  ['all when names are open', [['Prefix', '/et']], (bits) => bits === ALL_BITS],
  ['all when everything may match', [['Prefix', '/']], (bits) => bits === ALL_BITS],
]

function ones(bits: bigint): number {
  return [...bits.toString(2)].filter((bit) => bit === '1').length
}

for (const [what, filters, first] of FIRST) {
  test(`path tree: bits of first components: ${what}`, () => {
    const { tree } = treeOf(filters)
    for (const bits of tree.first) assert.ok(first(bits), bits.toString(2))
  })
}

test('path tree: beside ten folders, few other names cost a look-up', () => {
  const names = Array.from({ length: 10 }, (_, n) => `of-${n}`)
  const { first } = treeOf([['Prefix', ...names.map((name) => `/srv/${name}/`)]]).tree
  const passes = (name: string): boolean => {
    const word = Buffer.from(name.padEnd(8, '\0')).readBigUInt64LE()
    const hashed = hash(word + BigInt(name.length))
    return [58n, 52n].every((shift, i) => (((first[i] ?? 0n) >> ((hashed >> shift) & 63n)) & 1n) === 1n)
  }
  assert.deepEqual(names.filter(passes), names)
  const others = Array.from({ length: 10_000 }, (_, n) => `f${n}`)
  const part = others.filter(passes).length / others.length
  assert.ok(part < 0.05, `${part} of other names pass`)
})

test('path tree: trees of several functions share the tables, not the nodes', () => {
  const tables = new Tables()
  const demand = demandOf({ matchArgs: [filter(0, 'Prefix', ['/etc/ssh/', '/var/'])] }, 0)
  assert.ok(demand !== undefined)
  const trees = [0, 1].map(() => writePathTree(new Map([[0, demand]]), tables))
  const ids = [...trees.flatMap(({ root, suffix }) => [root.id, suffix]), ...tables.edges.map(({ to }) => to.id)]
  // 0: nothing is below.
  const inner = ids.filter((id) => id !== 0)
  assert.deepEqual([ids.length, inner.length, new Set(inner).size], [10, 6, 6])
})

test('path tree: of several filters on the path, the tree has the one with the fewest values', () => {
  const matchArgs = [filter(0, 'Prefix', ['/a/', '/b/']), filter(0, 'Postfix', ['.c']), filter(1, 'Prefix', ['/d/'])]
  const suffixes = [{ bytes: Buffer.from('.c'), exact: false }]
  assert.deepEqual(demandOf({ matchArgs }, 0), {
    prefixes: [],
    suffixes,
    parts: [],
    ignoreCase: false,
    decides: undefined,
  })
})

test('path tree: components that all values begin with are constants', () => {
  const rows: ReadonlyArray<readonly [filters: Filters, shared: string]> = [
    [[['Prefix', '/etc/']], 'etc'],
    [[['Prefix', '/run/watched/']], 'run/watched'],
    [[['Equal', '/run/watched']], 'run/watched'],
    [[['Equal', '/etc/ssh/a', '/etc/ssh/b']], 'etc/ssh'],
    [
      [
        ['Prefix', '/etc/ssh/'],
        ['Equal', '/etc/passwd'],
        ['Postfix', '.c'],
      ],
      'etc',
    ],
    [
      [
        ['Prefix', '/etc/'],
        ['Prefix', '/etc/ssh/'],
      ],
      'etc',
    ],
    [[['Prefix', '/etc/ss']], 'etc'],
    [[['Prefix', '/1/2/3/4/5/6/7/8/']], '1/2/3/4/5/6'],
    [[['Prefix', '/etc/', '/var/']], ''],
    [[['Prefix', '/etc']], ''],
    [[['Prefix', '/']], ''],
    [[['Postfix', '.c']], ''],
  ]
  for (const [filters, shared] of rows) {
    assert.equal(treeOf(filters).tree.shared.map(showWord).join('/'), shared, JSON.stringify(filters))
  }
})
