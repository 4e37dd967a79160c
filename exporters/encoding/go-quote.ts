/** Anything Go's unicode.IsPrint refuses, and the space: letters, marks, numbers, punctuation and symbols print. */
const QUOTED = /[^\p{L}\p{M}\p{N}\p{P}\p{S}]/u
const UNPRINTABLE = /[^\p{L}\p{M}\p{N}\p{P}\p{S} ]|["\\]/gu
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

/**
 * The text as compact lines print it: raw, or as Go's strconv.Quote when it has a space or a rune that does not
 * print. Source: tetragon.md §6.1.
 */
export function printable(text: string): string {
  return QUOTED.test(text) ? goQuote(text) : text
}

/** Go's strconv.Quote. Lone surrogates count as U+FFFD. */
export function goQuote(text: string): string {
  return `"${text.toWellFormed().replace(UNPRINTABLE, escape)}"`
}

function escape(rune: string): string {
  const short = SHORT[rune]
  if (short !== undefined) return short
  const code = rune.codePointAt(0) ?? 0
  const hex = (digits: number): string => code.toString(16).padStart(digits, '0')
  if (code < 0x20 || code === 0x7f) return `\\x${hex(2)}`
  return code < 0x10000 ? `\\u${hex(4)}` : `\\U${hex(8)}`
}
