import type { Clock } from './clock.ts'

/** Waits for `work`, at most `ms`: a hanging sink must not keep the agent from ending. */
export function waitAtMost(work: Promise<void>, ms: number, clock: Clock): Promise<void> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(ms, resolve)
    work.finally(cancel).then(resolve, reject)
  })
}

/** The value of `work`, or undefined if the signal aborts first. Rejects like `work`. */
export function within<T>(work: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const stop = (): void => resolve(undefined)
    if (signal.aborted) return stop()
    signal.addEventListener('abort', stop, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop))
  })
}
