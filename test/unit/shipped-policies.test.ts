/** What the 83 policies that Tetragon ships need: which load, and which are refused by name. docs/policies.md has the numbers. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { parsePolicy } from '../../config/policy/parse.ts'
import { INCOMPLETE, LOADING, WAITING, policyOf, textOf } from '../support/policies/shipped.ts'

function problemsOf(text: string): string[] {
  const result = parsePolicy(text, 'p.yaml')
  return 'problems' in result ? result.problems.map(({ message }) => message) : []
}

for (const row of LOADING) {
  test(`shipped policies: ${row[0]} loads`, () => assert.deepEqual(problemsOf(textOf(policyOf(row))), []))
}

for (const row of WAITING) {
  test(`shipped policies: ${row[0]} is refused for what is not supported, and for nothing else`, () => {
    const problems = problemsOf(textOf(policyOf(row)))
    assert.notDeepEqual(
      problems,
      [],
      'it loads: move its row in test/support/policies/shipped.ts to LOADING, and correct the number in docs/policies.md',
    )
    assert.deepEqual(
      problems.filter((problem) => !/ is not supported /.test(problem)),
      [],
    )
  })
}

for (const [path, text, refusal] of INCOMPLETE) {
  test(`shipped policies: ${path} is refused until it is completed`, () => {
    const problems = problemsOf(text)
    assert.ok(
      problems.some((problem) => problem.includes(refusal)),
      problems.join('\n'),
    )
  })
}

test('shipped policies: each of the 83 documents once, and the page tells how many load', () => {
  const paths = [...LOADING, ...WAITING, ...INCOMPLETE].map(([path]) => path)
  assert.equal(new Set(paths).size, 83)
  assert.equal(paths.length, 83)
  const page = readFileSync(new URL('../../docs/policies.md', import.meta.url), 'utf8')
  assert.ok(page.includes(`Of the 83 policies that Tetragon ships ${LOADING.length} load`), String(LOADING.length))
})
