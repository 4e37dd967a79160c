/** The expected form of a path in a record, computed independently of the agent. */

/** Bytes that are kept of a path that does not fit: the size of the agent's buffer. */
const PATH_BYTES = 4095

/** Length of the well-formed UTF-8 character at `at`, 0 if there is none. */
function characterAt(bytes: Buffer, at: number): number {
  const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  for (let length = 1; length <= 4 && at + length <= bytes.length; length++) {
    try {
      strict.decode(bytes.subarray(at, at + length))
      return length
    } catch {
      // a longer one, or none
    }
  }
  return 0
}

/** As in JSON: each run of bytes that are not UTF-8 is one U+FFFD. */
export function shown(bytes: Buffer): string {
  let text = ''
  let bad = false
  for (let at = 0; at < bytes.length;) {
    const length = characterAt(bytes, at)
    if (length === 0) {
      if (!bad) text += '\uFFFD'
      bad = true
      at++
    } else {
      text += bytes.toString('utf8', at, at + length)
      bad = false
      at += length
    }
  }
  return text
}

/** The path as far as it is kept: whole, or the longest suffix of whole components. */
export function kept(path: Buffer): { readonly text: string; readonly flags?: string } {
  let from = 0
  while (path.length - from > PATH_BYTES) {
    const next = path.indexOf('/', from + 1)
    from = next < 0 ? path.length : next
  }
  const text = shown(path.subarray(from))
  return from === 0 ? { text } : { text, flags: 'unresolvedPathComponents' }
}
