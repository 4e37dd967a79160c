/**
 * kafkajs 2.2.4 keeps a timer running on every idle connection and arms it with a negative time, which Node turns into
 * 1 ms: about 900 wake-ups a second and a TimeoutNegativeWarning (tulios/kafkajs#1751, fixes #1755 and #1768 unmerged).
 * The guard arms it only when something is pending or a throttle runs.
 */
import { insideOf, installedVersion, KNOWN_VERSION } from './internals.ts'
import { repairConnections } from './repairs.ts'

interface RequestQueue {
  readonly pending: readonly unknown[]
  readonly throttledUntil: number
  readonly inflight: ReadonlyMap<number, unknown>
  scheduleCheckPendingRequests(): void
  fulfillRequest(answer: { readonly correlationId: number }): void
}

interface Decoder {
  readonly buffer: Buffer
  readonly offset: number
  readArray(element: unknown): unknown
  readArrayAsync(element: unknown): unknown
}

let applied = false

/** Applies this guard and the repairs of connections once per process. Returns false, without changes, for an unknown version. */
export function guardKafkajs(version: string = installedVersion()): boolean {
  if (version !== KNOWN_VERSION) return false
  if (applied) return true
  const queue = insideOf<RequestQueue>('network/requestQueue', 'scheduleCheckPendingRequests')
  const { scheduleCheckPendingRequests: schedule, fulfillRequest: fulfill } = queue
  queue.scheduleCheckPendingRequests = function guarded(this: RequestQueue): void {
    if (this.pending.length > 0 || this.throttledUntil > Date.now()) schedule.call(this)
  }
  boundCounts()
  // kafkajs logs unexpected answers. The throw ends a repaired connection, which gets no late ones.
  queue.fulfillRequest = function fulfillExpected(this: RequestQueue, answer): void {
    if (!this.inflight.has(answer.correlationId)) throw new Error('an answer without a request')
    fulfill.call(this, answer)
  }
  repairConnections()
  applied = true
  return true
}

/** kafkajs allocates as many elements as an answer announces: 256 MB for 32 million. Each takes at least a byte. */
function boundCounts(): void {
  const decoder = insideOf<Decoder>('protocol/decoder', 'readArrayAsync')
  for (const name of ['readArray', 'readArrayAsync'] as const) {
    const read = decoder[name]
    decoder[name] = function readBounded(this: Decoder, element): unknown {
      const [count, bytes] = [this.buffer.readInt32BE(this.offset), this.buffer.length - this.offset]
      if (count > bytes) throw new Error(`expected at most ${bytes} elements in an answer of Kafka, got ${count}`)
      return read.call(this, element)
    }
  }
}
