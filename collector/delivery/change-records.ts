/**
 * Makes the records about changes of policies and config, in the order of the changes. Clients and folders can change policies as fast as they
 * like, so changes share a record when there were too many: all are counted, and the first are named. A change never waits
 * for its record.
 */
import type { Change, ChangeEvent } from '../../exporters/contract/event.ts'

/** Records at once; then one a tick, so that a flood does not take the space that queues reserve for loss records. */
const MOST_RECORDS = 20
/** Records that wait. Further changes share one for each `what`. */
const MOST_WAITING = 40
const MOST_NAMES = 30
/** UTF-16 units of a name, and of `by`: a policy's name with its namespace. As JSON all fit into the 64 KiB that a spool has for them. */
const MOST_TEXT = 320

type Draft = Omit<Change, 'count' | 'names'> & { names: string[]; count: number; readonly time: ChangeEvent['time'] }

export interface ChangeRecordsOptions {
  readonly now: () => ChangeEvent['time']
  /** Called when a record is due. */
  readonly wake: () => void
}

export class ChangeRecords {
  readonly #options: ChangeRecordsOptions
  #waiting: Draft[] = []
  #left = MOST_RECORDS
  #begun = false

  constructor(options: ChangeRecordsOptions) {
    this.#options = options
  }

  /** Begins to take changes. The start of the agent is no change. */
  begin(): void {
    this.#begun = true
  }

  /** The change has taken effect. */
  note(change: Omit<Change, 'count'>): void {
    if (!this.#begun) return
    const names = change.names.slice(0, MOST_NAMES).map(cut)
    const made = { ...change, by: cut(change.by), names, count: change.names.length, time: this.#options.now() }
    // Within the bound only changes that follow each other share a record, so that the order stays.
    const among = this.#waiting.length < this.#left ? this.#waiting.slice(-1) : this.#waiting
    const alike = among.find((each) => isAlike(each, made))
    if (alike !== undefined) add(alike, made)
    else if (this.#waiting.length < MOST_WAITING) this.#waiting.push(made)
    else this.#share(made)
    if (this.due) this.#options.wake()
  }

  /** Records wait, and new ones may have been added. */
  get due(): boolean {
    return this.#waiting.length > 0 && this.#left > 0
  }

  /** Housekeeping, every few seconds. */
  tick(): void {
    this.#left = Math.min(MOST_RECORDS, this.#left + 1)
  }

  /** The records that are due; at the stop all of them. */
  take(all = false): ChangeEvent[] {
    const taken = this.#waiting.splice(0, all ? this.#waiting.length : this.#left)
    this.#left = Math.max(0, this.#left - taken.length)
    return taken.map((draft) => ({ type: 'agent_change', seq: 0, ...draft }))
  }

  #share({ what, names, count, time }: Draft): void {
    const made: Draft = { what, by: 'several', names, count, time }
    const shared = this.#waiting.find((each) => isAlike(each, made))
    if (shared === undefined) this.#waiting.push(made)
    else add(shared, made)
  }
}

function add(to: Draft, { names, count }: Draft): void {
  to.count += count
  for (const name of names) if (to.names.length < MOST_NAMES && !to.names.includes(name)) to.names.push(name)
}

function isAlike(a: Draft, b: Draft): boolean {
  return a.what === b.what && a.by === b.by && a.mode === b.mode && a.modeBefore === b.modeBefore
}

function cut(text: string): string {
  return text.length <= MOST_TEXT ? text : `${text.slice(0, MOST_TEXT - 1)}…`
}
