/** From the fates of a batch's events and the faults of its lanes to the one Outcome that the sender books. */
import { ExportError } from '../../contract/errors.ts'
import type { Batch, Outcome, Refusal } from '../../contract/exporter.ts'
import type { KafkaFault } from './faults.ts'
import { INVALID, PENDING, TOO_LARGE } from './partition-batches.ts'
import type { Fate, Memory } from './partition-batches.ts'

/** Fates of events that are refused for good, and the words that metrics know them by. */
const REFUSED: ReadonlyArray<readonly [Fate, string]> = [
  [TOO_LARGE, 'too_large'],
  [INVALID, 'invalid'],
]

/**
 * Faults that pass by themselves come before those that need a person: they are tried again sooner. `said` is what the
 * broker, or we in its place, said of refused events, by fate. `unsure`: events that may be written, for want of an answer.
 */
export function outcomeOf(
  batch: Batch,
  memory: Memory,
  faults: readonly KafkaFault[],
  said: ReadonlyMap<Fate, string>,
  unacknowledged: number,
): Outcome {
  const fault = faults.find(({ kind }) => kind !== 'config') ?? faults[0]
  if (fault !== undefined) {
    const error = new ExportError('IO', fault.message, fault)
    const taken = settledOf(batch, memory)
    // With something settled first: the next call, which comes at once, finds nothing settled and holds.
    if (fault.kind === 'config' && taken === 0) return { status: 'hold', error }
    const refusals = refusalsOf(batch, memory, said, taken)
    return {
      status: 'retryable',
      taken,
      unacknowledged,
      ...(refusals.length === 0 ? {} : { refusals }),
      ...(fault.kind === 'config' ? { afterMs: 0 } : {}),
      error,
    }
  }
  const refusals = refusalsOf(batch, memory, said, batch.count)
  const [first] = refusals
  if (first === undefined) return { status: 'delivered' }
  if (first.events < batch.count) return { status: 'partial', refusals }
  return { status: 'rejected', reason: first.reason, error: new ExportError('IO', first.message) }
}

/** One for each reason that there is among the first `count` events. */
function refusalsOf(batch: Batch, memory: Memory, said: ReadonlyMap<Fate, string>, count: number): readonly Refusal[] {
  return REFUSED.flatMap(([fate, reason]) => {
    const which = indexesOf(batch, memory, fate).filter((index) => index < count)
    if (which.length === 0) return []
    return [{ reason, events: which.length, which, message: said.get(fate) ?? reason }]
  })
}

/**
 * Events of the parts at the head of which none is pending. Never a piece of a part: the sender would cut it, and
 * what is remembered of a part would not be found again.
 */
function settledOf(batch: Batch, memory: Memory): number {
  let settled = 0
  for (const part of batch.parts) {
    const fates = memory.of(part)
    if (fates === undefined || fates.includes(PENDING)) break
    settled += part.count
  }
  return settled
}

/** Where in the batch the events of a fate are, ascending. */
function indexesOf(batch: Batch, memory: Memory, wanted: Fate): number[] {
  const found: number[] = []
  let first = 0
  for (const part of batch.parts) {
    memory.of(part)?.forEach((fate, i) => {
      if (fate === wanted) found.push(first + i)
    })
    first += part.count
  }
  return found
}
