/** Statistics of the verifier: what log.c writes, the guard, and the page. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { withTables, written } from '../verifier/guard.ts'
import { compare, largest, programsOf, tables } from '../verifier/statistics.ts'
import type { Measured } from '../verifier/statistics.ts'
import { read } from './support/pages.ts'

const load = (name: string, walked: number): string =>
  `program ${name} 120\nverification time 5758 usec\nstack depth 16+40\n` +
  `processed ${walked} insns (limit 1000000) max_states_per_insn 4 total_states 90 peak_states 30 mark_read 7\n\n`

const program = (name: string, walked: number): Measured => ({
  name,
  size: 120,
  walked,
  states: 90,
  peak: 30,
  stack: '16+40',
  usec: 5758,
})

test('verifier: loads are read, those of libbpf itself are not', () => {
  const text = `${load('', 2)}${load('symbols', 4)}${load('hook_entry_12', 70)}${load('file_link', 8)}`
  assert.deepEqual(programsOf(text), [program('hook_entry', 70), program('file_link', 8)])
})

test('verifier: stacks are read in the form of Linux 7.x too', () => {
  const newer =
    'stack depth max 56\nsubprog 0 (a) main insns_self 4 insns_total 9 stack 16\nsubprog 1 (b) global insns_self 5 insns_total 5 stack 40'
  assert.deepEqual(programsOf(load('file_link', 8).replace('stack depth 16+40', newer)), [program('file_link', 8)])
})

test('verifier: a load without statistics is an error, and not a program of no cost', () => {
  assert.throws(
    () => programsOf('program hook_entry_0 9\n\n'),
    /expected the verifier's statistics about program hook_entry_0/,
  )
})

test('verifier: the load that walks longest counts', () => {
  const found = largest([program('b', 5), program('a', 3), program('b', 9), program('b', 7)])
  assert.deepEqual(found, [program('a', 3), program('b', 9)])
})

const ROWS = [
  { name: 'the same', is: [program('a', 1000)], failures: [], hints: [] },
  { name: 'at the bound', is: [program('a', 1050)], failures: [], hints: [] },
  { name: 'above it', is: [program('a', 1051)], failures: ['a: 1000 → 1051 instructions'], hints: [] },
  { name: 'better', is: [program('a', 900)], failures: [], hints: ['a: 1000 → 900 instructions'] },
  { name: 'not loaded', is: [], failures: ['a: it was not loaded'], hints: [] },
  // It has no count to compare with until the file has it.
  {
    name: 'a new program',
    is: [program('a', 1000), program('c', 1)],
    failures: [],
    hints: ['c: new → 1 instructions'],
  },
]
for (const { name, is, failures, hints } of ROWS) {
  test(`verifier: guard: ${name}`, () => {
    assert.deepEqual(compare([program('a', 1000)], is), { failures, hints })
  })
}

test('verifier: the tables have a program that only one kernel loads', () => {
  const text = tables({
    '6.12': { kernel: '6.12.1', programs: [program('a', 1234)] },
    '6.1': { kernel: '6.1.2', programs: [program('b', 5)] },
  })
  assert.match(
    text,
    /^\| program \| 6\.1 \| 6\.12 \|\n\|---\|---\|---\|\n\| `a` \| – \| 1,234 \|\n\| `b` \| 5 \| – \|$/m,
  )
  assert.match(text, /^\| `a` \| – \| 120 · 90 · 30 · 40 · 6 \|$/m)
})

test('verifier: the page has the programs of the file, on all kernels, within the limits of kernels', () => {
  const file = written()
  const page = read('docs/reference/verifier.md')
  assert.equal(page, withTables(page, file))
  assert.deepEqual(Object.keys(file.kernels).toSorted(), ['5.10', '6.1', '6.12', '7.3'])
  for (const { programs } of Object.values(file.kernels)) {
    assert.ok(programs.length > 15)
    for (const { name, walked } of programs) assert.ok(walked > 0 && walked < 1_000_000, name)
  }
})
