/** The headers of records. Events of a kind share one object, so that it is encoded once. */
import { runOf } from '../../contract/described.ts'
import type { About, LossAbout } from '../../contract/described.ts'
import type { Change } from '../../contract/event.ts'
import type { Numbering } from '../../contract/numbering.ts'
import type { ExporterContext } from '../context.ts'
import type { KafkaConfig } from './client/connection.ts'
import { numberHeader } from './client/record-batch.ts'
import type { NumberHeader } from './client/record-batch.ts'

type Headers = Readonly<Record<string, string>>
/** Version of the events' JSON; to be incremented by changes that break consumers. */
const SCHEMA = 1

const LARGEST = {
  seq: Number.MAX_SAFE_INTEGER,
  number: Number.MAX_SAFE_INTEGER,
  partitionSeq: Number.MAX_SAFE_INTEGER,
  timestampMs: 0,
}
/** Upper bound of the two varints of a header: names and texts below 1 MiB. */
const HEADER_LENGTHS = 6

/**
 * Plain: content-type, event-type, node, schema, seq. CloudEvents 1.0, binary mode, adds ce_specversion, ce_source,
 * ce_type, ce_id, ce_time (Kafka protocol binding §3.2); ce_id is the same text as seq, unique with ce_source. A loss record
 * also has loss_stage, loss_reason, loss_count and, in the stage `exporter`, loss_exporter. The headers exporter_seq and partition_seq,
 * and those of records about the run, are for readers that check for missing records (docs/explanation/audit-algorithm.md).
 */
export class RecordHeaders {
  readonly #config: Pick<KafkaConfig, 'format' | 'cluster_name'>
  readonly #nodeName: string
  readonly #prefix: string
  readonly #numbering: Numbering | undefined
  readonly #byType = new Map<About['type'], Headers>()
  readonly #sizes = new WeakMap<About, number>()

  constructor(config: Pick<KafkaConfig, 'format' | 'cluster_name'>, { nodeName, epoch, numbering }: HeaderContext) {
    this.#config = config
    this.#nodeName = nodeName
    this.#prefix = `${epoch}-`
    this.#numbering = numbering
  }

  /** For a record with events of several types. */
  get ofMany(): Headers {
    return { 'content-type': 'application/x-protobuf', node: this.#nodeName, schema: String(SCHEMA) }
  }

  /** One object for all events of a type. */
  common(type: About['type']): Headers {
    const known = this.#byType.get(type)
    if (known !== undefined) return known
    const { format, cluster_name: clusterName } = this.#config
    const nodeName = this.#nodeName
    const plain = { 'content-type': 'application/json', 'event-type': type, node: nodeName, schema: String(SCHEMA) }
    const cloud = {
      ce_specversion: '1.0',
      ce_source: `//${encodeURIComponent(clusterName)}/${encodeURIComponent(nodeName)}`,
      ce_type: `io.ktrail.${type}.v${SCHEMA}`,
    }
    const made = format === 'cloudevents' ? { ...plain, ...cloud } : plain
    this.#byType.set(type, made)
    return made
  }

  /** The headers that `own` returns when `areNumbers`, in its order, without their numbers. */
  numbers(): NumberHeader[] {
    const seq = numberHeader('seq', this.#prefix)
    if (this.#numbering === undefined) return [seq]
    const { exporter, run } = this.#numbering
    return [seq, numberHeader('exporter_seq', `${exporter}-`), numberHeader('partition_seq', `${run}-`)]
  }

  /** Whether all headers of an event are numbers of this run. */
  areNumbers({ number, about, epoch }: Pick<Identified, 'number' | 'about' | 'epoch'>): boolean {
    if (this.#config.format === 'cloudevents' || epoch !== undefined) return false
    if (this.#numbering !== undefined && number === undefined) return false
    return about.loss === undefined && about.run === undefined && about.change === undefined
  }

  /** Upper bound of the bytes of an event's headers; `epoch` as in `own`. */
  sizeOf(about: About, epoch: string | undefined): number {
    let size = this.#sizes.get(about)
    if (size === undefined) {
      const own = this.own({ ...LARGEST, about, epoch: undefined })
      size = 0
      for (const [name, text] of Object.entries({ ...this.common(about.type), ...own }))
        size += name.length + Buffer.byteLength(text) + HEADER_LENGTHS
      this.#sizes.set(about, size)
    }
    // In `seq` and `ce_id`.
    return size + 2 * (epoch?.length ?? 0)
  }

  /** For one event; `epoch` if its number belongs to another agent run. */
  own({ seq, number, partitionSeq, timestampMs, about, epoch }: Identified): Headers {
    const text = epoch === undefined ? this.#prefix + seq : `${epoch}-${seq}`
    const headers: Record<string, string> = { seq: text }
    if (this.#numbering !== undefined) {
      const { exporter, run } = this.#numbering
      if (number !== undefined) headers['exporter_seq'] = `${exporter}-${number}`
      headers['partition_seq'] = `${run}-${partitionSeq}`
    }
    if (this.#config.format === 'cloudevents') {
      headers['ce_id'] = text
      headers['ce_time'] = new Date(timestampMs).toISOString()
    }
    if (about.loss !== undefined) Object.assign(headers, lossHeaders(about.loss))
    if (about.run !== undefined) {
      const members = runOf(about.run, this.#numbering?.exporter ?? '')
      for (const [name, value] of Object.entries(members)) headers[`run_${name}`] = String(value)
    }
    if (about.change !== undefined) Object.assign(headers, changeHeaders(about.change))
    return headers
  }
}

/** An event, its numbers, and its time in milliseconds. */
export interface Identified {
  readonly seq: number
  readonly number: number | undefined
  readonly partitionSeq: number
  readonly timestampMs: number
  readonly about: About
  readonly epoch: string | undefined
}

/** Without `numbering`, records have no numbers but the agent's. */
export type HeaderContext = Pick<ExporterContext, 'nodeName' | 'epoch'> & { readonly numbering?: Numbering | undefined }

/** In headers, because strict readers of Tetragon's records would refuse them in the value. */
function lossHeaders({ stage, exporter, reason, count, numbers }: LossAbout): Headers {
  return {
    loss_stage: stage,
    loss_reason: reason,
    ...(exporter === '' ? {} : { loss_exporter: exporter }),
    loss_count: String(count),
    ...(numbers && { loss_first: String(numbers.first), loss_last: String(numbers.last) }),
  }
}

/** For a reader of headers only; the names are a list in the value, too. */
function changeHeaders({ what, by, names, count, mode, modeBefore }: Change): Headers {
  return {
    change_what: what,
    change_by: by,
    change_names: names.join(', '),
    change_count: String(count),
    ...(mode && { change_mode: mode }),
    ...(modeBefore && { change_mode_before: modeBefore }),
  }
}
