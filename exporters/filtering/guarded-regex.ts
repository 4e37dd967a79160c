/**
 * Regular expressions over texts that a watched program chooses. JavaScript's engine may try exponentially many ways, so
 * where a pattern could take long on a text of that length it runs under a deadline; short texts and simple patterns,
 * nearly all, run directly. A regex that ran out of time often is not tried on such texts any more: nobody can stop the
 * agent for longer than DEADLINE_MS * MAX_LATE with one.
 */
import { createContext, Script } from 'node:vm'
import type { Context } from 'node:vm'
import { parseRegex } from '../../config/exporters/regex.ts'
import { ExportError } from '../errors.ts'

/** Steps that certainly take less than about 20 ms: measured at 2 ns each. */
const DIRECT_STEPS = 10_000_000
const DEADLINE_MS = 50
const MAX_LATE = 10

/** What redaction writes in place of what is hidden. Source: Tetragon. */
export const REDACTED = '*****'

export class GuardedRegex {
  readonly #tester: RegExp
  readonly #finder: RegExp
  readonly #text: string
  readonly #longest: number
  readonly #warn: (problem: string) => void
  #late = 0

  /** `pattern` as in the config. Throws ExportError UNUSABLE when it does not compile, which the config checks. */
  constructor(pattern: string, warn: (problem: string) => void) {
    const parsed = parseRegex(pattern)
    if (typeof parsed === 'string') {
      throw new ExportError('UNUSABLE', `expected a regular expression that compiles (${parsed}), got "${pattern}"`)
    }
    this.#tester = new RegExp(parsed.source, parsed.flags)
    this.#finder = new RegExp(parsed.source, `${parsed.flags}dg`)
    this.#text = pattern
    this.#longest = longestDirect(parsed.growth)
    this.#warn = warn
  }

  /** Whether it matches anywhere; undefined when that could not be found out in time. */
  test(text: string): boolean | undefined {
    return this.#run(text, () => this.#tester.test(text))
  }

  /**
   * The text with each capture group of each match replaced, as Tetragon does: a group inside of one that is already
   * replaced is passed over. All of it is replaced when the matches could not be found in time.
   */
  redact(text: string): string {
    return this.#run(text, () => this.#replace(text)) ?? REDACTED
  }

  #replace(text: string): string {
    let redacted = ''
    let done = 0
    for (const { index, indices } of text.matchAll(this.#finder)) {
      let from = index
      // The first is the whole match.
      for (const group of indices?.slice(1) ?? []) {
        // A group of another branch of the pattern has none.
        const [start, end] = group ?? NO_GROUP
        if (start < from) continue
        redacted += text.slice(done, start) + REDACTED
        done = from = end
      }
    }
    return redacted + text.slice(done)
  }

  #run<T>(text: string, work: () => T): T | undefined {
    if (text.length <= this.#longest) return work()
    if (this.#late >= MAX_LATE) return undefined
    const result = withinDeadline(work)
    if (result === undefined) this.#noteLate(text)
    return result
  }

  #noteLate(text: string): void {
    this.#late++
    if (this.#late !== 1 && this.#late !== MAX_LATE) return
    const now = this.#late === 1 ? 'such an event passes filters and is redacted whole' : 'it is not tried any more'
    this.#warn(
      `the regular expression "${this.#text}" did not finish within ${DEADLINE_MS} ms on a text of ${text.length} ` +
        `characters, ${this.#late} times by now; ${now} on texts above ${this.#longest} characters: make it simpler`,
    )
  }
}

const NO_GROUP: readonly [number, number] = [-1, -1]

/** The longest text on which a pattern of this growth stays below DIRECT_STEPS. */
function longestDirect({ nested, repeats, choices }: { nested: boolean; repeats: number; choices: number }): number {
  if (nested) return Math.floor(Math.log2(DIRECT_STEPS))
  // Starts and ends of k repetitions in order: n^(k + 1) / (k + 1)! ways.
  let factorial = 1
  for (let i = 2; i <= repeats + 1; i++) factorial *= i
  return Math.floor(((DIRECT_STEPS * factorial) / 2 ** choices) ** (1 / (repeats + 1)))
}

let guard: { readonly script: Script; readonly context: Context } | undefined

/** The result of `work`, or undefined when it takes too long. About 0.2 ms for the thread that watches. */
function withinDeadline<T>(work: () => T): T | undefined {
  guard ??= { script: new Script('run()'), context: createContext({}) }
  let result: T | undefined
  guard.context['run'] = (): void => {
    result = work()
  }
  try {
    guard.script.runInContext(guard.context, { timeout: DEADLINE_MS })
    return result
  } catch (error) {
    if (isTimeout(error)) return undefined
    throw error
  }
}

/** Not by its class: it comes from the other context. */
function isTimeout(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && error.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT'
}
