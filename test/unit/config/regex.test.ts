import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseRegex } from '../../../config/exporters/regex.ts'

/** Pattern as RE2 knows it, texts that it matches, texts that it does not. */
const SAME: ReadonlyArray<readonly [pattern: string, yes: readonly string[], no: readonly string[]]> = [
  ['^/usr/bin', ['/usr/bin/vi'], ['/bin/usr/bin']],
  ['mysql$', ['/bin/mysql'], ['mysqld']],
  ['(?i)pass', ['PASS', 'pAss'], ['pas']],
  ['(?im)^pass', ['x\nPASS'], ['xpass']],
  ['(?s)a.b', ['a\nb'], ['ab']],
  ['a.b', ['a😀b'], ['a\nb']],
  ['x(?i:abc)', ['xABC'], ['XABC']],
  ['\\-\\-user\\=\\"a\\"', ['--user="a"'], ['-user="a"']],
  ['[\\-\\_a]+$', ['-_a'], ['-_b']],
  ['[^/]+\\.so', ['x.so'], ['xso', '.so']],
  ['(?P<name>a)b', ['ab'], ['ba']],
  ['\\Aab\\z', ['ab'], ['ab\n', 'xab']],
  ['(?m)\\Aab\\z', ['ab'], ['ab\nx', 'x\nab']],
  ['\\pL\\PN', ['éé'], ['11']],
  ['\\x{1F600}\\a', ['😀\x07'], ['x']],
  ['[(?:]+$', ['(?:'], ['(?:)']],
  ['\\/\\.\\*', ['/.*'], ['/xx']],
]

const REFUSED: ReadonlyArray<readonly [pattern: string, why: RegExp]> = [
  ['*a', /^nothing to repeat$/],
  ['a(', /^unterminated group$/],
  ['[a', /^unterminated character class$/],
  ['a++', /^nothing to repeat$/],
  ['a{', /^incomplete quantifier$/],
  ['(?U)a+', /^flags other than i, m and s, as in \(\?U\)/],
  ['(?i-s)a', /^flags other than/],
  ['a(?i)b', /^invalid group$/],
  ['\\Qa.b\\E', /^invalid escape$/],
  ['[[:alpha:]]', /^classes such as \[\[:alpha:\]\] are not known here/],
  ['[^_[:^space:]x]', /^classes such as/],
  ['[]a]', /^lone quantifier brackets$/],
  ['\\p{Greek}', /^invalid property name$/],
  ['\\1', /^invalid/],
]

describe('regular expressions of a config', () => {
  for (const [pattern, yes, no] of SAME) {
    it(`${pattern} means what RE2 means`, () => {
      const parsed = parseRegex(pattern)
      assert.ok(typeof parsed !== 'string', `${parsed}`)
      const regex = new RegExp(parsed.source, parsed.flags)
      assert.deepEqual(
        [...yes, ...no].map((text) => regex.test(text)),
        [...yes.map(() => true), ...no.map(() => false)],
      )
    })
  }

  for (const [pattern, why] of REFUSED) {
    it(`${pattern} is refused`, () => {
      const parsed = parseRegex(pattern)
      assert.ok(typeof parsed === 'string')
      assert.match(parsed, why)
    })
  }

  it('knows whether there is a group to capture', () => {
    const captures = ['(a)', '(?P<n>a)', '(?<n>a)', '(?:a)', '\\(a\\)', '[(a)]', '(?=a)', '(?i)a', '(?<!a)b'].map(
      (pattern) => {
        const parsed = parseRegex(pattern)
        return typeof parsed !== 'string' && parsed.captures
      },
    )
    assert.deepEqual(captures, [true, true, true, false, false, false, false, false, false])
  })

  it('knows what can make it slow', () => {
    const rows: Readonly<Record<string, readonly [repeats: number, choices: number, nested: boolean]>> = {
      abc: [0, 0, false],
      'a+b*c{2,}': [3, 0, false],
      'a?b|c': [0, 2, false],
      '(a+)+': [2, 0, true],
      '(a|b)*': [1, 1, true],
      '(?:a?){9}': [1, 1, true],
      '((a+)b)*': [2, 0, true],
      '(ab)+': [1, 0, false],
      '(a+)?': [1, 1, false],
      '[(a+)+]+': [1, 0, false],
      'a\\+\\*': [0, 0, false],
    }
    for (const [pattern, [repeats, choices, nested]] of Object.entries(rows)) {
      const parsed = parseRegex(pattern)
      assert.deepEqual(typeof parsed === 'string' ? parsed : parsed.growth, { repeats, choices, nested }, pattern)
    }
  })
})
