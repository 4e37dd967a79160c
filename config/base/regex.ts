/**
 * Regular expressions of a config, in RE2's syntax, as in Tetragon. re2js is a port of Go's engine: patterns mean the same, and the time is
 * linear in the text, which the watched program controls.
 */
import { createRequire } from 'node:module'
import type { RE2JS } from 're2js'

export type Regex = Pick<RE2JS, 'test' | 'matcher' | 'groupCount'>

const require = createRequire(import.meta.url)

/** Tokens of a pattern; anything else is one character. A `]` at the beginning of a class belongs to it. */
const TOKEN =
  /\\Q[^]*?(?:\\E|$)|\\[^]|\[\^?\]?(?:\[:\^?\w+:\]|\\[^]|[^\]\\])*\]|\(\?[a-zA-Z-]*[:)]|\{\d+(?:,\d*)?\}|[^]/gu
/** Tokens that a following repetition skips, to apply to what is before them: flags, an empty quotation, at most one round. */
const PASSED_OVER = /^(?:\(\?[a-zA-Z-]*\)|\\Q\\E|\?|\{(?:[01]|[01],1|0,0)\})$/
const REPETITION = /^(?:[*+]|\{\d+(?:,\d*)?\})$/

/** Compiles a pattern, or returns a message why it does not compile. */
export function parseRegex(pattern: string): Regex | string {
  // Loaded only with the first pattern, to save memory. Not by `import()`, because schemas are checked synchronously.
  const re2: typeof import('re2js') = require('re2js')
  try {
    return re2.RE2JS.compile(pattern)
  } catch (error) {
    // "error parsing regexp: missing closing ): `(a`": keep the reason.
    const text = error instanceof Error ? error.message : String(error)
    const reason = text.replace('error parsing regexp: ', '')
    const hint = /`(?:\(\?<?[=!]|\\[1-9])/.test(reason) ? '; RE2 has neither look-around nor back-references' : ''
    return `expected a regular expression of RE2 (${reason}${hint})`
  }
}

/** Compiles a pattern whose groups are replaced. Refuses one that could leave part of a match visible. */
export function parseRedaction(pattern: string): Regex | string {
  const regex = parseRegex(pattern)
  if (typeof regex === 'string') return regex
  if (regex.groupCount() === 0) return 'expected a group around the text to replace, as in "password=(\\S+)"'
  if (!repeatsGroup(pattern)) return regex
  return (
    'expected no group inside of a repetition, because only its last round would be replaced ' +
    '(remove the repetition: all matches are replaced)'
  )
}

/** Whether a group is repeated. `pattern` must compile. */
function repeatsGroup(pattern: string): boolean {
  /** For each open group, the innermost last: whether it captures or contains a capturing group. */
  const open: boolean[] = []
  /** Whether a group with a capture ends here. */
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
