import assert from 'node:assert/strict'
import { it } from 'node:test'
import { goQuoted } from '../../../../config/base/quoting.ts'

// Expected texts are the output of Go's strconv.Quote, without its outer quotes.
for (const { name, input, max = 256, want } of [
  { name: 'plain text stays', input: 'read /etc/passwd', want: 'read /etc/passwd' },
  { name: 'quotes and backslashes are escaped', input: 'a "b" \\c', want: 'a \\"b\\" \\\\c' },
  { name: 'control characters with a letter escape use it', input: '\x07\b\t\n\v\f\r', want: '\\a\\b\\t\\n\\v\\f\\r' },
  { name: 'other control characters are \\x', input: '\0\x1b\x7f', want: '\\x00\\x1b\\x7f' },
  { name: 'printable characters of any script stay', input: 'Zugriff äöü 読む 📚', want: 'Zugriff äöü 読む 📚' },
  { name: 'spaces other than the ASCII one are \\u', input: 'a\u00a0b\u2028', want: 'a\\u00a0b\\u2028' },
  { name: 'an invisible character is \\u', input: '\u200b\ufeff', want: '\\u200b\\ufeff' },
  { name: 'beyond the first plane it is \\U', input: '\u{e0001}', want: '\\U000e0001' },
  { name: 'text is cut to bytes before quoting', input: `${'a'.repeat(255)}"bc`, want: `${'a'.repeat(255)}\\"` },
  { name: 'a character cut in half becomes bytes', input: 'aé', max: 2, want: 'a\\xc3' },
  { name: 'a character of four bytes cut after three', input: '📚', max: 3, want: '\\xf0\\x9f\\x93' },
  { name: 'a character that just fits stays', input: 'é', max: 2, want: 'é' },
  { name: 'nothing stays nothing', input: '', want: '' },
]) {
  it(`goQuoted: ${name}`, () => assert.equal(goQuoted(input, max), want))
}
