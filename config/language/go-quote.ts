const SHORT: Readonly<Record<number, string>> = {
  7: '\\a',
  8: '\\b',
  9: '\\t',
  10: '\\n',
  11: '\\v',
  12: '\\f',
  13: '\\r',
  34: '\\"',
  92: '\\\\',
}

// What Go's strconv.IsPrint takes for printable.
const PRINTABLE = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u

/**
 * Cuts `text` to `maxBytes` of UTF-8 and writes it as Go's strconv.Quote would, without the outer quotes: the way
 * Tetragon stores a policy's message and tags (tetragon.md §1.3). A character cut in half becomes `\x` escapes, as
 * in Go. The result can be longer than `maxBytes`.
 */
export function goQuoted(text: string, maxBytes: number): string {
  const bytes = Buffer.from(text, 'utf8').subarray(0, maxBytes)
  const whole = wholeCharacters(bytes)
  let quoted = ''
  for (const char of bytes.toString('utf8', 0, whole)) {
    const code = char.codePointAt(0) ?? 0
    quoted += SHORT[code] ?? (PRINTABLE.test(char) ? char : escaped(code))
  }
  for (const byte of bytes.subarray(whole)) quoted += `\\x${byte.toString(16).padStart(2, '0')}`
  return quoted
}

function escaped(code: number): string {
  const hex = code.toString(16)
  if (code < 0x20 || code === 0x7f) return `\\x${hex.padStart(2, '0')}`
  return code > 0xffff ? `\\U${hex.padStart(8, '0')}` : `\\u${hex.padStart(4, '0')}`
}

/** Bytes up to the start of a last character that the cut has split. */
function wholeCharacters(bytes: Uint8Array): number {
  let start = bytes.length - 1
  while (start >= 0 && ((bytes[start] ?? 0) & 0xc0) === 0x80) start--
  if (start < 0) return bytes.length
  const lead = bytes[start] ?? 0
  let length = 1
  if (lead >= 0xf0) length = 4
  else if (lead >= 0xe0) length = 3
  else if (lead >= 0xc0) length = 2
  return start + length > bytes.length ? start : bytes.length
}
