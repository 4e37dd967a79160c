import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { parseRedaction, parseRegex } from '../../../../config/base/regex.ts'
import { ExportError } from '../../../../exporters/contract/errors.ts'
import { Redaction } from '../../../../exporters/filtering/redaction.ts'
import { regexMatcher } from '../../../../exporters/filtering/regexes.ts'
import { cpuMs } from '../../../support/measure/cpu.ts'

const redact = (pattern: string, text: string): string =>
  new Redaction(pattern, (problem) => assert.fail(problem)).redact(text)

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
  // Characters that end a line or a word for JavaScript and not for RE2: a watched program can use them.
  ['password=(.*)', 'password=a\rb\u2028c', 'password=*****'],
  ['password=(\\S+)', 'password=a\u00a0b\u000bc\u3000d e', 'password=***** e'],
]

describe('one regular expression for redaction', () => {
  for (const [pattern, text, want] of REDACTIONS) {
    it(`of ${JSON.stringify(text)} by ${pattern}`, () => assert.equal(redact(pattern, text), want))
  }

  it('refuses expressions that would hide nothing or only a part', () => {
    for (const pattern of ['(a', 'a', '(a)*']) {
      assert.throws(
        () => redact(pattern, ''),
        (error) => error instanceof ExportError && error.code === 'UNUSABLE' && error.message.endsWith(`"${pattern}"`),
      )
    }
  })

  it('hides the whole text if matching takes too long, and after repeated time-outs without trying', () => {
    const problems: string[] = []
    const slow = new Redaction('(a)(?:.*b)?', (problem) => problems.push(problem))
    const hostile = 'a'.repeat(50_000)
    for (let i = 0; i < 10; i++) assert.equal(slow.redact(hostile), '*****')
    const fromMs = cpuMs()
    for (let i = 0; i < 100; i++) assert.equal(slow.redact(hostile), '*****')
    // 100 tries of 50 ms would be 5 s.
    assert.ok(cpuMs() - fromMs < 2500)
    assert.equal(slow.redact('xay'), 'x*****y')
    assert.equal(slow.redact('x'.repeat(50_000)), 'x'.repeat(50_000))
    assert.equal(problems.length, 2)
    assert.match(
      problems[0] ?? '',
      /"\(a\)\(\?:\.\*b\)\?" did not finish .* of 50000 characters in 50 ms \(timeouts so far: 1\)/,
    )
    assert.match(
      problems[1] ?? '',
      /far: 10\); from now on, texts of 50000 or more characters are redacted without a search: simplify the expression$/,
    )
  })
})

interface Row {
  readonly pattern: string
  readonly text: string
  readonly matches?: boolean
  readonly redacted?: string
}

describe('regular expressions compared with Go’s', () => {
  const file = join(import.meta.dirname, '../../../fixtures/regex/go.jsonl')
  const rows: Row[] = readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))

  it('compile and match the same', () => {
    for (const { pattern, text, matches } of rows) {
      const got = typeof parseRegex(pattern) === 'string' ? undefined : regexMatcher([pattern])(text)
      assert.equal(got, matches, `${pattern} on ${JSON.stringify(text)}`)
    }
  })

  it('hide the same', () => {
    let compared = 0
    for (const { pattern, text, redacted } of rows) {
      if (typeof parseRedaction(pattern) === 'string') continue
      assert.equal(redact(pattern, text), redacted, `${pattern} on ${JSON.stringify(text)}`)
      compared++
    }
    assert.ok(compared > 90, `${compared}`)
  })
})
