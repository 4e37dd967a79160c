/**
 * Regular expressions of a config: RE2's, which are Tetragon's. re2js runs them, a port of Go's engine: what a pattern means is
 * what it means there, and the time is linear in the text, which a watched program chooses.
 */
import { createRequire } from 'node:module'
import type { RE2JS } from 're2js'

export type Regex = Pick<RE2JS, 'test' | 'matcher' | 'groupCount'>

const require = createRequire(import.meta.url)

/** What a pattern is made of; anything else is one character. A `]` at the beginning of a class belongs to it. */
const TOKEN =
  /\\Q[^]*?(?:\\E|$)|\\[^]|\[\^?\]?(?:\[:\^?\w+:\]|\\[^]|[^\]\\])*\]|\(\?[a-zA-Z-]*[:)]|\{\d+(?:,\d*)?\}|[^]/gu
/** Behind these, a repetition is one of what stands before them: flags, an empty quotation, at most one round. */
const PASSED_OVER = /^(?:\(\?[a-zA-Z-]*\)|\\Q\\E|\?|\{(?:[01]|[01],1|0,0)\})$/
const REPETITION = /^(?:[*+]|\{\d+(?:,\d*)?\})$/

/** Reads a pattern. Returns what is wrong with it, as a sentence, when it does not compile. */
export function parseRegex(pattern: string): Regex | string {
  // Only where there is a pattern: it takes memory. Not by `import()`: a schema is checked in one go.
  const re2: typeof import('re2js') = require('re2js')
  try {
    return re2.RE2JS.compile(pattern)
  } catch (error) {
    // "error parsing regexp: missing closing ): `(a`": the end says why.
    const text = error instanceof Error ? error.message : String(error)
    const reason = text.replace('error parsing regexp: ', '')
    const hint = /`(?:\(\?<?[=!]|\\[1-9])/.test(reason) ? '; RE2 has neither look-around nor back-references' : ''
    return `expected a regular expression of RE2 (${reason}${hint})`
  }
}

/** The same for one whose groups say what to hide. Refuses what would leave some of that to be seen. */
export function parseRedaction(pattern: string): Regex | string {
  const regex = parseRegex(pattern)
  if (typeof regex === 'string') return regex
  if (regex.groupCount() === 0) return 'expected a group around what is to be replaced, as in "password=(\\S+)"'
  if (!repeatsGroup(pattern)) return regex
  return (
    'expected no group inside of a repetition, of which only the last round would be replaced ' +
    '(leave the repetition out: all matches are looked for)'
  )
}

/** Whether a group stands in a repetition. `pattern` compiles. */
function repeatsGroup(pattern: string): boolean {
  /** Of each open group, the innermost last: whether it captures or holds one that does. */
  const open: boolean[] = []
  /** What can be repeated here is a group of that kind. */
  let captured = false
  for (const [token] of pattern.matchAll(TOKEN)) {
    if (PASSED_OVER.test(token)) continue
    if (captured && REPETITION.test(token)) return true
    captured = token === ')' && (open.pop() ?? false)
    if (captured && open.length > 0) open[open.length - 1] = true
    if (token.startsWith('(')) open.push(!token.endsWith(':'))
  }
  return false
}
