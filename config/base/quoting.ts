/** Untrusted text (file names, arguments, answers) as one terminal line: escapes everything that could move the cursor or reorder text, as Go does. */
import { StringDecoder } from 'node:string_decoder'

/** Characters that Go's unicode.IsPrint refuses, and the space: letters, marks, numbers, punctuation and symbols print. */
const QUOTED = /[^\p{L}\p{M}\p{N}\p{P}\p{S}]/u
/** Control characters, also C1; format characters, with them those that change the direction; spaces but the usual one. */
const UNPRINTABLE = /[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/u
const EVERY_UNPRINTABLE = new RegExp(UNPRINTABLE, 'gu')
const UNPRINTABLE_OR_QUOTE = /[^\p{L}\p{M}\p{N}\p{P}\p{S} ]|["\\]/gu
const SHORT: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\x07': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
}

/** The text with unprintable characters escaped, so always one line. For messages: quotes and backslashes stay. */
export function oneLine(text: string): string {
  return UNPRINTABLE.test(text) ? text.toWellFormed().replace(EVERY_UNPRINTABLE, escape) : text
}

/**
 * The text as compact lines print it: raw, or as Go's strconv.Quote when it has a space or a rune that does not
 * print. Where: docs/reference/records/compact.md.
 */
export function printable(text: string): string {
  return QUOTED.test(text) ? goQuote(text) : text
}

/** Go's strconv.Quote. Lone surrogates count as U+FFFD. */
function goQuote(text: string): string {
  return `"${text.toWellFormed().replace(UNPRINTABLE_OR_QUOTE, escape)}"`
}

/**
 * Cuts `text` to `maxBytes` of UTF-8 and writes it as Go's strconv.Quote would, without the outer quotes: the way
 * Tetragon stores a policy's message and tags. A character cut in half becomes `\x` escapes, as
 * in Go. The result can be longer than `maxBytes`.
 */
export function goQuoted(text: string, maxBytes: number): string {
  const bytes = Buffer.from(text, 'utf8').subarray(0, maxBytes)
  // It keeps back the bytes of a last character that the cut has split.
  const whole = new StringDecoder('utf8').write(bytes)
  let quoted = goQuote(whole).slice(1, -1)
  for (const byte of bytes.subarray(Buffer.byteLength(whole))) quoted += `\\x${byte.toString(16).padStart(2, '0')}`
  return quoted
}

function escape(rune: string): string {
  const short = SHORT[rune]
  if (short !== undefined) return short
  const code = rune.codePointAt(0) ?? 0
  const hex = (digits: number): string => code.toString(16).padStart(digits, '0')
  if (code < 0x20 || code === 0x7f) return `\\x${hex(2)}`
  return code < 0x10000 ? `\\u${hex(4)}` : `\\U${hex(8)}`
}
