import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ConfigError } from '../../../../config/yaml/errors.ts'
import { Problems, formatProblem, show } from '../../../../config/yaml/problems.ts'

function count(n: number): string[] {
  const problems = new Problems('f')
  for (let i = 1; i <= n; i++) problems.add({ line: i, col: 1 }, 'x')
  return problems.list().map((problem) => problem.message)
}

describe('problems', () => {
  it('are sorted by line and column', () => {
    const problems = new Problems('f')
    problems.add({ line: 10, col: 1 }, 'd')
    problems.add({ line: 2, col: 9 }, 'b')
    problems.add({ line: 2, col: 10 }, 'c')
    problems.add({ line: 1, col: 1 }, 'a')
    assert.deepEqual(problems.list().map(formatProblem), ['f:1:1: a', 'f:2:9: b', 'f:2:10: c', 'f:10:1: d'])
  })

  it('have no position if they are about the file as a whole', () => {
    assert.equal(formatProblem({ file: 'f', line: 0, col: 0, message: 'm' }), 'f: m')
  })

  it('are one line each, for any file name', () => {
    const problem = { file: 'p\nq\x1b[2J\u202e.yaml', line: 1, col: 2, message: 'got \x9b' }
    assert.equal(formatProblem(problem), 'p\\nq\\x1b[2J\\u202e.yaml:1:2: got \\u009b')
  })

  it('stop at twenty and report the number of the others', () => {
    assert.deepEqual(
      count(20),
      Array.from({ length: 20 }, () => 'x'),
    )
    assert.equal(count(21).at(-1), 'and 1 more problem from here on: correct the ones above first')
    assert.equal(count(100_000).at(-1), 'and 99980 more problems from here on: correct the ones above first')
    assert.equal(count(100_000).length, 21)
  })

  it('show a value on one line and cut', () => {
    assert.equal(show('a\n"b"'), '"a\\n\\"b\\""')
    assert.equal(show('x'.repeat(61)), `"${'x'.repeat(57)}..."`)
    assert.equal(show('x'.repeat(60)), `"${'x'.repeat(60)}"`)
  })

  it('become the message of a ConfigError, one a line', () => {
    const problems = [
      { file: 'f', line: 1, col: 2, message: 'a' },
      { file: 'f', line: 3, col: 4, message: 'b' },
    ]
    const error = new ConfigError(problems)
    assert.equal(error.message, 'f:1:2: a\nf:3:4: b')
    assert.deepEqual([error.name, error.code, error.problems], ['ConfigError', 'CONFIG_INVALID', problems])
  })
})
