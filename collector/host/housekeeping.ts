/** The periodic work of the agent's parts, under one timer: often while the agent works, rarely while nothing happens. */

const WORKING_MS = 2_000
/** /livez expects a look at the ring at least every ten seconds. */
const IDLE_MS = 6_000
/** Ticks at the higher pace after the last work: by then ended processes have left the table and garbage is collected. */
const QUIET_TICKS = 5

export class Housekeeping implements Disposable {
  #tasks: ReadonlyArray<() => void> = []
  #timer: NodeJS.Timeout | undefined
  #quietTicks = 0

  /** Begins to run the tasks, in this order. */
  start(tasks: ReadonlyArray<() => void>): void {
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
    for (const task of this.#tasks) task()
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }
}
