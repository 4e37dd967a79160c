/**
 * One regular expression that hides. A search is linear in the text, but a watched program can write a text in which each of
 * thousands of matches has to look to the end: all searches of a text together have a limit.
 */
import { parseRedaction } from '../../config/agent/filtering/regex.ts'
import type { Regex } from '../../config/agent/filtering/regex.ts'
import { ExportError } from '../contract/errors.ts'

/** Processor time: a busy machine hides nothing more. */
const MOST_US = 50_000
/** Matches between two looks at the clock: what has fewer is never too slow. */
const UNTIMED = 16
/** So often it is tried; then nobody can hold the agent with this expression any more. */
const MAX_LATE = 10

/** What is written in place of what is hidden. Source: Tetragon. */
const REDACTED = '*****'

export class Redaction {
  readonly #regex: Regex
  readonly #pattern: string
  readonly #warn: (problem: string) => void
  #late = 0
  /** Length of the shortest text that took too long. */
  #shortestLate = Infinity

  /** `warn` is told of texts that take too long. Throws ExportError UNUSABLE for what the config would have refused. */
  constructor(pattern: string, warn: (problem: string) => void) {
    const regex = parseRedaction(pattern)
    if (typeof regex === 'string') throw new ExportError('UNUSABLE', `${regex}, got "${pattern}"`)
    this.#regex = regex
    this.#pattern = pattern
    this.#warn = warn
  }

  /**
   * The text with each group of each match replaced, as Tetragon does. All of it is replaced when the matches could not be
   * found in time.
   */
  redact(text: string): string {
    // Most texts have nothing to hide, and to find out only that is several times cheaper.
    if (!this.#regex.test(text)) return text
    if (this.#late >= MAX_LATE && text.length >= this.#shortestLate) return REDACTED
    return this.#replaced(text) ?? this.#tooLate(text)
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
      // Go takes no empty match right behind another.
      if (matcher.end() === matchEnd) continue
      matchEnd = matcher.end()
      // Groups come in the order in which they begin, because none is repeated; what lies in one that is hidden is hidden.
      for (let group = 1; group <= groups; group++) {
        // -1 for one of another branch.
        const start = matcher.start(group)
        if (start < done) continue
        redacted += text.slice(done, start) + REDACTED
        done = matcher.end(group)
      }
    }
    return redacted + text.slice(done)
  }

  #tooLate({ length }: string): string {
    this.#late++
    this.#shortestLate = Math.min(this.#shortestLate, length)
    if (this.#late === 1 || this.#late === MAX_LATE) {
      const now =
        this.#late === 1
          ? 'it is hidden whole'
          : `texts of ${this.#shortestLate} and more characters are hidden untried`
      this.#warn(
        `the regular expression "${this.#pattern}" did not find all there is to hide in a text of ${length} characters ` +
          `in ${MOST_US / 1000} ms, ${this.#late} times by now; ${now}: make it simpler`,
      )
    }
    return REDACTED
  }
}

/** Processor time of this thread. */
function spentUs(): number {
  const { user, system } = process.threadCpuUsage()
  return user + system
}
