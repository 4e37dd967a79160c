import { ExportError, textOf } from '../contract/errors.ts'
import type { Batch, Exporter, Outcome } from '../contract/exporter.ts'
import type { Clock } from '../../config/base/time/clock.ts'

/** How long an exporter may take to settle after an abort. */
export const ABANDON_MS = 1000

export interface SendLimits {
  readonly timeoutMs: number
  /** Aborts when no time is left. */
  readonly stop: AbortSignal
  readonly clock: Clock
  /** Called once if the exporter does not settle after its timeout. */
  readonly onUnresponsive: (error: ExportError) => void
}

/**
 * Calls `exporter.send` with a timeout: after `timeoutMs` its signal aborts and the outcome is a timeout. Even then it waits for the
 * exporter, which must not be called twice at once. The wait ends a second after `stop` aborts; a later result is ignored. Never
 * throws; an exception of the exporter is a `retryable`.
 */
export function sendWithin(exporter: Exporter, batch: Batch, limits: SendLimits): Promise<Outcome> {
  const { timeoutMs, stop, clock, onUnresponsive } = limits
  return new Promise((resolve) => {
    const controller = new AbortController()
    let timedOut = false
    let cancel = clock.after(timeoutMs, () => {
      timedOut = true
      controller.abort()
      cancel = clock.after(ABANDON_MS, () => onUnresponsive(unresponsive(exporter, timeoutMs)))
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
      const message = `exporter "${exporter.type}" did not stop within ${ABANDON_MS} ms`
      const abandon = (): void => settle({ status: 'retryable', error: new ExportError('ABORTED', message) })
      cancel = clock.after(ABANDON_MS, abandon)
    }
    stop.addEventListener('abort', onStop, { once: true })
    if (stop.aborted) onStop()
    new Promise<Outcome>((sent) => sent(exporter.send(batch, controller.signal))).then(settle, (cause: unknown) => {
      const message = `exporter "${exporter.type}" threw instead of returning an outcome: ${textOf(cause)}`
      settle({ status: 'retryable', error: new ExportError('CONTRACT', message, cause) })
    })
  })
}

function late(exporter: Exporter, timeoutMs: number, outcome: { readonly error: Error }): ExportError {
  const message = `exporter "${exporter.type}" took longer than ${timeoutMs} ms for one batch`
  return new ExportError('TIMEOUT', message, outcome.error)
}

function unresponsive(exporter: Exporter, timeoutMs: number): ExportError {
  const message =
    `exporter "${exporter.type}" has not ended a send ${ABANDON_MS} ms after its timeout of ${timeoutMs} ms: it gets no ` +
    'more events until it does; if it never does, restart the agent'
  return new ExportError('TIMEOUT', message)
}
