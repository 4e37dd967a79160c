/**
 * Requests of an idempotent producer whose answer was lost, one for each partition at most. The broker knows a repetition by
 * its sequence number, so the same number must mean the same records: such a request is sent again as it was, before all
 * else. When its records are not to be sent any more, or not there, the numbers are worth nothing: a new producer is needed.
 */
import type { Encoded } from '../../contract/exporter.ts'
import type { PartitionBatch } from './partition-batches.ts'

interface Request {
  readonly parts: readonly Encoded[]
  readonly indices: readonly number[]
}

export class Unacknowledged {
  readonly #requests = new Map<string, Request>()

  /** Records whose fate is unknown. */
  get records(): number {
    return this.#requests.values().reduce((sum, { indices }) => sum + indices.length, 0)
  }

  /** The answer to the records `from`..`to` of the lane was lost. */
  add(partitionBatch: PartitionBatch, from: number, to: number): void {
    this.#requests.set(nameOf(partitionBatch), {
      parts: partitionBatch.parts.slice(from, to),
      indices: partitionBatch.indices.slice(from, to),
    })
  }

  /** How many records at the head of the lane are one request; undefined when nothing of it is unsure. */
  headOf(partitionBatch: PartitionBatch): number | undefined {
    return this.#requests.get(nameOf(partitionBatch))?.indices.length
  }

  settle(partitionBatch: PartitionBatch): void {
    this.#requests.delete(nameOf(partitionBatch))
  }

  clear(): void {
    this.#requests.clear()
  }

  /** True when each lane begins with what is unsure of it. */
  fits(partitionBatches: readonly PartitionBatch[]): boolean {
    return partitionBatches.every((partitionBatch) => {
      const request = this.#requests.get(nameOf(partitionBatch))
      return (
        request?.indices.every(
          (index, i) => partitionBatch.indices[i] === index && partitionBatch.parts[i] === request.parts[i],
        ) ?? true
      )
    })
  }
}

function nameOf({ topic, partition }: PartitionBatch): string {
  return `${topic}/${partition}`
}
