/** Runs jobs one at a time, in order. A failed job does not affect later ones. */
export class Mutex {
  #last: Promise<unknown> = Promise.resolve()

  run<T>(job: () => Promise<T>): Promise<T> {
    const done = this.#last.then(job)
    this.#last = done.catch(() => undefined)
    return done
  }
}

/**
 * Runs `work` for each call, but one at a time, and at most one waits: calls during a run share the next one, because it must see what came meanwhile.
 * Resolves or rejects as the work that began after the call.
 */
export function inTurn<T>(work: () => T | Promise<T>): () => Promise<T> {
  const mutex = new Mutex()
  let next: Promise<T> | undefined
  return () =>
    (next ??= mutex.run(async () => {
      next = undefined
      return work()
    }))
}
