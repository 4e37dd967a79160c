/**
 * One redacting regular expression. A search is linear in the text. But a watched program can write a text in which each of
 * thousands of matches searches to the end. So all searches of a text together have a time limit.
 */
import { parseRedaction } from '../../config/base/regex.ts'
import type { Regex } from '../../config/base/regex.ts'
import { ExportError } from '../contract/errors.ts'

/** CPU time, so that a busy machine does not redact more. */
const MOST_US = 50_000
/** Matches between two checks of the time; fewer are never too slow. */
const UNTIMED = 16
/** Number of timeouts after which long texts are redacted without a search, so that no program can block the agent. */
const MAX_SLOW = 10

/** Replaces redacted text, as in Tetragon. */
const REDACTED = '*****'

export class Redaction {
  readonly #regex: Regex
  readonly #pattern: string
  readonly #warn: (problem: string) => void
  #slow = 0
  /** Length of the shortest text that timed out. */
  #shortestSlow = Infinity

  /** `warn` receives warnings about timeouts. Throws ExportError UNUSABLE for a pattern that the config would refuse. */
  constructor(pattern: string, warn: (problem: string) => void) {
    const regex = parseRedaction(pattern)
    if (typeof regex === 'string') throw new ExportError('UNUSABLE', `${regex}, got "${pattern}"`)
    this.#regex = regex
    this.#pattern = pattern
    this.#warn = warn
  }

  /**
   * The text with each group of each match replaced, as in Tetragon. On a timeout the whole text is replaced.
   */
  redact(text: string): string {
    // Most texts do not match, and this test is several times cheaper.
    if (!this.#regex.test(text)) return text
    if (this.#slow >= MAX_SLOW && text.length >= this.#shortestSlow) return REDACTED
    return this.#replaced(text) ?? this.#tooSlow(text)
  }

  #replaced(text: string): string | undefined {
    const matcher = this.#regex.matcher(text)
    const groups = this.#regex.groupCount()
    const startUs = spentUs()
    let redacted = ''
    let done = 0
    let matchEnd = -1
    for (let found = 1; matcher.find(); found++) {
      if (found % UNTIMED === 0 && spentUs() - startUs > MOST_US) return undefined
      // Go skips an empty match directly after another.
      if (matcher.end() === matchEnd) continue
      matchEnd = matcher.end()
      // Groups are in order of their start, because none is repeated. A group inside a replaced one is skipped.
      for (let group = 1; group <= groups; group++) {
        // -1 for a group of another branch.
        const start = matcher.start(group)
        if (start < done) continue
        redacted += text.slice(done, start) + REDACTED
        done = matcher.end(group)
      }
    }
    return redacted + text.slice(done)
  }

  #tooSlow({ length }: string): string {
    this.#slow++
    this.#shortestSlow = Math.min(this.#shortestSlow, length)
    if (this.#slow === 1 || this.#slow === MAX_SLOW) {
      const now =
        this.#slow === 1
          ? 'the whole text is redacted'
          : `from now on, texts of ${this.#shortestSlow} or more characters are redacted without a search`
      this.#warn(
        `the regular expression "${this.#pattern}" did not finish searching a text of ${length} characters in ${MOST_US / 1000} ms ` +
          `(timeouts so far: ${this.#slow}); ${now}: simplify the expression`,
      )
    }
    return REDACTED
  }
}

function spentUs(): number {
  const { user, system } = process.threadCpuUsage()
  return user + system
}
