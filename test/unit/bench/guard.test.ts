import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { rowsFile } from '../../bench/guard/guard.ts'
import { picture } from '../../bench/guard/history.ts'
import { compare, differing } from '../../bench/guard/rows.ts'
import type { Rows } from '../../bench/guard/rows.ts'

const VERSIONS = { kernel: '6.12.95', node: 'v24.21.0', QEMU: '7.2.22', clang: '16.0.6' }
const rowsOf = (rows: Rows['rows'], more: Partial<Rows> = {}): Rows => ({ versions: VERSIONS, rows, ...more })
const NOTHING = { failures: [], warnings: [], hints: [] }

describe('guard of instruction counts', () => {
  for (const { name, now, want } of [
    { name: 'the same', now: { miss: 1000 }, want: NOTHING },
    { name: '3 % worse', now: { miss: 1030 }, want: NOTHING },
    {
      name: 'more than 3 % worse',
      now: { miss: 1031 },
      want: { ...NOTHING, failures: ['miss: expected 1,000 instructions, got 1,031 (+3.1 %)'] },
    },
    {
      name: 'more than 3 % better',
      now: { miss: 969 },
      want: { ...NOTHING, hints: ['miss: expected 1,000 instructions, got 969 (-3.1 %)'] },
    },
    { name: 'no row', now: {}, want: { ...NOTHING, failures: ['miss: expected a row, got none'] } },
    {
      name: 'no number',
      now: { miss: Number.NaN },
      want: { ...NOTHING, failures: ['miss: expected 1,000 instructions, got NaN (NaN %)'] },
    },
    {
      name: 'a new row',
      now: { miss: 1000, hit: 5 },
      want: { ...NOTHING, hints: ['hit: new, 5 instructions'] },
    },
  ]) {
    it(`${name}: ${Object.entries(want).find(([, lines]) => lines.length > 0)?.[0] ?? 'no line'}`, () => {
      assert.deepEqual(compare(rowsOf({ miss: 1000 }), rowsOf(now)), want)
    })
  }

  it('a row that warns fails only if it is missing', () => {
    const was = rowsOf({ file: 1000, OTLP: 2000, miss: 10 })
    assert.deepEqual(compare(was, rowsOf({ file: 2000, miss: 20 }, { warns: ['file', 'OTLP'] })), {
      failures: ['OTLP: expected a row, got none', 'miss: expected 10 instructions, got 20 (+100.0 %)'],
      warnings: ['file: expected 1,000 instructions, got 2,000 (+100.0 %)'],
      hints: [],
    })
  })

  it('names each version that differs', () => {
    const is = rowsOf({}, { versions: { ...VERSIONS, kernel: '6.12.99', clang: '19.1.7' } })
    assert.deepEqual(differing(rowsOf({}), rowsOf({})), [])
    assert.deepEqual(differing(rowsOf({}), is), ['kernel 6.12.95 → 6.12.99', 'clang 16.0.6 → 19.1.7'])
    assert.deepEqual(differing(rowsOf({}, { versions: {} }), is)[0], 'kernel unknown → 6.12.99')
  })

  it('the file has numbers of each bench, and the versions for which they hold', () => {
    const file = Object.entries(rowsFile())
    assert.deepEqual(
      file.map(([name]) => name),
      ['kernel-instructions', 'user-instructions'],
    )
    for (const [name, { versions, rows, warns }] of file) {
      assert.deepEqual(
        warns?.filter((row) => rows[row] === undefined),
        [],
        name,
      )
      assert.deepEqual(Object.keys(versions), Object.keys(VERSIONS), name)
      assert.ok(
        Object.values(rows).every((row) => row > 0),
        name,
      )
    }
  })

  it('a picture has a chart for each row of the newest commit, with a point for each commit that has it', () => {
    const points = [
      { commit: 'aaaa', benches: { kernel: rowsOf({ miss: 1000, gone: 5 }) } },
      { commit: 'bbbb', benches: { kernel: rowsOf({ miss: 500, 'a < b': 7 }) } },
    ]
    const svg = picture(points)
    assert.deepEqual(svg.match(/<text[^>]*>[^<]*/g), ['<text y="16">miss: 500 (−50 %)', '<text y="16">a &lt; b: 7'])
    assert.deepEqual(svg.match(/<title>[^<]*/g), ['<title>aaaa: 1,000', '<title>bbbb: 500', '<title>bbbb: 7'])
    // From the top of the chart to half of its height.
    assert.match(svg, /<polyline points="0\.0,26\.0 320\.0,45\.0"/)
  })
})
