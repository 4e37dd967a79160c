/**
 * The periodic work of the agent's parts, under one timer: often while the agent works, rarely while nothing happens. An idle agent has hardly
 * used processor caches, so each task costs it milliseconds: what only work makes necessary runs at few of its ticks.
 */

const WORKING_MS = 2_000
/** /livez requires a read of the ring at least every ten seconds. */
const IDLE_MS = 6_000
/** Ticks at the higher pace after the last work: by then ended processes have left the table and garbage is collected. */
const QUIET_TICKS = 5
/** An idle agent does the work of `after` at each such tick. */
const IDLE_TICKS = 3

export interface Tasks {
  /** At each tick. */
  readonly always: ReadonlyArray<() => void>
  /** Tasks that have to follow after work. They run before `always`. */
  readonly after: ReadonlyArray<() => void>
}

export class Housekeeping implements Disposable {
  #tasks: Tasks = { always: [], after: [] }
  #timer: NodeJS.Timeout | undefined
  #quietTicks = 0

  /** Begins to run the tasks, each kind in its order. */
  start(tasks: Tasks): void {
    this.#tasks = tasks
    this.#schedule()
  }

  /** The agent works: the next tick is at most WORKING_MS away. Cheap. */
  working(): void {
    const idle = this.#idle
    this.#quietTicks = 0
    if (idle && this.#timer !== undefined) this.#schedule()
  }

  get #idle(): boolean {
    return this.#quietTicks > QUIET_TICKS
  }

  #schedule(): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#tick(), this.#idle ? IDLE_MS : WORKING_MS)
  }

  #tick(): void {
    this.#quietTicks++
    this.#schedule()
    const { always, after } = this.#tasks
    if (!this.#idle || this.#quietTicks % IDLE_TICKS === 0) for (const task of after) task()
    for (const task of always) task()
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }
}
