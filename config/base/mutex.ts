/** Runs jobs one at a time, in order. A failed job does not affect later ones. */
export class Mutex {
  #last: Promise<unknown> = Promise.resolve()

  run<T>(job: () => Promise<T>): Promise<T> {
    const done = this.#last.then(job)
    this.#last = done.catch(() => undefined)
    return done
  }
}
