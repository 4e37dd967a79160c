/**
 * The words of a command as attributes, within a bound: Loki takes 64 KiB of attributes a record, and a program chooses its words. Loki
 * writes lists as JSON, where a quote takes two bytes and `<` six: 16 KiB of arguments could cost the whole record.
 */

/** Bound of the list as JSON. Arguments of 16 KiB that need few escapes have room. */
const LIST_BYTES = 24 << 10
/** Bound of the command line as one text. Five paths of 4 KiB, such as binary and file, have room beside both. */
const TEXT_BYTES = 16 << 10
/** Mark of omitted text. */
const MARK = '…'
const MARK_BYTES = 3
/** Quotes and a comma. */
const WORD_BYTES = 3
/** The most that a UTF-16 unit takes: `\u003c`. */
const UNIT_BYTES = 6

/** The words as they are, or the first of them and a mark: at the end of a cut word, else as the last word. */
export function boundedWords(words: readonly string[]): readonly string[] {
  let units = 0
  for (const word of words) units += word.length
  if (units * UNIT_BYTES + words.length * WORD_BYTES <= LIST_BYTES) return words
  if (listBytes(words) <= LIST_BYTES) return words
  let left = LIST_BYTES - 1 - MARK_BYTES
  const kept: string[] = []
  for (const word of words) {
    left -= WORD_BYTES
    const fits = fitting(word, left, jsonBytes)
    if (fits < word.length || left < WORD_BYTES) return [...kept, cut(word, fits)]
    left -= bytesOf(word, jsonBytes)
    kept.push(word)
  }
  return words
}

/** The text as it is, or its beginning and a mark, within a number of bytes. */
export function boundedText(text: string, bytes: number = TEXT_BYTES): string {
  if (text.length * 3 <= bytes || Buffer.byteLength(text) <= bytes) return text
  return cut(text, fitting(text, bytes - MARK_BYTES, utf8Bytes))
}

const cut = (text: string, units: number): string => text.slice(0, units) + MARK

/** Includes the brackets: they take the last word's needless comma and one byte more. */
const listBytes = (words: readonly string[]): number =>
  words.reduce((sum, word) => sum + WORD_BYTES + bytesOf(word, jsonBytes), 1)

function bytesOf(text: string, cost: (code: number) => number): number {
  let bytes = 0
  for (let i = 0; i < text.length; i++) bytes += cost(text.charCodeAt(i))
  return bytes
}

/** How many UTF-16 units fit into `bytes`; never half of a surrogate pair. */
function fitting(text: string, bytes: number, cost: (code: number) => number): number {
  let left = bytes
  for (let i = 0; i < text.length; i++) {
    left -= cost(text.charCodeAt(i))
    if (left < 0) return i > 0 && isHigh(text.charCodeAt(i - 1)) ? i - 1 : i
  }
  return text.length
}

const isHigh = (code: number): boolean => code >= 0xd800 && code < 0xdc00

/** Bytes of a unit of a well-formed text: a surrogate is half of four bytes. */
function utf8Bytes(code: number): number {
  return code < 0x80 ? 1 : code < 0x800 || (code >= 0xd800 && code < 0xe000) ? 2 : 3
}

/** In JSON of Go, which escapes <, > and & too, and both separators of lines. */
function jsonBytes(code: number): number {
  if (code === 0x22 || code === 0x5c || code === 0x0a || code === 0x0d || code === 0x09) return 2
  if (code < 0x20 || code === 0x3c || code === 0x3e || code === 0x26 || code === 0x2028 || code === 0x2029)
    return UNIT_BYTES
  return utf8Bytes(code)
}
