/** Groups a batch by topic and partition. Events keep their order, and all events of a key go to one partition. */
import { isDescribed } from '../../contract/encoded.ts'
import type { About } from '../../contract/described.ts'
import type { Batch, Encoded } from '../../contract/exporter.ts'
import type { PartitionNumbers } from '../../contract/numbering.ts'
import type { KafkaRecord } from './client/record-batch.ts'
import { PENDING } from './fates.ts'
import type { Fates } from './fates.ts'
import type { Identified, RecordHeaders } from './headers.ts'
import { namespaceOf, partitionOf } from './partitions.ts'
import type { Keys } from './partitions.ts'
import type { TopicOf } from './topic.ts'

/** Records for one partition, with the origin of each. */
export interface PartitionBatch {
  readonly topic: string
  readonly partition: number
  /** Number of the first record in its partition. */
  readonly first: number
  readonly records: KafkaRecord[]
  readonly parts: Encoded[]
  readonly indices: number[]
}

/** Upper bound of a record's size besides key and value: varints and headers. */
const RECORD_EXTRA = 512
/** Upper bound of the bytes of a record in a request. */
export function sizeOf(record: KafkaRecord | undefined): number {
  return record === undefined
    ? 0
    : (record.valueLength ?? record.value.length) + (record.key?.length ?? 0) + RECORD_EXTRA
}

/** Value and headers are made when they are written: those of a whole batch would survive collections of garbage. */
class PlacedRecord implements KafkaRecord {
  readonly key: Buffer | null
  readonly common: KafkaRecord['common']
  readonly timestampMs: number
  readonly valueLength: number
  readonly #part: Buffer
  readonly #from: number
  readonly #headers: RecordHeaders
  readonly #of: Identified

  /** Its value is `length` bytes of `part` from `from` on. */
  constructor(key: Buffer | null, part: Buffer, from: number, length: number, headers: RecordHeaders, of: Identified) {
    this.key = key
    this.common = headers.common(of.about.type)
    this.timestampMs = of.timestampMs
    this.valueLength = length
    this.#part = part
    this.#from = from
    this.#headers = headers
    this.#of = of
  }

  get value(): Buffer {
    return this.#part.subarray(this.#from, this.#from + this.valueLength)
  }

  get own(): KafkaRecord['own'] {
    return this.#headers.own(this.#of)
  }
}

const UNKNOWN: About = { type: 'process_kprobe', policy: '' }

export interface Layout {
  readonly keys: Keys
  readonly topicOf: TopicOf
  /** Its topics depend on the namespaces of pods. */
  readonly byNamespace: boolean
  readonly headers: RecordHeaders
  /** Bytes at the end of an event that are not part of a record: the line feed. */
  readonly endBytes: number
  /** The partitions of this run, by topic and partition. */
  readonly numbers: Map<string, PartitionNumbers>
}

/** The topics of a batch's pending events. */
export function topicsOf(batch: Batch, known: Fates, { topicOf, byNamespace }: Layout): Set<string> {
  const topics = new Set<string>()
  for (const part of batch.parts) {
    const fates = known.of(part)
    let last: About | undefined
    let end = 0
    for (let i = 0; i < part.count; i++) {
      const start = end
      end = part.ends[i] ?? end
      if (fates !== undefined && fates[i] !== PENDING) continue
      const about = aboutOf(part, i)
      if (byNamespace) topics.add(topicOf(about, namespaceIn(part.bytes, start, end)))
      else if (about !== last) topics.add(topicOf(about))
      last = about
    }
  }
  return topics
}

/**
 * Groups the pending events whose topic has a known number of partitions. All keyless events of a send go to partition `turn` of
 * their topic, which gives large batches.
 */
export function layOut(
  batch: Batch,
  known: Fates,
  layout: Layout,
  partitions: ReadonlyMap<string, number>,
  turn: number,
  nowMs: number,
): PartitionBatch[] {
  const partitionBatches = new Map<string, PartitionBatch[]>()
  const all: PartitionBatch[] = []
  const { keys, topicOf, byNamespace, headers, endBytes, numbers } = layout
  let lastKey: Buffer | null = null
  let lastCount = 0
  let lastPartition = 0
  for (const part of batch.parts) {
    const fates = known.of(part)
    const described = isDescribed(part) ? part : undefined
    const whole = Buffer.from(part.bytes.buffer, part.bytes.byteOffset, part.bytes.byteLength)
    let end = 0
    for (let i = 0; i < part.count; i++) {
      const start = end
      end = part.ends[i] ?? end
      if (fates !== undefined && fates[i] !== PENDING) continue
      const about = aboutOf(part, i)
      const topic = byNamespace ? topicOf(about, namespaceIn(part.bytes, start, end)) : topicOf(about)
      const count = partitions.get(topic)
      if (count === undefined) continue
      const length = Math.max(0, end - endBytes - start)
      const key = keys.of(about, whole, start, start + length)
      let partition = turn % count
      if (key !== null) {
        // Usually the same key as before.
        if (key !== lastKey || count !== lastCount) lastPartition = partitionOf(key, count)
        partition = lastPartition
      }
      lastKey = key
      lastCount = count
      const timestampMs = described === undefined ? nowMs : Math.floor(described.times[i] ?? nowMs)
      const seq = described?.seqs[i] ?? part.firstSeq + i
      const number = part.number === undefined ? undefined : part.number + i
      const natural = partitionBatchOf(partitionBatches, all, topic, partition, numbers)
      const targets = [natural]
      // Also to the other partitions, for readers of only one: the last number there distinguishes silence from a lost end.
      for (const other of about.run === undefined ? [] : numbers.values()) {
        const copy = partitionBatchOf(partitionBatches, all, other.topic, other.partition, numbers)
        if (copy !== natural) targets.push(copy)
      }
      for (const { first, records, parts, indices } of targets) {
        const partitionSeq = first + records.length
        const of: Identified = { seq, number, partitionSeq, timestampMs, about, epoch: described?.epoch }
        records.push(new PlacedRecord(key, whole, start, length, headers, of))
        parts.push(part)
        indices.push(i)
      }
    }
  }
  return all
}

function namespaceIn({ buffer, byteOffset }: Uint8Array, start: number, end: number): string {
  return namespaceOf(Buffer.from(buffer, byteOffset + start, end - start))
}

function aboutOf(part: Encoded, index: number): About {
  return isDescribed(part) ? (part.abouts[index] ?? UNKNOWN) : UNKNOWN
}

/** The records before `to` of a partition batch are settled, so that the next ones get the numbers after them. */
export function settleNumbers(numbers: Layout['numbers'], batch: PartitionBatch, to: number): void {
  const { topic, partition, first } = batch
  const known = numbers.get(nameOf(batch))
  if (known !== undefined) known.next = first + to
  else numbers.set(nameOf(batch), { topic, partition, next: first + to })
}

export function nameOf({ topic, partition }: Pick<PartitionBatch, 'topic' | 'partition'>): string {
  return `${topic}/${partition}`
}

function partitionBatchOf(
  partitionBatches: Map<string, PartitionBatch[]>,
  all: PartitionBatch[],
  topic: string,
  partition: number,
  numbers: Layout['numbers'],
): PartitionBatch {
  let own = partitionBatches.get(topic)
  if (own === undefined) partitionBatches.set(topic, (own = []))
  const known = own[partition]
  if (known !== undefined) return known
  const first = numbers.get(nameOf({ topic, partition }))?.next ?? 0
  const made = { topic, partition, first, records: [], parts: [], indices: [] }
  own[partition] = made
  all.push(made)
  return made
}
