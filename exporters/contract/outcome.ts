/** Checks an exporter's outcome before the accounting uses it; and one that many exporters have. */
import { ExportError } from './errors.ts'
import type { ExportErrorCode } from './errors.ts'
import type { Outcome } from './exporter.ts'

/** A metric label; free text would create a time series for every message. */
const REASON = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/
const FORM = 'expected {status: delivered | partial | retryable | rejected | hold, …}'

/** The outcome of a `send` that gave no event to the sink; events of an earlier call may still be acknowledged. */
export function notSent(code: ExportErrorCode, message: string): Extract<Outcome, { status: 'retryable' }> {
  return { status: 'retryable', unacknowledged: 0, error: new ExportError(code, message) }
}

type Fields = Readonly<Record<string, unknown>>

/**
 * The problem with the outcome of a batch of `count` events, as a sentence; undefined if it is valid. Accepts any value, because
 * a third-party exporter may return it.
 */
export function checkOutcome({ count }: { readonly count: number }, outcome: unknown): string | undefined {
  if (!isObject(outcome)) return `${FORM}, got ${typeName(outcome)}`
  switch (outcome['status']) {
    case 'delivered':
      return undefined
    case 'partial':
      return checkRefusals(outcome['refusals'], count, 1)
    case 'rejected':
      return checkReason(outcome['reason']) ?? checkError(outcome['error'])
    case 'hold': {
      const { forGood = false, repaired, acknowledged, error } = outcome
      if (typeof forGood !== 'boolean') return `forGood: expected true or false, got ${typeName(forGood)}`
      if (repaired === undefined || repaired instanceof Promise)
        return checkAcknowledged(acknowledged, count, 0) ?? checkError(error)
      return `repaired: expected a Promise, got ${typeName(repaired)}`
    }
    case 'retryable':
      return checkRetryable(outcome, count)
    default:
      return `${FORM}, got status ${JSON.stringify(outcome['status'])}`
  }
}

function checkRetryable(
  { afterMs, taken = 0, unacknowledged = 0, acknowledged, refusals = [], error }: Fields,
  count: number,
): string | undefined {
  if (afterMs !== undefined && !(Number.isFinite(afterMs) && Number(afterMs) >= 0)) {
    return `afterMs: expected milliseconds, got ${String(afterMs)}`
  }
  if (!isCount(taken) || taken > count) return `taken: expected 0 to ${count}, got ${String(taken)}`
  const rest = count - taken
  if (!isCount(unacknowledged) || unacknowledged > rest)
    return `unacknowledged: expected 0 to ${rest}, got ${String(unacknowledged)}`
  return checkAcknowledged(acknowledged, count, taken) ?? checkRefusals(refusals, taken, 0) ?? checkError(error)
}

function checkAcknowledged(acknowledged: unknown = [], count: number, taken: number): string | undefined {
  const problem = checkWhich(acknowledged, undefined, count, taken)
  return problem && `acknowledged: ${problem}`
}

/** `count`: number of events, from the start of the batch, that may be refused. */
function checkRefusals(refusals: unknown, count: number, least: number): string | undefined {
  if (!Array.isArray(refusals) || refusals.length < least) {
    return `refusals: expected a list${least > 0 ? ' of at least one' : ''}, got ${typeName(refusals)}`
  }
  let events = 0
  for (const [i, refusal] of refusals.entries()) {
    const found = checkRefusal(refusal, count)
    if (typeof found === 'string') return `refusals[${i}]: ${found}`
    events += found
  }
  if (events > count) return `refusals: expected at most ${count} events in all, got ${events}`
  return checkOnce(refusals)
}

/** Its number of events, or the problem. */
function checkRefusal(refusal: unknown, count: number): number | string {
  if (!isObject(refusal)) return `expected a refusal, got ${typeName(refusal)}`
  const { reason, events, which, message } = refusal
  if (!isCount(events) || events === 0) return `events: expected at least 1, got ${String(events)}`
  if (typeof message !== 'string') return `message: expected a text, got ${typeName(message)}`
  const problem = which === undefined ? undefined : checkWhich(which, events, count)
  return checkReason(reason) ?? (problem === undefined ? events : `which: ${problem}`)
}

function checkWhich(which: unknown, events: number | undefined, count: number, from = 0): string | undefined {
  if (!Array.isArray(which)) return `expected a list of indexes, got ${typeName(which)}`
  if (which.length !== (events ?? which.length))
    return `expected a list of ${events} indexes, one per event, got ${which.length}`
  let last = -1
  for (const index of which) {
    if (!isCount(index) || index < from || index >= count)
      return `expected indexes ${from > 0 ? `from ${from} ` : ''}below ${count}, got ${String(index)}`
    if (index <= last) return `expected ascending indexes, got ${index} after ${last}`
    last = index
  }
  return undefined
}

function checkOnce(refusals: readonly unknown[]): string | undefined {
  const seen = new Set<unknown>()
  for (const refusal of refusals) {
    const which = isObject(refusal) && Array.isArray(refusal['which']) ? refusal['which'] : []
    for (const index of which) {
      if (seen.has(index)) return `refusals: expected each event once, got ${String(index)} twice`
      seen.add(index)
    }
  }
  return undefined
}

function checkReason(reason: unknown): string | undefined {
  if (typeof reason === 'string' && REASON.test(reason)) return undefined
  return `reason: expected a word such as too_large, got ${JSON.stringify(reason) ?? 'nothing'}`
}

function checkError(error: unknown): string | undefined {
  return error instanceof Error ? undefined : `error: expected an Error, got ${typeName(error)}`
}

export function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0
}

function typeName(value: unknown): string {
  if (value === undefined || value === null) return 'nothing'
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}
