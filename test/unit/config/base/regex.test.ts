import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseRedaction, parseRegex } from '../../../../config/base/regex.ts'
import { cpuMs } from '../../../support/measure/cpu.ts'

const REFUSED: ReadonlyArray<readonly [pattern: string, why: RegExp]> = [
  ['*a', /^expected a regular expression of RE2 \(missing argument to repetition operator: `\*`\)$/],
  ['a(', /\(missing closing \): `a\(`\)$/],
  ['a{1001}', /\(invalid repeat count: `\{1001\}`\)$/],
  ['\\cX', /\(invalid escape sequence: `\\c`\)$/],
  ['(?=a)b', /\(invalid or unsupported Perl syntax: `\(\?=`; RE2 has neither look-around nor back-references\)$/],
  ['(?!a)b', /; RE2 has neither/],
  ['(?<=a)b', /; RE2 has neither/],
  ['(?<!a)b', /; RE2 has neither/],
  ['(a)\\1', /\(invalid escape sequence: `\\1`; RE2 has neither look-around nor back-references\)$/],
  ['('.repeat(100_000), /^expected a regular expression of RE2 \(/],
]

describe('regular expressions of a config', () => {
  for (const [pattern, why] of REFUSED) {
    it(`${pattern.slice(0, 10)} is refused`, () => {
      const parsed = parseRegex(pattern)
      assert.ok(typeof parsed === 'string')
      assert.match(parsed, why)
    })
  }

  it('take a time that is linear in the text', () => {
    for (const pattern of ['(a+)+[bc]', '(a|aa)*[bc]', 'a*a*a*a*[bc]', '(a*)*[bc]']) {
      const regex = parseRegex(pattern)
      assert.ok(typeof regex !== 'string')
      const fromMs = cpuMs()
      assert.equal(regex.test('a'.repeat(100_000)), false)
      // A few ms; a backtracking engine takes minutes or centuries.
      assert.ok(cpuMs() - fromMs < 5000)
    }
  })
})

describe('regular expressions for redaction', () => {
  it('have a group', () => {
    for (const pattern of ['(a)', '(?P<n>a)', '(?<n>a)', '()'])
      assert.notEqual(typeof parseRedaction(pattern), 'string')
    for (const pattern of ['a', '(?:a)', '\\(a\\)', '[(a)]', '(?i)a', '(?i:a)', '\\Q(a)\\E']) {
      assert.match(String(parseRedaction(pattern)), /^expected a group around the text to replace/)
    }
  })

  // RE2 captures only the last repetition of a group, so earlier ones would be shown.
  const repeated = [
    '(?:-u (\\S+) ?|-p (\\S+) ?)+',
    '(a)*',
    '(a)+?',
    '(?P<n>a){2}',
    '(?<n>a){1,}',
    '(?:x(?:y(z))?){0,3}',
    '((a)|b)+',
    '(?:(a)?)*',
    '[)](a)+',
    '[])](a)+',
    '[^])](a)+',
    '[[:alpha:])](a)+',
    '\\Q)\\E(a)+',
    '(a)\\Q\\E+',
    '(a)(?i)+',
    '(a)?(?i)+',
    '(?i:(a))+',
  ]
  for (const pattern of repeated) {
    it(`${pattern} is refused for its repeated group`, () =>
      assert.match(
        String(parseRedaction(pattern)),
        /^expected no group inside of a repetition, because only its last round would be replaced \(remove/,
      ))
  }

  const single = [
    '(a+)',
    '(?:a|b)+(c)',
    '(c)(?:a|b)+',
    '(a)?',
    '(a)??',
    '(?:(a)|(b)){0,1}',
    '(a){1}',
    '(a){1,1}',
    '(a)\\*',
    '(a)[*]',
    '(a)\\x{41}',
    '(a){,3}',
    '[(a)]*(b)',
    '[](a)]+(b)',
    '\\(a\\)*(b)',
    '\\Q(a)*\\E(b)',
    '(\\Q)*\\E)',
    '([)]*)',
  ]
  for (const pattern of single) {
    it(`${pattern} is not a repeated group`, () => assert.notEqual(typeof parseRedaction(pattern), 'string'))
  }
})
