/**
 * "Did you mean": the candidate with the fewest typing slips from a word.
 * Used for keys (a dozen candidates) and for kernel functions (60,000 and more), so it rejects cheaply:
 * by length first, then row by row in a band of 2 * limit + 1 cells.
 */
import suggestions from './suggestions.json' with { type: 'json' }
import { show } from './problems.ts'
import { oneLine } from '../base/quoting.ts'

/** Beyond this a suggestion is noise: one slip per three characters, at most three. */
function limitFor(word: string): number {
  return Math.min(3, Math.max(1, Math.floor(word.length / 3)))
}

/**
 * Returns the candidate closest to `word`, or undefined when none is close enough. An insertion, deletion, changed character or swap of two
 * neighbours counts as one slip; case does not count. Ties go to the first candidate. No suggestion for words over 256 characters. Never throws.
 */
export function suggest(word: string, candidates: Iterable<string>): string | undefined {
  if (word.length === 0 || word.length > 256) return undefined
  const wanted = word.toLowerCase()
  let limit = limitFor(word)
  let best: string | undefined
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - wanted.length) > limit) continue
    const slips = distance(wanted, candidate.toLowerCase(), limit)
    if (slips > limit) continue
    best = candidate
    if (slips === 0) break
    limit = slips - 1
  }
  return best
}

/** ` (did you mean "x"?)`, to append to a message; '' without a suggestion. */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  const found = suggest(word, candidates)
  // Candidates may be words of the file itself, with any characters.
  return found === undefined ? '' : ` (did you mean ${show(found)}?)`
}

/** Hints by place (a word to write, or a sentence), each with a pattern of the words of other programs. */
const SUGGESTIONS: Readonly<Record<string, Readonly<Record<string, string>>>> = suggestions
/** By place; made when needed. */
const patterns = new Map<string, ReadonlyArray<readonly [hint: string, pattern: RegExp]>>()

/** Returns the hint for a word that is unknown at a place: the word to write, or a sentence. Case does not count. */
export function meant(place: string, word: string): string | undefined {
  let known = patterns.get(place)
  if (known === undefined) {
    const rows = Object.hasOwn(SUGGESTIONS, place) ? Object.entries(SUGGESTIONS[place] ?? {}) : []
    known = rows.map(([hint, pattern]) => [hint, new RegExp(`^(?:${pattern})$`, 'is')] as const)
    patterns.set(place, known)
  }
  return known.find(([, pattern]) => pattern.test(word))?.[0]
}

/** Longer lists are left out if there is a hint, so that the eye finds it. */
const LONGEST_LIST = 60

/** `expected one of a, b, got "c" (did you mean "b"?)`; instead of a long list `unknown what "c" (did you mean "b"?)`. */
export function notOneOf(names: readonly string[], got: string, hint: string, what = 'value'): string {
  const list = names.join(', ')
  return hint === '' || list.length <= LONGEST_LIST
    ? `expected one of ${list}, got ${got}${hint}`
    : `unknown ${what} ${got}${hint}`
}

const YES: Readonly<Record<string, string>> = {
  yes: 'true',
  on: 'true',
  y: 'true',
  no: 'false',
  off: 'false',
  n: 'false',
}

/** ` (did you mean "word"?)`, or `; a sentence`. */
export function asHint(hint: string): string {
  return /^[\w./-]+$/.test(hint) ? ` (did you mean "${hint}"?)` : `; ${hint}`
}

/** For a text in place of true or false: the words of YAML 1.1, and a boolean in quotes. */
export function booleanHint(text: string): string {
  const word = text.toLowerCase()
  if (word === 'true' || word === 'false') return `; write ${word} without quotes`
  return Object.hasOwn(YES, word) ? `; write ${YES[word]}` : ''
}

/** For a text in place of a list. `quoted`: its items must be texts. */
export function listHint(text: string, quoted = false): string {
  if (text === '') return ''
  if (text.includes(' - ')) return '; begin a list on its own line, each item with "- "'
  if (/^-[^-]/.test(text) && !quoted) return '; write a space after the dash'
  // The time of split grows with the square of a run of white space.
  if (text.length > LONGEST_LIST) return '; write it as a list in brackets'
  const items = text.split(/\s*,\s*/).map((item) => (quoted ? JSON.stringify(item) : item))
  const list = items.join(', ')
  return list.length > LONGEST_LIST || oneLine(list) !== list
    ? '; write it as a list in brackets'
    : `; write it as a list: [${list}]`
}

// Every call reuses three rows: 60,000 candidates would otherwise allocate 180,000.
const ROW_CELLS = 512
let before = new Uint16Array(ROW_CELLS)
let previous = new Uint16Array(ROW_CELLS)
let current = new Uint16Array(ROW_CELLS)

/**
 * Optimal string alignment distance of `a` and `b`, or limit + 1 as soon as it is sure to be over `limit`.
 * Cells outside the band |i - j| <= limit cannot hold a distance <= limit and are never computed.
 */
function distance(a: string, b: string, limit: number): number {
  const over = limit + 1
  for (let j = 0; j <= Math.min(b.length, limit); j++) previous[j] = j
  for (let i = 1; i <= a.length; i++) {
    const from = Math.max(1, i - limit)
    const to = Math.min(b.length, i + limit)
    current[from - 1] = from === 1 ? i : over
    let least = from === 1 ? i : over
    const ca = a.charCodeAt(i - 1)
    for (let j = from; j <= to; j++) {
      const cb = b.charCodeAt(j - 1)
      const above = j < i + limit ? cell(previous, j) + 1 : over
      let slips = Math.min(above, cell(current, j - 1) + 1, cell(previous, j - 1) + (ca === cb ? 0 : 1))
      if (i > 1 && j > 1 && ca === b.charCodeAt(j - 2) && a.charCodeAt(i - 2) === cb) {
        slips = Math.min(slips, cell(before, j - 2) + 1)
      }
      current[j] = slips
      if (slips < least) least = slips
    }
    if (least > limit) return over
    const spare = before
    before = previous
    previous = current
    current = spare
  }
  return Math.min(over, cell(previous, b.length))
}

function cell(row: Uint16Array, at: number): number {
  return row[at] ?? 0
}
