/**
 * Regular expressions of a config. Written for RE2 (Tetragon's) or for JavaScript, run by JavaScript: what means the same in
 * both stays, what RE2 writes in another way is translated, what can not be is refused.
 */

/** A regular expression that compiles. */
export interface Regex {
  readonly source: string
  /** Always with `u`, so that nothing is taken for what it is not. */
  readonly flags: string
  /** It has a capture group: what redaction replaces. */
  readonly captures: boolean
  /**
   * What bounds the steps of a match that tries everything, on a text of n characters: with `nested` 2^n, else
   * n^(repeats + 1) * 2^choices.
   */
  readonly growth: { readonly repeats: number; readonly choices: number; readonly nested: boolean }
}

const LEADING_FLAGS = /^\(\?([A-Za-z-]+)\)/
/** What a pattern is made of; anything else is one character. */
const TOKEN =
  /\\(?:[pP][A-Z]|x\{[0-9A-Fa-f]+\}|.)|\(\?P<|\((?:\?(?:[:=!]|<[=!]|[a-z-]+:|<))?|\)|\[\^?|(?:[*+?]|\{\d+(?:,\d*)?\})\??|\||[^]/gu
/** Escaped by a backslash in Unicode mode; other punctuation stands for itself there. */
const SYNTAX = /[\^$\\.*+?()[\]{}|/]/

/** Reads a pattern. Returns what is wrong with it, as the rest of a sentence, when it does not compile. */
export function parseRegex(pattern: string): Regex | string {
  const [leading = '', flags = ''] = LEADING_FLAGS.exec(pattern) ?? []
  if (/[^ims]/.test(flags)) return `flags other than i, m and s, as in (?${flags}), are not known here`
  const scan = new Scan()
  for (const [token] of pattern.slice(leading.length).matchAll(TOKEN)) scan.take(token)
  if (scan.posix) return 'classes such as [[:alpha:]] are not known here; write for instance [A-Za-z]'
  const compiled = compile(scan.source, `u${[...new Set(flags)].join('')}`)
  if (typeof compiled === 'string') return compiled
  return { source: compiled.source, flags: compiled.flags, captures: scan.captures, growth: scan.growth }
}

function compile(source: string, flags: string): RegExp | string {
  try {
    return new RegExp(source, flags)
  } catch (error) {
    // "Invalid regular expression: /…/u: Nothing to repeat": the end says why.
    const text = error instanceof Error ? error.message : String(error)
    const reason = text.slice(text.lastIndexOf(': ') + 2)
    return reason.charAt(0).toLowerCase() + reason.slice(1)
  }
}

/** Translates token by token and looks for what can make a match slow. */
class Scan {
  source = ''
  captures = false
  #repeats = 0
  #choices = 0
  #nested = false
  /** Open groups: true once a repetition or a choice stands in it. */
  readonly #groups: boolean[] = [false]
  /** The token before closed a group with one of those in it. */
  #busyAtom = false
  #class = ''
  #posix = false

  /** There is a class such as `[[:alpha:]]`, which JavaScript would take for another one. */
  get posix(): boolean {
    return this.#posix
  }

  get growth(): Regex['growth'] {
    return { repeats: this.#repeats, choices: this.#choices, nested: this.#nested }
  }

  take(token: string): void {
    if (this.#class !== '') return this.#inClass(token)
    const busyAtom = this.#busyAtom
    this.#busyAtom = false
    if (token.startsWith('\\')) {
      this.source += escaped(token, false)
      return
    }
    this.source += token === '(?P<' ? '(?<' : token
    if (token.startsWith('[')) this.#class = token
    else if (token.startsWith('(')) this.#open(token)
    else if (token === ')') this.#close()
    else if (token === '|' || token.startsWith('?')) this.#choice()
    else if (/^(?:[*+]|\{\d)/.test(token)) this.#repeat(busyAtom)
  }

  /** `(?:` and the like stand for their characters here; a `]` is always a token of its own. */
  #inClass(token: string): void {
    this.source += token.startsWith('\\') ? escaped(token, true) : token
    if (token !== ']') this.#class += token
    else {
      this.#posix ||= /\[:\^?[a-z]+:$/.test(this.#class)
      this.#class = ''
    }
  }

  #open(token: string): void {
    this.#groups.push(false)
    if (token === '(' || token === '(?P<' || token === '(?<') this.captures = true
  }

  #close(): void {
    const busy = this.#groups.pop() ?? false
    this.#busyAtom = busy
    if (busy) this.#mark()
  }

  #choice(): void {
    this.#choices++
    this.#mark()
  }

  #repeat(busyAtom: boolean): void {
    this.#repeats++
    if (busyAtom) this.#nested = true
    this.#mark()
  }

  #mark(): void {
    if (this.#groups.length > 0) this.#groups[this.#groups.length - 1] = true
  }
}

function escaped(token: string, inClass: boolean): string {
  const rest = token.slice(1)
  if (/^[pP][A-Z]$/.test(rest)) return `\\${rest.charAt(0)}{${rest.charAt(1)}}`
  if (rest.startsWith('x{')) return `\\u${rest.slice(1)}`
  if (rest === 'a') return '\\x07'
  if (rest === 'A' && !inClass) return '(?<![^])'
  if (rest === 'z' && !inClass) return '(?![^])'
  if (SYNTAX.test(rest) || (rest === '-' && inClass) || /[A-Za-z0-9]/.test(rest)) return token
  return rest
}
