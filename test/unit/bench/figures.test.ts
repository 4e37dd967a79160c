/** Figures in the pages are those of test/bench/results.json. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { TABLES_PAGE, TARGETS_PAGE, pagesOf, resultsFile } from '../../bench/report.ts'
import { figure, filled, unmarked } from '../../bench/figures.ts'
import { read } from '../support/pages.ts'

const RESULTS = resultsFile()

describe('figures of the benches', () => {
  for (const [page, text] of pagesOf(RESULTS, read)) {
    it(`${page} has the figures of test/bench/results.json`, () => {
      assert.ok(read(page) === text, `${page} differs: run node test/bench/report.ts --pages and review the diff`)
    })

    if (page === TABLES_PAGE || page === TARGETS_PAGE) continue
    it(`${page}: every measured figure names its row in test/bench/results.json`, () => {
      assert.deepEqual(unmarked(text), [])
    })
  }

  it('each measure has a name of its own in its bench', () => {
    for (const { bench, measures } of RESULTS) {
      const names = measures.map(({ name }) => name)
      assert.deepEqual([bench, names], [bench, [...new Set(names)]])
    }
  })

  it('a figure keeps its decimals and its unit', () => {
    const measures = [{ name: 'a → b', value: 5.126, unit: 'µs' }]
    const table = { title: 'T', columns: ['', 'RSS, MB'], rows: [['gzip, 1', '1,234.5']], notes: [] }
    const [first] = RESULTS
    assert.ok(first !== undefined)
    const results = [{ ...first, bench: 'x', measures, tables: [table] }]
    const page =
      '9 µs<!-- bench: x > a → b -->, 4.1 µs of CPU<!-- bench: x > a → b --> and 7 MB<!-- bench: x > gzip, 1 > RSS, MB -->.'
    const want =
      '5 µs<!-- bench: x > a → b -->, 5.1 µs of CPU<!-- bench: x > a → b --> and 1,235 MB<!-- bench: x > gzip, 1 > RSS, MB -->.'
    assert.equal(filled(page, results), want)
    assert.equal(filled(want, results), want)
    assert.equal(filled('9\nµs<!-- bench: x > a → b -->', results), '5\nµs<!-- bench: x > a → b -->')
    for (const key of ['y > a → b', 'x > b', 'x > gzip, 1 > CPU', 'x > gzip, 2 > RSS, MB'])
      assert.throws(() => figure(results, key), /expected one figure of test\/bench\/results.json, got 0/)
  })

  it('a page names the commit that a bench measured', () => {
    const [first] = RESULTS
    assert.ok(first !== undefined)
    const results = [{ ...first, bench: 'x', commit: 'abc1234+' }]
    assert.equal(filled('of `old`<!-- bench commit: x -->.', results), 'of `abc1234+`<!-- bench commit: x -->.')
    assert.throws(() => filled('`old`<!-- bench commit: y -->', results), /"bench commit: y": expected a bench/)
    assert.match(
      read('docs/explanation/comparison.md'),
      /<!-- bench commit: tetragon -->.*<!-- bench commit: agent -->/s,
    )
  })

  it('a typed figure is found', () => {
    for (const text of [
      'takes 4.2 µs an event',
      '1,148 ns',
      'cost 6 % of a core',
      '109 MB resident',
      'a few µs<!-- bench: x > y -->',
    ])
      assert.equal(unmarked(text).length, 1, text)
    for (const text of ['5 ms', '16 MiB', '80 % of the limits', '`4 µs`', '3 MB/s', '4 µs<!-- not of make bench -->'])
      assert.deepEqual(unmarked(text), [], text)
  })
})
