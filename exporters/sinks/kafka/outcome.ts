/** Combines the fates of a batch's events and the faults of its partitions into one Outcome. */
import { ExportError } from '../../contract/errors.ts'
import type { Batch, Outcome, Refusal } from '../../contract/exporter.ts'
import type { KafkaFault } from './client/faults.ts'
import { ACKED, INVALID, PENDING, TOO_LARGE } from './fates.ts'
import type { Fate, Fates } from './fates.ts'

/** Permanent fates and their reason in metrics. */
const REFUSED: ReadonlyArray<readonly [Fate, string]> = [
  [TOO_LARGE, 'too_large'],
  [INVALID, 'invalid'],
]

export const REFUSAL_REASONS: readonly string[] = REFUSED.map(([, reason]) => reason)

/**
 * Temporary faults come before those that need manual action, because they are retried sooner. `messages` explain refused events,
 * by fate. `unacknowledged`: number of events that may be written.
 */
export function outcomeOf(
  batch: Batch,
  known: Fates,
  faults: readonly KafkaFault[],
  messages: ReadonlyMap<Fate, string>,
  unacknowledged: number,
): Outcome {
  const fault = faults.find(({ kind }) => kind !== 'config') ?? faults[0]
  if (fault !== undefined) {
    const error = new ExportError('IO', fault.message, fault)
    const taken = settledOf(batch, known)
    // Settled events are reported first; the next call, which follows at once, returns `hold`.
    if (fault.kind === 'config' && taken === 0) return { status: 'hold', ...acknowledgedOf(batch, known), error }
    const refusals = refusalsOf(batch, known, messages, taken)
    return {
      status: 'retryable',
      taken,
      unacknowledged,
      ...acknowledgedOf(batch, known, taken),
      ...(refusals.length === 0 ? {} : { refusals }),
      ...(fault.kind === 'config' ? { afterMs: 0 } : {}),
      error,
    }
  }
  const refusals = refusalsOf(batch, known, messages, batch.count)
  const [first] = refusals
  if (first === undefined) return { status: 'delivered' }
  if (first.events < batch.count) return { status: 'partial', refusals }
  return { status: 'rejected', reason: first.reason, error: new ExportError('IO', first.message) }
}

/** Acknowledged events after the first `taken`. */
export function acknowledgedOf(batch: Batch, known: Fates, taken = 0): { readonly acknowledged?: readonly number[] } {
  const acknowledged = indexesOf(batch, known, ACKED).filter((index) => index >= taken)
  return acknowledged.length === 0 ? {} : { acknowledged }
}

/** One per reason among the first `count` events. */
function refusalsOf(
  batch: Batch,
  known: Fates,
  messages: ReadonlyMap<Fate, string>,
  count: number,
): readonly Refusal[] {
  return REFUSED.flatMap(([fate, reason]) => {
    const which = indexesOf(batch, known, fate).filter((index) => index < count)
    if (which.length === 0) return []
    return [{ reason, events: which.length, which, message: messages.get(fate) ?? reason }]
  })
}

/**
 * Number of events in the first parts without pending events. Only whole parts: the sender would cut a part, and its remembered
 * fates could not be found again.
 */
function settledOf(batch: Batch, known: Fates): number {
  let settled = 0
  for (const part of batch.parts) {
    const fates = known.of(part)
    if (fates === undefined || fates.includes(PENDING)) break
    settled += part.count
  }
  return settled
}

/** Indexes in the batch of the events with a fate, ascending. */
function indexesOf(batch: Batch, known: Fates, wanted: Fate): number[] {
  const found: number[] = []
  let first = 0
  for (const part of batch.parts) {
    known.of(part)?.forEach((fate, i) => {
      if (fate === wanted) found.push(first + i)
    })
    first += part.count
  }
  return found
}
