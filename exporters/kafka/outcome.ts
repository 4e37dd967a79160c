/** From the fates of a batch's events and the faults of its lanes to the one Outcome that the sender books. */
import { ExportError } from '../errors.ts'
import type { Batch, Outcome } from '../exporter.ts'
import type { KafkaFault } from './faults.ts'
import { ACKED, INVALID, TOO_LARGE } from './lanes.ts'
import type { Memory } from './lanes.ts'

/** Faults that pass by themselves come before those that need a person: they are tried again sooner. */
export function outcomeOf(batch: Batch, memory: Memory, faults: readonly KafkaFault[]): Outcome {
  const fault = faults.find(({ kind }) => kind !== 'config') ?? faults[0]
  if (fault !== undefined) {
    const error = new ExportError('IO', fault.message, fault)
    if (fault.kind === 'config') return { status: 'hold', error }
    return { status: 'retryable', taken: takenOf(batch, memory), error }
  }
  const tooLarge = countOf(batch, memory, TOO_LARGE)
  const invalid = countOf(batch, memory, INVALID)
  if (tooLarge + invalid === 0) return { status: 'delivered' }
  // One name for both kinds in one batch: that of the more frequent.
  const reason = tooLarge >= invalid ? 'too_large' : 'invalid'
  if (tooLarge + invalid < batch.count) return { status: 'partial', rejected: tooLarge + invalid, reason }
  const said = reason === 'too_large' ? 'they are larger than a record may be' : 'the broker calls them invalid'
  return { status: 'rejected', reason, error: new ExportError('IO', `Kafka refuses ${batch.count} events: ${said}`) }
}

/**
 * Events of the parts at the head that are acknowledged whole. Never a piece of a part: the sender would cut it, and
 * what is remembered of a part would not be found again.
 */
function takenOf(batch: Batch, memory: Memory): number {
  let taken = 0
  for (const part of batch.parts) {
    const fates = memory.of(part)
    if (fates === undefined || !fates.every((fate) => fate === ACKED)) break
    taken += part.count
  }
  return taken
}

function countOf(batch: Batch, memory: Memory, wanted: number): number {
  let count = 0
  for (const part of batch.parts) {
    const fates = memory.of(part)
    if (fates !== undefined) for (const fate of fates) if (fate === wanted) count++
  }
  return count
}
