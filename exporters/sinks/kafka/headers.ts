/** The headers of records. Events of a kind share one object, so that drivers encode it once. */
import type { LossKind } from '../../contract/event.ts'
import type { About } from '../../contract/described.ts'
import type { ExporterContext } from '../../context.ts'
import type { KafkaConfig } from './connection.ts'

type Headers = Readonly<Record<string, string>>
/** Version of the events' JSON; to be incremented by changes that break consumers. */
const SCHEMA = 1

/**
 * Plain: content-type, event-type, node, schema, seq. CloudEvents 1.0, binary mode, adds ce_specversion, ce_source,
 * ce_type, ce_id, ce_time (Kafka protocol binding §3.2); ce_id is the same text as seq, unique with ce_source. A loss record
 * also has loss_stage, loss_reason and, in the stage `exporter`, loss_exporter.
 */
export class RecordHeaders {
  readonly #config: Pick<KafkaConfig, 'format' | 'cluster_name'>
  readonly #nodeName: string
  readonly #prefix: string
  readonly #byType = new Map<About['type'], Headers>()

  constructor(
    config: Pick<KafkaConfig, 'format' | 'cluster_name'>,
    { nodeName, epoch }: Pick<ExporterContext, 'nodeName' | 'epoch'>,
  ) {
    this.#config = config
    this.#nodeName = nodeName
    this.#prefix = `${epoch}-`
  }

  /** For a record with events of several types. */
  get ofMany(): Headers {
    return { 'content-type': 'application/x-protobuf', node: this.#nodeName, schema: String(SCHEMA) }
  }

  /** The same object for all events of a type. */
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

  /** For one event; `epoch` if its number belongs to another agent run. */
  own(seq: number, timeMs: number, loss?: LossKind, epoch?: string): Headers {
    const text = epoch === undefined ? this.#prefix + seq : `${epoch}-${seq}`
    const lost = loss === undefined ? undefined : lossHeaders(loss)
    if (this.#config.format !== 'cloudevents') return { seq: text, ...lost }
    return { seq: text, ce_id: text, ce_time: new Date(timeMs).toISOString(), ...lost }
  }
}

/** In headers, because strict readers of Tetragon's records would refuse them in the value. */
function lossHeaders({ stage, exporter, reason }: LossKind): Headers {
  return { loss_stage: stage, loss_reason: reason, ...(exporter === '' ? {} : { loss_exporter: exporter }) }
}
