/** The rules of plain words, by pairs of before and after. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MOST_WORDS, problemsAtStart, problemsOf, sentences, wordsOf } from '../../support/lint/prose.ts'

const PAIRS: readonly (readonly [not: string, but: string])[] = [
  [
    'What even then is not known passes every filter on the program.',
    'If the program is still unknown, the call passes every program filter.',
  ],
  ['Of an end the last byte is the highest.', 'In suffix tries, the last byte is the most significant.'],
  ['Of bytes that are no UTF-8.', 'Number of bytes that are not valid UTF-8.'],
  ['Which argument of the function.', 'Index of the function’s argument.'],
  ['Who is in no pod.', 'Processes outside of pods'],
  ['None of them is read twice.', 'No record is read twice.'],
  ['Those that wait are counted.', 'Waiting events are counted.'],
  ['Policies ask for a return value.', 'Policies require a return value.'],
  ['The record says why.', 'The record has the reason.'],
  ['It waits, for the sink is away.', 'It waits because the sink is away.'],
  ['A call takes a twelfth less time.', 'Calls are 8 % faster.'],
  ['Calls that return what is asked for.', 'Calls with a listed return value.'],
]

for (const [not, but] of PAIRS) {
  test(`prose: "${but}" instead of "${not}"`, () => {
    assert.equal(problemsOf(not).length, 1)
    assert.deepEqual(problemsOf(but), [])
  })
}

test('prose: a comment names the other function instead of "The same"', () => {
  assert.equal(problemsAtStart('The same of a promise.').length, 1)
  assert.deepEqual(problemsAtStart('Rejects as `fails` throws. The same holds for a timeout.'), [])
  assert.deepEqual(problemsOf('The same holds for a timeout.'), [])
})

test('prose: a question may begin with its question word', () => {
  assert.deepEqual(problemsOf('Which kernels does it run on?'), [])
})

test('prose: sentences end at a period, colon and semicolon; drawings and lists are apart', () => {
  assert.deepEqual(sentences('One idea a sentence. A second one follows: it is short; and a third.'), [
    'One idea a sentence.',
    'A second one follows:',
    'it is short;',
    'and a third.',
  ])
  assert.deepEqual(
    sentences('The way of an event:\n\n  ring ─▶ source\n  drawn by hand, not read\n\nThe end is near.'),
    ['The way of an event:', 'The end is near.'],
  )
})

test('prose: a list of names counts as one word', () => {
  const list = Array.from({ length: 30 }, (_, i) => `type${i}`).join(', ')
  const [sentence = ''] = sentences(`expected one of ${list}, got nothing`)
  assert.ok(wordsOf(sentence) < MOST_WORDS, sentence)
})
