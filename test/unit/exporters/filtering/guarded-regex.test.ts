import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { GuardedRegex } from '../../../../exporters/filtering/guarded-regex.ts'
import { ExportError } from '../../../../exporters/errors.ts'

const regex = (pattern: string): GuardedRegex => new GuardedRegex(pattern, (problem) => assert.fail(problem))

// The first rows are those of Tetragon's own tests.
const REDACTIONS: ReadonlyArray<readonly [pattern: string, text: string, want: string]> = [
  ['(ab)cd', 'abcd', '*****cd'],
  ['(ab)cd', 'cdef', 'cdef'],
  ['(ab)cd', 'abef', 'abef'],
  ['(?:--password|-p)\\s+(\\S+)', '--password fooBarQuxBaz!', '--password *****'],
  ['(?:--password|-p)\\s+(\\S+)', '-p fooBarQuxBaz!', '-p *****'],
  ['(?:--password|-p)\\s+(\\S+)', 'innocent', 'innocent'],
  ['(foo(bar))qux', 'foobarqux', '*****qux'],
  ['(a)(b)', 'xabab', 'x********************'],
  ['(a)x|(b)y', 'ax by', '*****x *****y'],
  ['k=(\\w*)', 'k= k=v', 'k=***** k=*****'],
  ['(?i)TOKEN=(\\S+)', 'token=1 Token=2', 'token=***** Token=*****'],
  ['(?P<word>é+)', 'caféé au lait', 'caf***** au lait'],
  ['((a)(b))c', 'abc', '*****c'],
  ['(.)', '😀x', '**********'],
  ['no (group)? here', 'no  here', 'no  here'],
]

describe('guarded regex', () => {
  for (const [pattern, text, want] of REDACTIONS) {
    it(`redacts ${JSON.stringify(text)} by ${pattern}`, () => assert.equal(regex(pattern).redact(text), want))
  }

  it('tests anywhere in the text, again and again the same', () => {
    const found = regex('b')
    assert.deepEqual(
      ['abc', 'abc', 'ac', 'b', ''].map((text) => found.test(text)),
      [true, true, false, true, false],
    )
  })

  it('refuses what does not compile', () => {
    assert.throws(
      () => regex('(a'),
      (error) => error instanceof ExportError && error.code === 'UNUSABLE',
    )
  })

  it('gives up on a text that is too hard, hides all of it, and in the end does not try any more', () => {
    const said: string[] = []
    const slow = new GuardedRegex('(a+)+$', (problem) => said.push(problem))
    const hostile = `${'a'.repeat(60)}!`
    const startMs = performance.now()
    for (let i = 0; i < 500; i++) assert.equal(slow.redact(hostile), '*****')
    // 10 tries of 50 ms; all 500 would be 25 s.
    assert.ok(performance.now() - startMs < 5000)
    assert.equal(slow.test(hostile), undefined)
    assert.equal(slow.test('aaa'), true)
    assert.equal(said.length, 2)
    assert.match(said[1] ?? '', /10 times by now; it is not tried any more on texts above 23 characters/)
  })

  it('answers under the deadline what is long but easy', () => {
    assert.equal(regex('(?:x+y+)+z').test(`${'-'.repeat(5000)}xyz`), true)
    assert.equal(regex('(?:x+y+)+(z)').redact(`${'-'.repeat(50)}xyz`), `${'-'.repeat(50)}xy*****`)
  })

  it('bounds the worst of what runs without a deadline', () => {
    // Two repetitions, cubic on this text: the longest that still runs directly is short enough.
    for (const [pattern, text] of [
      ['a*a*b', 'a'.repeat(390)],
      ['\\s+$', `${' '.repeat(4000)}x`],
    ] as const) {
      const startMs = performance.now()
      assert.equal(regex(pattern).test(text), false)
      assert.ok(performance.now() - startMs < 1000)
    }
  })
})
