/** A link and what it was when it was made. The kernel lets nobody detach such a link, but a debugger can close the agent's descriptors. */
import type { Link, LinkIdentity } from '../../../native/types.ts'
import type { Finding } from './finding.ts'

export class WatchedLink implements Disposable {
  readonly link: Link
  readonly #on: string
  readonly #made: LinkIdentity

  /** `on`: for findings. */
  constructor(link: Link, on: string) {
    this.link = link
    this.#on = on
    this.#made = link.identity()
  }

  check(): Finding[] {
    const now = this.link.identity()
    if (now.id === this.#made.id && now.program === this.#made.program) return []
    const [expected, got] = [textOf(this.#made), textOf(now)]
    return [{ kind: 'link_gone', on: this.#on, expected, got, repaired: false }]
  }

  [Symbol.dispose](): void {
    this.link.close()
  }
}

const textOf = ({ id, program }: LinkIdentity): string => (id === 0 ? 'no link' : `link ${id} of program ${program}`)
