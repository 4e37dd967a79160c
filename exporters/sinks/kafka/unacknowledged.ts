/**
 * Unacknowledged requests of an idempotent producer, at most one per partition. The broker recognizes a repeated request by its
 * sequence number, so it must have the same records: it is sent again unchanged and first. If its records are not to be sent any
 * more, a new producer is needed.
 */
import { nameOf } from './partition-batches.ts'
import type { PartitionBatch, PlacedRecords } from './partition-batches.ts'

export class Unacknowledged {
  readonly #requests = new Map<string, PlacedRecords>()

  /** Number of unacknowledged records. */
  get records(): number {
    return this.#requests.values().reduce((sum, { length }) => sum + length, 0)
  }

  /** The records `from`..`to` of the partition batch were not acknowledged. */
  add(partitionBatch: PartitionBatch, from: number, to: number): void {
    this.#requests.set(nameOf(partitionBatch), partitionBatch.records.slice(from, to))
  }

  /** Number of first records that are one unacknowledged request; undefined for none. */
  headOf(partitionBatch: PartitionBatch): number | undefined {
    return this.#requests.get(nameOf(partitionBatch))?.length
  }

  settle(partitionBatch: PartitionBatch): void {
    this.#requests.delete(nameOf(partitionBatch))
  }

  clear(): void {
    this.#requests.clear()
  }

  /** True if each partition batch begins with its unacknowledged records. */
  fits(partitionBatches: readonly PartitionBatch[]): boolean {
    return partitionBatches.every((partitionBatch) => {
      const request = this.#requests.get(nameOf(partitionBatch))
      const { parts, indices } = partitionBatch.records
      return request?.indices.every((index, i) => indices[i] === index && parts[i] === request.parts[i]) ?? true
    })
  }
}
