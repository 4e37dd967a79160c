/** The strict reader that checks the metrics rejects the same as a scraper. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parsePrometheus } from '../../support/prometheus.ts'

const head = '# HELP a_total Text.\n# TYPE a_total counter\n'
const histogram = '# HELP h Text.\n# TYPE h histogram\n'

test('prometheus: reads families, labels with escapes, and every kind of number', () => {
  const page =
    head +
    'a_total{x="\\"q\\" \\\\ \\n",y=""} 1\na_total 2.5e3\n\n' +
    '# HELP g \n# TYPE g gauge\ng{x="b"} -Inf\n' +
    histogram +
    'h_bucket{le="0.1"} 1\nh_bucket{le="+Inf"} 3\nh_sum 4\nh_count 3\n'
  const [a, g, h] = parsePrometheus(page)
  assert.deepEqual(a, {
    name: 'a_total',
    help: 'Text.',
    type: 'counter',
    samples: [
      { name: 'a_total', labels: { x: '"q" \\ \n', y: '' }, value: 1 },
      { name: 'a_total', labels: {}, value: 2500 },
    ],
  })
  assert.equal(g?.samples[0]?.value, -Infinity)
  assert.equal(h?.samples.length, 4)
})

const BAD: ReadonlyArray<readonly [name: string, page: string, want: RegExp]> = [
  ['no line feed at the end', `${head}a_total 1`, /no line feed/],
  ['a sample without a type', 'a_total 1\n', /before its TYPE/],
  ['a type without help', '# TYPE a_total counter\n', /does not follow its HELP/],
  ['help twice', `${head}${head}`, /second HELP/],
  ['an unknown type', '# HELP a x\n# TYPE a number\n', /type number/],
  ['a name with a dash', '# HELP a-b x\n# TYPE a-b gauge\n', /not a metric's name/],
  ['a sample of another name', `${head}b_total 1\n`, /b_total among/],
  ['no number', `${head}a_total one\n`, /not a sample/],
  ['a JavaScript Infinity', `${head}a_total Infinity\n`, /not a sample/],
  ['a quote that is not escaped', `${head}a_total{x="a"b"} 1\n`, /not labels/],
  ['a label twice', `${head}a_total{x="a",x="b"} 1\n`, /twice/],
  ['a sample twice', `${head}a_total{x="a",y="b"} 1\na_total{y="b",x="a"} 1\n`, /^twice: a_total/],
  ['buckets that shrink', `${histogram}h_bucket{le="1"} 2\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n`, /order/],
  ['bounds out of order', `${histogram}h_bucket{le="2"} 0\nh_bucket{le="1"} 1\nh_sum 1\nh_count 1\n`, /order/],
  ['no last bucket', `${histogram}h_bucket{le="1"} 1\nh_sum 1\nh_count 1\n`, /not \+Inf=1/],
  ['a count that is not the last bucket', `${histogram}h_bucket{le="+Inf"} 1\nh_sum 1\nh_count 2\n`, /not \+Inf=2/],
  ['no sum', `${histogram}h_bucket{le="+Inf"} 1\nh_count 1\n`, /no sum/],
]
for (const [name, page, want] of BAD) {
  test(`prometheus: refused: ${name}`, () => {
    assert.throws(
      () => parsePrometheus(page),
      (error) => error instanceof Error && want.test(error.message),
    )
  })
}
