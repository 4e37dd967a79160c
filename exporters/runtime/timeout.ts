import { ExportError, textOf } from '../contract/errors.ts'
import type { Batch, Exporter, Outcome } from '../contract/exporter.ts'
import type { Clock } from './clock.ts'

/** How long an exporter may take to settle once it has been told to, before its answer is no longer counted on. */
export const ABANDON_MS = 1000

export interface Patience {
  readonly timeoutMs: number
  /** Aborted when there is no time left at all. */
  readonly stop: AbortSignal
  readonly clock: Clock
  /** Told once, of an exporter that has let the limit pass and does not settle. */
  readonly onDeaf: (error: ExportError) => void
}

/**
 * One call of `exporter.send` that ends: after `timeoutMs` its signal aborts, and the outcome says so. The exporter
 * is waited for even then (it must not be called twice at once), but not for more than a second after `stop`
 * aborts: an answer that comes later is ignored. Never throws; what an exporter throws is a `retryable`.
 */
export function sendWithin(exporter: Exporter, batch: Batch, patience: Patience): Promise<Outcome> {
  const { timeoutMs, stop, clock, onDeaf } = patience
  return new Promise((resolve) => {
    const controller = new AbortController()
    let timedOut = false
    let cancel = clock.after(timeoutMs, () => {
      timedOut = true
      controller.abort()
      cancel = clock.after(ABANDON_MS, () => onDeaf(deaf(exporter, timeoutMs)))
    })
    const settle = (outcome: Outcome): void => {
      cancel()
      stop.removeEventListener('abort', onStop)
      resolve(
        timedOut && outcome.status === 'retryable'
          ? { ...outcome, error: late(exporter, timeoutMs, outcome) }
          : outcome,
      )
    }
    const onStop = (): void => {
      cancel()
      controller.abort()
      const message = `exporter "${exporter.type}" did not answer within ${ABANDON_MS} ms of being stopped`
      const abandon = (): void => settle({ status: 'retryable', error: new ExportError('ABORTED', message) })
      cancel = clock.after(ABANDON_MS, abandon)
    }
    stop.addEventListener('abort', onStop, { once: true })
    if (stop.aborted) onStop()
    call(exporter, batch, controller.signal).then(settle, (cause: unknown) => {
      const message = `exporter "${exporter.type}" threw instead of returning an outcome: ${textOf(cause)}`
      settle({ status: 'retryable', error: new ExportError('CONTRACT', message, cause) })
    })
  })
}

async function call(exporter: Exporter, batch: Batch, signal: AbortSignal): Promise<Outcome> {
  return exporter.send(batch, signal)
}

function late(exporter: Exporter, timeoutMs: number, outcome: { readonly error: Error }): ExportError {
  const message = `exporter "${exporter.type}" took longer than ${timeoutMs} ms for one batch`
  return new ExportError('TIMEOUT', message, outcome.error)
}

function deaf(exporter: Exporter, timeoutMs: number): ExportError {
  const message =
    `exporter "${exporter.type}" has not ended a send ${ABANDON_MS} ms after its limit of ${timeoutMs} ms: it gets no other ` +
    'until it has; restart the agent if that does not come'
  return new ExportError('TIMEOUT', message)
}

/** Waits for `work`, but no longer than `ms`: a sink that hangs must not keep the agent from ending. */
export function waitAtMost(work: Promise<void>, ms: number, clock: Clock): Promise<void> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(ms, resolve)
    work.finally(cancel).then(resolve, reject)
  })
}

/** The value of `work`, or undefined when the signal aborts first. Rejects as `work` does. */
export function within<T>(work: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const stop = (): void => resolve(undefined)
    if (signal.aborted) return stop()
    signal.addEventListener('abort', stop, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop))
  })
}
