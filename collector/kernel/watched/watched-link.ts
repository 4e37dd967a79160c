/** A link and its first identity. No program can detach such a link, but a debugger can close the agent's descriptors. */
import type { Link, LinkIdentity } from '../../../native/types.ts'
import type { Finding } from './finding.ts'

/** The kernel's counters of the programs on a function. */
export interface Runs {
  /** Skipped runs. */
  readonly missed: number
  /** While the kernel keeps statistics: runs, and their time. For a joined function: the runs at its entry and the time of both sides. */
  readonly runs: number
  readonly runNs: number
}

export function addRuns(all: Map<string, Runs>, key: string, more: Runs): void {
  const { missed, runs, runNs } = all.get(key) ?? { missed: 0, runs: 0, runNs: 0 }
  all.set(key, { missed: missed + more.missed, runs: runs + more.runs, runNs: runNs + more.runNs })
}

export class WatchedLink implements Disposable {
  readonly link: Link
  /** A function, or a program of the agent's own. */
  readonly on: string
  readonly #made: LinkIdentity

  constructor(link: Link, on: string) {
    this.link = link
    this.on = on
    this.#made = link.identity()
  }

  check(): Finding[] {
    const now = this.link.identity()
    if (now.id === this.#made.id && now.program === this.#made.program) return []
    const [expected, got] = [textOf(this.#made), textOf(now)]
    return [{ kind: 'link_gone', on: this.on, expected, got, repaired: false }]
  }

  runs(): Runs {
    const { missed, runs, runNs } = this.link.stats()
    return { missed: Number(missed), runs: Number(runs), runNs: Number(runNs) }
  }

  [Symbol.dispose](): void {
    this.link.close()
  }
}

const textOf = ({ id, program }: LinkIdentity): string => (id === 0 ? 'no link' : `link ${id} of program ${program}`)
