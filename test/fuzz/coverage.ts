/**
 * The blocks of our code that have run, by V8's block coverage (the inspector's Profiler.takePreciseCoverage). It takes milliseconds, so runs are
 * measured many at a time.
 */
import { Session } from 'node:inspector'
import type { Profiler } from 'node:inspector'

/** Offsets in a script: from, to. */
type Block = readonly [number, number]

export class Coverage implements Disposable {
  readonly #session = new Session()
  /** By function: its blocks that have never run. */
  readonly #missed = new Map<string, readonly Block[]>()
  readonly #ours: (url: string) => boolean

  /** `ours`: whether a script counts. */
  constructor(ours: (url: string) => boolean) {
    this.#ours = ours
    this.#session.connect()
    this.#session.post('Profiler.enable')
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true })
  }

  /** Whether a block ran for the first time since the last call; with `keep` it is known from now on. */
  fresh(keep: boolean): boolean {
    let found = false
    for (const { url, functions } of this.#take()) {
      if (!this.#ours(url)) continue
      for (const { functionName, ranges } of functions) {
        const [whole, ...inner] = ranges
        if (whole === undefined || whole.count === 0) continue
        const name = `${url} ${functionName} ${whole.startOffset}`
        const known = this.#missed.get(name)
        const missed = without(inner)
        const left = known === undefined ? missed : common(known, missed)
        if (known !== undefined && sizeOf(left) === sizeOf(known)) continue
        found = true
        if (keep) this.#missed.set(name, left)
      }
    }
    return found
  }

  /** Number of functions that have run. */
  get functions(): number {
    return this.#missed.size
  }

  #take(): readonly Profiler.ScriptCoverage[] {
    let result: readonly Profiler.ScriptCoverage[] = []
    // A session of the same thread calls back at once.
    this.#session.post('Profiler.takePreciseCoverage', (error, taken) => {
      if (error !== null) throw error
      result = taken.result
    })
    return result
  }

  [Symbol.dispose](): void {
    this.#session.disconnect()
  }
}

/** The blocks that did not run. An outer one holds no others that ran: V8 would have divided it. */
const without = (ranges: readonly Profiler.CoverageRange[]): Block[] =>
  ranges.filter(({ count }) => count === 0).map(({ startOffset, endOffset }) => [startOffset, endOffset])

function common(a: readonly Block[], b: readonly Block[]): Block[] {
  return a.flatMap(([from, to]) =>
    b.map(([start, end]): Block => [Math.max(from, start), Math.min(to, end)]).filter(([start, end]) => start < end),
  )
}

const sizeOf = (blocks: readonly Block[]): number => blocks.reduce((sum, [from, to]) => sum + to - from, 0)
