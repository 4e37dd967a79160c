import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { BEGIN, END, between, markdown, merged, plain, targets, targetsByArea } from '../../bench/report.ts'
import { rounds } from '../../bench/support/result.ts'
import type { Measure, Result } from '../../bench/support/result.ts'

const MARKED = `# A\n\n${BEGIN}\nold\n${END}\n\nrest\n`

const resultOf = (...measures: Measure[]): Result => ({
  bench: 'x',
  machine: 'm',
  kernel: 'k',
  node: 'n',
  commit: 'c',
  at: '2026-11-24T00:00:00Z',
  measures,
  tables: [],
})

describe('bench table', () => {
  it('rounds: gives their median, and the distance of the least and the largest in percent of it', () => {
    assert.deepEqual(rounds([4, 5, 3]), { value: 4, spread: 50 })
    assert.deepEqual(rounds([-4, -5, -3]), { value: -4, spread: 50 })
    assert.deepEqual(rounds([4]), { value: 4 })
  })

  it('report: replaces only the text between the markers, also when it runs again', () => {
    const once = between(MARKED, 'new table')
    assert.equal(once, `# A\n\n${BEGIN}\n\nnew table\n\n${END}\n\nrest\n`)
    assert.equal(between(once, 'new table'), once)
  })

  for (const { name, text } of [
    { name: 'no markers', text: '# A\n' },
    { name: 'only the first', text: `${BEGIN}\n` },
    { name: 'only the last', text: `${END}\n` },
    { name: 'the wrong way round', text: `${END}\n${BEGIN}\n` },
    { name: 'the first twice', text: `${BEGIN}\n${BEGIN}\n${END}\n` },
    { name: 'the last twice', text: `${BEGIN}\n${END}\n${END}\n` },
  ]) {
    it(`report: fails with a message on ${name}`, () => {
      assert.throws(() => between(text, 'x'), /^Error: expected one line "<!-- bench:begin -->"/)
    })
  }

  it('report: one bench changes its own result; a whole run keeps only the one that needs a build of Tetragon', () => {
    const of = (bench: string, commit: string): Result => ({ ...resultOf(), bench, commit })
    const shown = (results: readonly Result[]): string[] => results.map(({ bench, commit }) => `${bench} ${commit}`)
    const old = [of('agent', 'old'), of('start', 'old'), of('tetragon', 'old')]
    assert.deepEqual(shown(merged(old, [of('start', 'new')], false)), ['agent old', 'start new', 'tetragon old'])
    assert.deepEqual(shown(merged(old, [of('start', 'new')], true)), ['start new', 'tetragon old'])
  })

  it('report: shows measures with a target, and whether it is met', () => {
    const { rows, notes } = targets([
      resultOf(
        { name: 'a', value: 1.234, spread: 4.6, unit: 'µs', atMost: 2 },
        { name: 'b', value: 2.5, unit: 'µs', atMost: 2 },
        { name: 'c', value: 400_000, unit: 'events/s', atLeast: 400_000 },
        { name: 'd', value: Number.NaN, unit: 'MB', atMost: 120 },
        { name: 'no target', value: 1, unit: 'µs' },
      ),
    ])
    assert.deepEqual(rows, [
      ['a', '1.23 µs', '5 %', '≤ 2', 'yes'],
      ['b', '2.5 µs', '', '≤ 2', 'no'],
      ['c', '400,000 events/s', '', '≥ 400,000', 'yes'],
      ['d', 'NaN MB', '', '≤ 120', 'no'],
    ])
    assert.deepEqual(notes, ['2 of 4 targets are met, 2 are missed.'])
  })

  it('report: shows met targets beside missed ones', () => {
    const [, , ...lines] = targetsByArea([
      resultOf(
        { name: 'a', value: 1.2, spread: 4.6, unit: 'µs', atMost: 2 },
        { name: 'b', value: 2.5, unit: 'µs', atMost: 2 },
      ),
      resultOf({ name: 'no target', value: 1, unit: 'µs' }),
    ]).split('\n')
    assert.deepEqual(lines, [
      '|  | met | missed |',
      '|---|---|---|',
      '| x | a: 1.2 µs (≤ 2; spread 5 %) | b: 2.5 µs (≤ 2) |',
    ])
  })

  it('report: prints a table as Markdown and in columns', () => {
    const table = {
      title: 'T',
      columns: ['', 'ns'],
      rows: [
        ['a|b', '1'],
        ['c', '1,234'],
      ],
      notes: ['Note.'],
    }
    assert.equal(markdown(table), '**T**\n\n|  | ns |\n|---|--:|\n| a\\|b | 1 |\n| c | 1,234 |\n\nNote.')
    assert.equal(plain(table), 'T\n          ns\n  a|b      1\n  c    1,234\n  Note.')
  })
})
