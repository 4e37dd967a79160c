/** struct hook as bytes. Whole hooks against golden files, and the numbers one by one. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { emptySets, hookBytes } from '../../../../collector/kernel/layout.ts'
import type { FilterSets } from '../../../../collector/kernel/layout.ts'
import {
  ARG_TYPES,
  FILTER,
  HOOK,
  FILTERS_MAX,
  PREFIXES_MAX,
  SELECTORS_MAX,
  NO_ARG,
  OPS,
  SELECTOR,
  PATH_SCREEN,
} from '../../../../collector/kernel/wire.ts'
import { parsePolicy } from '../../../../config/policy/parse.ts'
import type { Operator } from '../../../../config/policy/operators.ts'
import type { KprobeSpec } from '../../../../config/policy/policy.ts'
import { matchesGolden } from '../../exporters/support/golden.ts'
import { arg, filter, numberFilter, spec } from '../support/specs.ts'

const ROOT = join(import.meta.dirname, '../../../..')

/** Eight bytes a line, zeroes left out: what a reviewer of the golden file can follow with wire.ts beside. */
function dump(bytes: Buffer): string[] {
  const lines: string[] = []
  for (let at = 0; at < bytes.length; at += 8) {
    const eight = bytes.subarray(at, at + 8)
    if (eight.some((byte) => byte !== 0)) lines.push(`${String(at).padStart(5)}: ${eight.toString('hex')}`)
  }
  return lines
}

function golden(file: string): string {
  const parsed = parsePolicy(readFileSync(join(ROOT, file), 'utf8'), file)
  assert.ok('policy' in parsed)
  const sets = emptySets()
  const lines = parsed.policy.hooks.flatMap((kprobe, i) => [`${kprobe.call}`, ...dump(hookBytes(i + 1, kprobe, sets))])
  for (const { filter: id, number } of sets.numbers) lines.push(`numbers ${id} ${number}`)
  for (const { filter: id, bytes } of sets.texts) lines.push(`texts ${id} ${bytes.toString('hex')}`)
  for (const { filter: id, bytes } of sets.suffixes) lines.push(`suffixes ${id} ${bytes.toString('hex')}`)
  return `${lines.join('\n')}\n`
}

test('layout: the bytes of the sample policy', () => {
  matchesGolden('hooks-file-monitoring.txt', golden('config/policies/file-monitoring.yaml'))
})

test('layout: the bytes of a policy that has everything', () => {
  matchesGolden('hooks-everything.txt', golden('test/fixtures/policies/good/everything.yaml'))
})

const first = HOOK.selectors + SELECTOR.filters
const filterAt = (s: number, f: number): number => first + s * SELECTOR.bytes + f * FILTER.bytes

function numbersOf(bytes: Buffer, at = first): bigint[] {
  return Array.from({ length: bytes[at + FILTER.count] ?? 0 }, (_, i) =>
    bytes.readBigUInt64LE(at + FILTER.numbers + 8 * i),
  )
}

const onNumber = (type: string, operator: Operator, values: readonly bigint[]): KprobeSpec =>
  spec({ args: [arg(0, type)], selectors: [{ matchArgs: [numberFilter(0, operator, values)] }] })

const NUMBERS: ReadonlyArray<readonly [type: string, op: Operator, values: bigint[], code: number, want: bigint[]]> = [
  ['int', 'Equal', [-1n, 0n, 2n], OPS.Equal, [0xffff_ffff_ffff_ffffn, 0n, 2n]],
  ['int', 'NotEqual', [-(2n ** 31n)], OPS.NotEqual, [0xffff_ffff_8000_0000n]],
  ['int', 'Equal', [2n ** 31n - 1n], OPS.Equal, [0x7fff_ffffn]],
  ['uint32', 'NotEqual', [0xffff_ffffn], OPS.NotEqual, [0xffff_ffffn]],
  ['uint64', 'Equal', [2n ** 64n - 1n, 1n, 2n, 3n], OPS.Equal, [0xffff_ffff_ffff_ffffn, 1n, 2n, 3n]],
  ['size_t', 'Mask', [1n, 4n, 2n ** 63n], OPS.Mask, [0x8000_0000_0000_0005n]],
  ['int', 'Mask', [-(2n ** 31n)], OPS.Mask, [0xffff_ffff_8000_0000n]],
  ['sint8', 'GreaterThan', [5n, -3n, 7n, 1n, 2n], OPS.GreaterThan, [0xffff_ffff_ffff_fffdn]],
  ['uint64', 'LessThan', [2n ** 63n, 1n], OPS.LessThan, [2n ** 63n]],
  ['int8', 'Equal', [-128n, 127n], OPS.Equal, [0xffff_ffff_ffff_ff80n, 127n]],
  ['uint16', 'NotEqual', [0xffffn], OPS.NotEqual, [0xffffn]],
  ['long', 'Equal', [-(2n ** 63n)], OPS.Equal, [2n ** 63n]],
  ['uint32', 'Mask', [1n, 2n, 4n, 8n, 16n, 32n], OPS.Mask, [63n]],
]

for (const [type, op, values, code, want] of NUMBERS) {
  test(`layout: ${op} ${values.join(', ')} on ${type}`, () => {
    const sets = emptySets()
    const bytes = hookBytes(1, onNumber(type, op, values), sets)
    assert.equal(bytes[first + FILTER.op], code)
    assert.deepEqual(numbersOf(bytes), want)
    assert.deepEqual(sets, { ...emptySets(), lastFilter: 1 })
  })
}

test('layout: more numbers than the constants hold all go to the map, with a count that shows it', () => {
  const sets = emptySets()
  const bytes = hookBytes(1, onNumber('int', 'Equal', [-1n, 0n, 1n, 2n, 3n]), sets)
  assert.equal(bytes[first + FILTER.count], 0)
  assert.deepEqual(
    sets.numbers,
    [2n ** 64n - 1n, 0n, 1n, 2n, 3n].map((number) => ({ filter: 1, number })),
  )
})

test('layout: texts go to the map as bytes, those of Postfix reversed; ids count over all hooks of an object', () => {
  const sets: FilterSets = emptySets()
  const hook = spec({
    selectors: [
      { matchArgs: [filter(0, 'Prefix', ['/é']), filter(0, 'NotEqual', ['/a', '/b'])] },
      { matchArgs: [filter(0, 'NotPostfix', ['.ü'])] },
    ],
  })
  const one = hookBytes(1, hook, sets)
  hookBytes(2, hook, sets)
  assert.deepEqual(
    sets.texts.slice(0, 3).map(({ filter: id, bytes }) => [id, String(bytes)]),
    [
      [1, '/é'],
      [2, '/a'],
      [2, '/b'],
    ],
  )
  assert.deepEqual(sets.suffixes, [
    { filter: 3, bytes: Buffer.from([0xbc, 0xc3, 0x2e]) },
    { filter: 6, bytes: Buffer.from([0xbc, 0xc3, 0x2e]) },
  ])
  assert.equal(sets.lastFilter, 6)
  assert.deepEqual(
    [filterAt(0, 0), filterAt(0, 1), filterAt(1, 0)].map((at) => [
      one.readUInt32LE(at + FILTER.id),
      one[at + FILTER.op],
    ]),
    [
      [1, OPS.Prefix],
      [2, OPS.NotEqual],
      [3, OPS.NotPostfix],
    ],
  )
  assert.deepEqual(
    [0, 1].map((s) => one.readUInt32LE(HOOK.selectors + s * SELECTOR.bytes + SELECTOR.count)),
    [2, 1],
  )
})

test('layout: arguments by position, with index and type; the return type only if configured', () => {
  const args = [arg(4, 'string'), arg(0, 'nop'), arg(2, 'uint64'), arg(1, 'path'), arg(3, 'uint32')]
  const returnArg = arg(0, 'int')
  const bytes = hookBytes(0xfeed_beef, spec({ syscall: true, args, return: true, returnArg }), emptySets())
  assert.equal(bytes.length, HOOK.bytes)
  assert.equal(bytes.readUInt32LE(HOOK.id), 0xfeed_beef)
  assert.deepEqual([bytes[HOOK.nargs], bytes[HOOK.syscall], bytes[HOOK.nselectors]], [5, 1, 0])
  assert.deepEqual([...bytes.subarray(HOOK.argIndex, HOOK.argIndex + 5)], [4, 0, 2, 1, 3])
  const types = [ARG_TYPES.string, ARG_TYPES.nop, ARG_TYPES.u64, ARG_TYPES.path, ARG_TYPES.u32]
  assert.deepEqual([...bytes.subarray(HOOK.argType, HOOK.argType + 5)], types)
  assert.equal(bytes[HOOK.returnType], ARG_TYPES.s32)
  assert.equal(bytes[HOOK.screen + PATH_SCREEN.arg], NO_ARG)
  assert.equal(hookBytes(1, spec({ returnArg }), emptySets())[HOOK.returnType], ARG_TYPES.nop)
})

test('layout: the largest hook that a policy allows fits into its struct', () => {
  const values = Array.from({ length: PREFIXES_MAX }, (_, i) => `/${i}/b/c/d/e/f/g/h/i`)
  const matchArgs = Array.from({ length: FILTERS_MAX }, () => filter(0, 'Prefix', values))
  const selectors = Array.from({ length: SELECTORS_MAX }, () => ({ matchArgs }))
  const bytes = hookBytes(1, spec({ selectors }), emptySets())
  assert.equal(bytes.length, HOOK.bytes)
  assert.equal(bytes[HOOK.screen + PATH_SCREEN.nprefixes], PREFIXES_MAX)
})
