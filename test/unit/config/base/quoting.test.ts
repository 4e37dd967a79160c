import assert from 'node:assert/strict'
import { test } from 'node:test'
import { oneLine, printable } from '../../../../config/base/quoting.ts'

/** Right-hand sides as Go's strconv.Quote prints them. */
const ROWS: ReadonlyArray<readonly [string, string]> = [
  ['', ''],
  ['/etc/passwd', '/etc/passwd'],
  ['a"b', 'a"b'],
  ['a\\b', 'a\\b'],
  ['héllo', 'héllo'],
  ['日本', '日本'],
  ['\u{1f600}', '\u{1f600}'],
  ['e\u0301', 'e\u0301'],
  ['\ufffd', '\ufffd'],
  ['-o json', '"-o json"'],
  ['a "b', '"a \\"b"'],
  ['a \\b', '"a \\\\b"'],
  ['/usr/bin/\x1b[31mx', '"/usr/bin/\\x1b[31mx"'],
  ['a\nb', '"a\\nb"'],
  ['\t\r\v\f\b\x07', '"\\t\\r\\v\\f\\b\\a"'],
  ['\x00', '"\\x00"'],
  ['\x7f', '"\\x7f"'],
  ['\x85', '"\\u0085"'],
  ['\xa0', '"\\u00a0"'],
  ['\u200b', '"\\u200b"'],
  ['\u2028', '"\\u2028"'],
  ['\ue000', '"\\ue000"'],
  ['\u{e0001}', '"\\U000e0001"'],
  ['\u{10ffff}', '"\\U0010ffff"'],
]
for (const [text, want] of ROWS) {
  test(`printable: ${JSON.stringify(text)} is ${want}`, () => assert.equal(printable(text), want))
}

/** Characters that could forge a line or move a terminal's cursor. */
const LINES: ReadonlyArray<readonly [string, string]> = [
  ['say "a\\b" in 日本', 'say "a\\b" in 日本'],
  ['a\nktrail: info: forged', 'a\\nktrail: info: forged'],
  ['\r\x1b[2K\x1b]0;title\x07', '\\r\\x1b[2K\\x1b]0;title\\a'],
  ['C1: \x9b31m \x85 \x90', 'C1: \\u009b31m \\u0085 \\u0090'],
  ['evil\u202egnp.exe', 'evil\\u202egnp.exe'],
  ['\u2066a\u2069 \u200f \u061c', '\\u2066a\\u2069 \\u200f \\u061c'],
  ['\u2028\u2029\ufeff\u200b', '\\u2028\\u2029\\ufeff\\u200b'],
  ['half \ud83d', 'half \ufffd'],
]
for (const [text, want] of LINES) {
  test(`oneLine: ${JSON.stringify(text)} is ${want}`, () => assert.equal(oneLine(text), want))
}
