/** Groups a batch by topic and partition. Events keep their order, and all events of a key go to one partition. */
import { endOf, epochOf, isDescribed } from '../../contract/encoded.ts'
import type { About } from '../../contract/described.ts'
import type { Batch, Encoded } from '../../contract/exporter.ts'
import type { PartitionNumbers } from '../../contract/numbering.ts'
import type { KafkaRecord, NumberHeader, Records } from './client/record-batch.ts'
import { PENDING } from './fates.ts'
import type { Fates } from './fates.ts'
import type { RecordHeaders } from './headers.ts'
import { namespaceOf, partitionOf } from './partitions.ts'
import type { Keys } from './partitions.ts'
import type { TopicOf } from './topic.ts'

/** Records for one partition, with the origin of each. */
export interface PartitionBatch {
  readonly topic: string
  readonly partition: number
  /** Number of the first record in its partition. */
  readonly first: number
  readonly records: PlacedRecords
}

const UNKNOWN: About = { type: 'process_kprobe', policy: '' }

/** Upper bound of a record's varints and of the head of a batch, which a single record needs too. */
const RECORD_EXTRA = 128

/**
 * The records of a partition batch, without an object for each: a batch in flight would keep all of them through collections of garbage.
 * `at` returns the same object each time, with other contents.
 */
export class PlacedRecords implements Records {
  readonly parts: Encoded[] = []
  readonly indices: number[] = []
  readonly #keys: Array<Buffer | null> = []
  readonly #layout: Pick<Layout, 'headers' | 'endBytes'>
  readonly #first: number
  readonly #nowMs: number
  #record: PlacedRecord | undefined

  /** `first` is the number of the first one in its partition; `nowMs` is the time of events without a description. */
  constructor(layout: Pick<Layout, 'headers' | 'endBytes'>, first: number, nowMs: number) {
    this.#layout = layout
    this.#first = first
    this.#nowMs = nowMs
  }

  get length(): number {
    return this.indices.length
  }

  /** Appends the event at an index of a part. */
  add(part: Encoded, index: number, key: Buffer | null): void {
    this.parts.push(part)
    this.indices.push(index)
    this.#keys.push(key)
  }

  /** Records `from` up to `to` (exclusive). */
  slice(from: number, to: number): PlacedRecords {
    if (from === 0 && to === this.length) return this
    const piece = new PlacedRecords(this.#layout, this.#first + from, this.#nowMs)
    for (let i = from; i < to; i++) {
      const part = this.parts[i]
      if (part !== undefined) piece.add(part, this.indices[i] ?? 0, this.#keys[i] ?? null)
    }
    return piece
  }

  /** Upper bound of the bytes of a record in a request. */
  sizeAt(i: number): number {
    const part = this.parts[i]
    if (part === undefined) return 0
    const index = this.indices[i] ?? 0
    const headers = this.#layout.headers.sizeOf(aboutOf(part, index), epochOf(part))
    return endOf(part, index + 1) - endOf(part, index) + (this.#keys[i]?.length ?? 0) + headers + RECORD_EXTRA
  }

  keyAt(i: number): Buffer | null {
    return this.#keys[i] ?? null
  }

  at(i: number): PlacedRecord | undefined {
    const part = this.parts[i]
    const index = this.indices[i]
    if (part === undefined || index === undefined) return undefined
    const { headers, endBytes } = this.#layout
    const start = endOf(part, index)
    const length = Math.max(0, endOf(part, index + 1) - endBytes - start)
    const record = (this.#record ??= new PlacedRecord(headers))
    record.key = this.keyAt(i)
    record.value = Buffer.from(part.bytes.buffer, part.bytes.byteOffset + start, length)
    record.partitionSeq = this.#first + i
    record.number = part.number === undefined ? undefined : part.number + index
    record.about = aboutOf(part, index)
    if (isDescribed(part)) {
      record.timestampMs = Math.floor(part.times[index] ?? this.#nowMs)
      record.seq = part.seqs[index] ?? part.firstSeq + index
      record.epoch = part.epoch
    } else {
      record.timestampMs = this.#nowMs
      record.seq = part.firstSeq + index
      record.epoch = undefined
    }
    return record
  }
}

/** Contents of the record that was read last. */
class PlacedRecord implements KafkaRecord {
  key: Buffer | null = null
  value: Buffer = Buffer.alloc(0)
  timestampMs = 0
  partitionSeq = 0
  number: number | undefined
  about: About = UNKNOWN
  epoch: string | undefined
  seq = 0
  readonly #headers: RecordHeaders
  readonly #numbers: readonly NumberHeader[]

  constructor(headers: RecordHeaders) {
    this.#headers = headers
    this.#numbers = headers.numbers()
  }

  get numbers(): KafkaRecord['numbers'] {
    if (!this.#headers.areNumbers(this)) return undefined
    const [seq, exporter, partition] = this.#numbers
    if (seq !== undefined) seq.number = this.seq
    if (exporter !== undefined) exporter.number = this.number ?? 0
    if (partition !== undefined) partition.number = this.partitionSeq
    return this.#numbers
  }

  get common(): KafkaRecord['common'] {
    return this.#headers.common(this.about.type)
  }

  get own(): KafkaRecord['own'] {
    return this.#headers.own(this)
  }
}

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
  const { keys, topicOf, byNamespace, endBytes, numbers } = layout
  const batchOf = (topic: string, partition: number): PartitionBatch => {
    let own = partitionBatches.get(topic)
    if (own === undefined) partitionBatches.set(topic, (own = []))
    const laidOut = own[partition]
    if (laidOut !== undefined) return laidOut
    const first = numbers.get(nameOf({ topic, partition }))?.next ?? 0
    const records = new PlacedRecords(layout, first, nowMs)
    const made = { topic, partition, first, records }
    own[partition] = made
    all.push(made)
    return made
  }
  let lastKey: Buffer | null = null
  let lastCount = 0
  let lastPartition = 0
  for (const part of batch.parts) {
    const fates = known.of(part)
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
      const key = keys.of(about, whole, start, Math.max(start, end - endBytes))
      let partition = turn % count
      if (key !== null) {
        // Usually the same key as before.
        if (key !== lastKey || count !== lastCount) lastPartition = partitionOf(key, count)
        partition = lastPartition
      }
      lastKey = key
      lastCount = count
      const natural = batchOf(topic, partition)
      natural.records.add(part, i, key)
      // Also to the other partitions, for readers of only one: the last number there distinguishes silence from a lost end.
      for (const other of about.run === undefined ? [] : numbers.values()) {
        const copy = batchOf(other.topic, other.partition)
        if (copy !== natural) copy.records.add(part, i, key)
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
