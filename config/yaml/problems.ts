import { oneLine } from './quoting.ts'

/** Where something stands in its file, 1-based. */
export interface Position {
  readonly line: number
  readonly col: number
}

/** One mistake in a file the user wrote. */
export interface Problem {
  readonly file: string
  readonly line: number
  readonly col: number
  /** What is wrong, what was expected, what was found, and a hint; no trailing period. */
  readonly message: string
}

/** A file with more mistakes than this shows the first ones: nobody reads the rest before correcting these. */
export const MAX_PROBLEMS = 20

// What is kept before sorting. Bounds memory for a file that is wrong in every byte.
const MAX_KEPT = 1000

/** Collects the mistakes of one file in any order. */
export class Problems {
  readonly file: string
  count = 0
  readonly #kept: Problem[] = []

  constructor(file: string) {
    this.file = file
  }

  /** `message`: what, expected, got, hint; no trailing period, one line. */
  add(at: Position, message: string): void {
    this.count++
    if (this.#kept.length < MAX_KEPT) this.#kept.push({ file: this.file, line: at.line, col: at.col, message })
  }

  /** True when so many were found that looking further does not help the user. */
  get full(): boolean {
    return this.count >= MAX_KEPT
  }

  /** By line and column, at most MAX_PROBLEMS and one with the number of the rest. */
  list(): Problem[] {
    const sorted = this.#kept.toSorted((a, b) => a.line - b.line || a.col - b.col)
    const shown = sorted.slice(0, MAX_PROBLEMS)
    const next = sorted[MAX_PROBLEMS]
    if (next !== undefined) {
      const more = this.count - MAX_PROBLEMS
      shown.push({
        ...next,
        message: `and ${more} more problem${more === 1 ? '' : 's'} from here on: correct those above first`,
      })
    }
    return shown
  }
}

/** `file:line:col: message` on one line, the form every problem is printed in: names of files may hold anything. */
export function formatProblem(problem: Problem): string {
  return oneLine(`${problem.file}:${problem.line}:${problem.col}: ${problem.message}`)
}

/** A value as a message shows it: quoted, on one line, cut after 60 characters. */
export function show(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 57)}...` : text)
}
