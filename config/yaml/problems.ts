import { oneLine } from '../base/quoting.ts'

/** A position in a file, 1-based. */
export interface Position {
  readonly line: number
  readonly col: number
  /** A file that was merged into the file that is read; absent: that file. */
  readonly file?: string
}

/** One mistake in a user's file. */
export interface Problem {
  readonly file: string
  /** 0 for the file as a whole. */
  readonly line: number
  readonly col: number
  /** The failure, then expected, got, hint; no trailing period. */
  readonly message: string
}

/** Only the first mistakes are shown: users correct these before they read on. */
export const MAX_PROBLEMS = 20

// Kept before sorting. Bounds memory for a file with a mistake in every byte.
const MAX_KEPT = 1000

/** Collects the mistakes of one file, and of those merged into it, in any order. */
export class Problems {
  readonly file: string
  count = 0
  readonly #kept: Problem[] = []
  readonly #warnings: Problem[] = []

  constructor(file: string) {
    this.file = file
  }

  /** `message`: what, expected, got, hint; no trailing period, one line. */
  add(at: Position, message: string): void {
    this.count++
    if (this.#kept.length < MAX_KEPT) this.#kept.push({ file: this.file, ...at, message })
  }

  /** A valid part that most likely has another effect than it seems to have. Only the first are kept. */
  warn(at: Position, message: string): void {
    if (this.#warnings.length < MAX_PROBLEMS) this.#warnings.push({ file: this.file, ...at, message })
  }

  /** By line and column. */
  warnings(): readonly Problem[] {
    return this.#warnings.toSorted((a, b) => a.line - b.line || a.col - b.col)
  }

  /** True if more problems would not help the user. */
  get full(): boolean {
    return this.count >= MAX_KEPT
  }

  /** By file (this one first), line and column; at most MAX_PROBLEMS and one with the number of the rest. */
  list(): Problem[] {
    const rank = ({ file }: Problem): string => (file === this.file ? '' : file)
    const sorted = this.#kept.toSorted(
      (a, b) => (rank(a) < rank(b) ? -1 : Number(rank(a) > rank(b))) || a.line - b.line || a.col - b.col,
    )
    const shown = sorted.slice(0, MAX_PROBLEMS)
    const next = sorted[MAX_PROBLEMS]
    if (next !== undefined) {
      const more = this.count - MAX_PROBLEMS
      shown.push({
        ...next,
        message: `and ${more} more problem${more === 1 ? '' : 's'} from here on: correct the ones above first`,
      })
    }
    return shown
  }
}

/** `file:line:col: message` on one line, without a position if line is 0; file names may contain any characters. */
export function formatProblem(problem: Problem): string {
  const at = problem.line === 0 ? '' : `:${problem.line}:${problem.col}`
  return oneLine(`${problem.file}${at}: ${problem.message}`)
}

/** A value for a message: quoted, on one line, cut after 60 characters. */
export function show(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 57)}...` : text)
}

/** A number as in the file, for a message: without the point at the end of `1.`, which would end the sentence. */
export const showNumber = (typed: string): string => typed.replace(/\.$/, '')
