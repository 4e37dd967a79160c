/** Counts changes of policy files while the agent runs, by result. */
export class Reloads {
  readonly counts: Record<'ok' | 'refused', number> = { ok: 0, refused: 0 }
  /** Milliseconds since 1970 of the last accepted change. */
  lastMs = 0
  #running = false

  /** Starts counting: files found at the start are no changes. */
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
