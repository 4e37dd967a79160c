/** Messages of commits: the form of the subject, a body where the change is long, and plain words. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { problemsOfCommit } from '../../support/lint/commits.ts'

const commit = (subject: string, body = '', lines = 10): string[] => problemsOfCommit({ subject, body, lines })

test('commits: a subject has an area and at most 72 columns', () => {
  assert.deepEqual(commit('collector/policies: a refused version changes nothing'), [])
  assert.deepEqual(commit('bpf, native: records are aligned'), [])
  assert.deepEqual(commit('Fix the tests'), ['expected "area: what it does"'])
  assert.deepEqual(commit('test: runs end.'), ['expected no period at its end'])
  assert.deepEqual(commit(`test: ${'x'.repeat(67)}`), ['73 columns, at most 72'])
})

test('commits: a long change must have a body', () => {
  assert.deepEqual(commit('docs: the index has all pages', '', 61), [
    '61 lines change without a body: write why, and what was measured',
  ])
  assert.deepEqual(commit('docs: the index has all pages', 'Two pages could not be reached.', 61), [])
})

test('commits: sentences begin with their subject and are short', () => {
  const [clause = ''] = commit('docs: the index has all pages', 'What was missing is there.')
  assert.match(clause, /^"What": write the subject first/)
  const [long = ''] = commit('docs: the index has all pages', `Pages ${'and pages '.repeat(13)}are there.`)
  assert.match(long, /^29 words in one sentence, at most 25/)
  assert.deepEqual(commit('docs: the index has all pages', 'Why: readers.\n\nSigned-off-by: What Of <a@b>'), [])
})
