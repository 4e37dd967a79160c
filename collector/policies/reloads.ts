/** Counts what became of changes to policy files while the agent runs. */
export class Reloads {
  readonly counts: Record<'ok' | 'refused', number> = { ok: 0, refused: 0 }
  /** Milliseconds since 1970 of the last change that was taken. */
  lastMs = 0
  #running = false

  /** From here on a file that is there is a change: what the start finds is none. */
  begin(): void {
    this.#running = true
    this.lastMs = Date.now()
  }

  count(change: 'added' | 'replaced' | 'removed' | 'refused'): void {
    if (!this.#running) return
    if (change === 'refused') this.counts.refused++
    else {
      this.counts.ok++
      this.lastMs = Date.now()
    }
  }
}
