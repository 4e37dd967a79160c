/**
 * Writes events to Kafka: one record per event (or many, `gathering.ts`), several partitions in parallel, one request in flight
 * per partition. No event is lost, and events of a key stay in order. Acknowledged events are not sent again, even if the rest of
 * the batch fails or the sender timed out. Headers, keys and duplicates, as users see them: docs/reference/exporters/kafka.md.
 *
 *   Batch ─▶ partition batches ─▶ chunks ≤ maxRequestBytes ─▶ client ─▶ fates ─▶ Outcome
 */
import { resourceOf } from '../../encoding/otlp/resource.ts'
import type { Compressors } from '../../runtime/compression.ts'
import { within } from '../../../config/base/time/deadline.ts'
import { WatchedFiles } from '../../runtime/watched-files.ts'
import type { ExporterContext } from '../context.ts'
import { textOf } from '../../contract/errors.ts'
import { notSent } from '../../contract/outcome.ts'
import type { PartitionNumbers } from '../../contract/numbering.ts'
import type { Batch, Encoding, Exporter, Outcome } from '../../contract/exporter.ts'
import { KafkaClient } from './client/client.ts'
import type { Client, ClientDeps } from './client/client.ts'
import { codecOf } from './client/codecs.ts'
import { readConnection, sameCredentials } from './client/connection.ts'
import type { KafkaConfig, KafkaConnection } from './client/connection.ts'
import { faultOf, isLoginFault, KafkaFault } from './client/faults.ts'
import { RecordHeaders } from './headers.ts'
import type { HeaderContext } from './headers.ts'
import { ACKED, Fates, INVALID, TOO_LARGE } from './fates.ts'
import type { Fate } from './fates.ts'
import { layOut, settleNumbers, topicsOf } from './partition-batches.ts'
import type { PartitionBatch, Layout } from './partition-batches.ts'
import { Gathering } from './gathering.ts'
import { REFUSAL_REASONS, acknowledgedOf, outcomeOf } from './outcome.ts'
import { Keys } from './partitions.ts'
import { namesNamespace, parseTopic, topicsOfTypes } from './topic.ts'
import { Topics } from './topics.ts'
import { Unacknowledged } from './unacknowledged.ts'

export type KafkaContext = Pick<ExporterContext, 'env' | 'hostId' | 'configFile'> & HeaderContext

export interface KafkaDeps {
  /** Default: one of kafkajs. */
  readonly makeClient?: (connection: KafkaConnection, deps: ClientDeps) => Client
  /** Receives the client library's warnings. Default: discarded. */
  readonly warn?: (message: string) => void
  readonly nowMs?: () => number
  /** Default: Node's. */
  readonly compressors?: Compressors | undefined
}

/** The code of a batch if not all of its requests were sent. */
const STOPPED = 'ABORTED'
/** Maximum wait of an abort for requests in flight: at a stop, an acknowledged event must not count as lost. The sender waits for a second. */
const LAST_ANSWER_MS = 500

export class KafkaExporter implements Exporter {
  readonly type = 'kafka'
  readonly refusalReasons = REFUSAL_REASONS
  readonly encoding: Encoding
  /** Record batches are written into buffers of their own. */
  readonly releases = true
  readonly #config: KafkaConfig
  readonly #configFile: string | undefined
  readonly #deps: KafkaDeps
  readonly #nowMs: () => number
  readonly #layout: Layout
  /** Present with format `otlp_proto`. */
  readonly #gathered: Gathering | undefined
  readonly #fates = new Fates()
  readonly #topics: Topics
  readonly #unacknowledged = new Unacknowledged()
  readonly #counters = { requests: 0, resets: 0, split_batches: 0 }
  /** The message for the last refused event, by fate. */
  readonly #messages = new Map<Fate, string>()
  readonly #files: WatchedFiles
  #client: Client | undefined
  /** The client's connection. */
  #connection: KafkaConnection | undefined
  /** The running delivery, possibly of a send that has timed out. Never rejects. */
  #running: Promise<readonly KafkaFault[]> | undefined
  /** Events in unacknowledged requests since the last outcome. */
  #unanswered = 0
  #needsReset = false
  #turn = 0

  constructor(config: KafkaConfig, context: KafkaContext, deps: KafkaDeps = {}) {
    const { format, key, tls, sasl } = config
    this.#config = config
    this.#configFile = context.configFile
    this.#deps = deps
    this.#nowMs = deps.nowMs ?? Date.now
    const files = [tls?.ca_file, tls?.cert_file, tls?.key_file, sasl?.password_file]
    this.#files = new WatchedFiles(files, () => this.#renew(), deps.warn)
    this.#topics = new Topics(config.max_request_size, this.#nowMs)
    const isOtlp = format === 'otlp_proto'
    this.encoding = isOtlp ? 'otlp' : 'json'
    const headers = new RecordHeaders(config, context)
    // Records do not include the line feed of a line.
    const endBytes = isOtlp ? 0 : 1
    const numbers = context.numbering?.partitions ?? new Map<string, PartitionNumbers>()
    const keys = new Keys(key, context.nodeName)
    const byNamespace = namesNamespace(config.topic)
    this.#layout = { keys, topicOf: parseTopic(config.topic), byNamespace, headers, endBytes, numbers }
    this.#gathered = config.otlp && new Gathering(resourceOf(config.otlp, config.cluster_name, context), headers)
  }

  get counters(): Readonly<Record<string, number>> {
    return this.#counters
  }

  /** Does not wait for a broker, which may be down for now. */
  async start(): Promise<void> {
    await this.#files.mark()
    this.#connection = await readConnection(this.#config)
    const codec = await codecOf(this.#config, this.#configFile, this.#deps.compressors)
    const deps: ClientDeps = { warn: (message) => this.#deps.warn?.(message), codec }
    this.#client = this.#deps.makeClient?.(this.#connection, deps) ?? new KafkaClient(this.#connection, deps)
  }

  /** Logs in to a broker and requests the topics. Topics of a template with {policy} or {namespace} are unknown before the first event. */
  async probe(): Promise<string> {
    await this.start()
    const { brokers, topic, tls, sasl } = this.#config
    const topics = topicsOfTypes(topic)
    const found = await this.#client?.partitions(topics)
    const fault = found?.values().find((one) => one instanceof KafkaFault)
    if (fault !== undefined) throw fault
    const partitions = topics.map((name) => `partitions of topic "${name}": ${String(found?.get(name))}`)
    const login = sasl === undefined ? '' : `, logged in as "${sasl.username}"`
    const named = topics.length === 0 ? [`topics "${topic}" depend on the events and were not checked`] : partitions
    return [`${brokers.join(', ')}: ${tls === undefined ? 'plain' : 'TLS'}${login}`, ...named].join('; ')
  }

  /**
   * Reads certificates and passwords again and uses them from the next batch on. Rejects with ExportError if one is unreadable;
   * the old ones then stay in use.
   */
  async reopen(): Promise<void> {
    await this.#renew()
  }

  /** Returns whether certificates or passwords are not those of the client; it then reconnects. */
  async #renew(): Promise<boolean> {
    const connection = await readConnection(this.#config)
    if (this.#connection === undefined || sameCredentials(connection, this.#connection)) return false
    this.#needsReset = true
    return true
  }

  async send(batch: Batch, signal: AbortSignal): Promise<Outcome> {
    const client = this.#client
    if (client === undefined) return notSent('CLOSED', 'the connection to Kafka is not open')
    if (signal.aborted) return notSent('ABORTED', 'stopped before writing to Kafka')
    this.#files.look()
    if (this.#running !== undefined) {
      const earlier = await within(this.#running, signal)
      if (earlier === undefined) {
        // After two timeouts of the sender: reconnecting makes hanging requests fail.
        this.#needsReset = true
        void client.reset()
        return notSent('TIMEOUT', 'an earlier request to Kafka is still not answered; reconnecting')
      }
      this.#running = undefined
      // Counted as sent again only when reported.
      if (earlier.some(({ code }) => code !== STOPPED)) return this.#outcome(batch, earlier)
    }
    const running = this.#deliver(client, batch, signal).catch((error: unknown) => [faultOf(error, 'write to Kafka')])
    this.#running = running
    const faults = (await within(running, signal)) ?? (await within(running, AbortSignal.timeout(LAST_ANSWER_MS)))
    if (faults === undefined) {
      const outcome = notSent('ABORTED', 'Kafka has not answered in time; late answers will be used')
      return { ...outcome, ...acknowledgedOf(batch, this.#fates) }
    }
    this.#running = undefined
    const outcome = this.#outcome(batch, faults)
    if (faults.length === 0) this.#fates.forget(batch)
    return outcome.status === 'hold' ? this.#held(outcome) : outcome
  }

  /** Retries soon with credentials that were replaced since they were read, else as soon as one of the files changes. */
  async #held(outcome: Extract<Outcome, { status: 'hold' }>): Promise<Outcome> {
    if (await this.#renew().catch(() => false)) return { status: 'retryable', unacknowledged: 0, error: outcome.error }
    const repaired = this.#files.changed()
    return repaired === undefined ? outcome : { ...outcome, repaired }
  }

  async stop(): Promise<void> {
    this.#files.stop()
    const client = this.#client
    this.#client = undefined
    await client?.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  #outcome(batch: Batch, faults: readonly KafkaFault[]): Outcome {
    const unacknowledged = this.#unanswered
    this.#unanswered = 0
    return outcomeOf(batch, this.#fates, faults, this.#messages, unacknowledged)
  }

  /** Sends all pending events of the batch and remembers their fates. Returns the faults, by partition batch. */
  async #deliver(client: Client, batch: Batch, signal: AbortSignal): Promise<readonly KafkaFault[]> {
    if (this.#needsReset) await this.#reset(client)
    const { counts, faults: missing } = await this.#topics.find(client, topicsOf(batch, this.#fates, this.#layout))
    // Use the next partition, unless records must be sent again unchanged.
    if (this.#unacknowledged.records === 0) this.#turn++
    const partitionBatches = layOut(batch, this.#fates, this.#layout, counts, this.#turn, Math.floor(this.#nowMs()))
    if (!this.#unacknowledged.fits(partitionBatches)) await this.#reset(client)
    const results = await Promise.all(
      partitionBatches.map((partitionBatch) => this.#sendPartitionBatch(client, partitionBatch, signal)),
    )
    const faults = [...missing, ...results.filter((fault) => fault !== undefined)]
    if (faults.some((fault) => fault.kind === 'reset' || isLoginFault(fault))) this.#needsReset = true
    return faults
  }

  /** Sends chunks in order and stops at the first failure, to keep the order. */
  async #sendPartitionBatch(
    client: Client,
    partitionBatch: PartitionBatch,
    signal: AbortSignal,
  ): Promise<KafkaFault | undefined> {
    const { records, topic } = partitionBatch
    const most = this.#config.max_request_size
    for (let from = 0; from < records.length;) {
      const size = records.sizeAt(from)
      if (size > most) {
        this.#messages.set(TOO_LARGE, `expected at most ${most} bytes with key and headers, got ${size}`)
        this.#settle(partitionBatch, from, ++from, TOO_LARGE)
        continue
      }
      const to =
        from +
        ((from === 0 ? this.#unacknowledged.headOf(partitionBatch) : undefined) ?? this.#chunk(partitionBatch, from))
      const tried: Tried = { refused: false, largestTaken: 0, signal }
      const fault = await this.#sendRange(client, partitionBatch, from, to, tried)
      if (tried.refused && tried.largestTaken > 0) this.#topics.limit(topic, tried.largestTaken)
      if (fault !== undefined) {
        this.#topics.doubt(topic)
        return fault
      }
      from = to
    }
    return undefined
  }

  #settle(partitionBatch: PartitionBatch, from: number, to: number, fate: Fate): void {
    this.#fates.settle(partitionBatch.records, from, to, fate)
    settleNumbers(this.#layout.numbers, partitionBatch, to)
  }

  /** Number of records from `from` on for one request, at least one. */
  #chunk({ records, topic }: PartitionBatch, from: number): number {
    const limit = this.#topics.limitOf(topic)
    let to = from + 1
    for (let bytes = records.sizeAt(from); to < records.length; to++) {
      bytes += records.sizeAt(to)
      if (bytes > limit) break
    }
    return to - from
  }

  /** Sends a request; halves it if the broker refuses its content, down to the single record at fault. */
  async #sendRange(
    client: Client,
    partitionBatch: PartitionBatch,
    from: number,
    to: number,
    tried: Tried,
  ): Promise<KafkaFault | undefined> {
    // After an abort, sent events may be delivered though they have counted as lost.
    if (tried.signal.aborted) return new KafkaFault('unwritten', STOPPED, 'stopped before all of a batch was written')
    this.#counters.requests++
    const records = partitionBatch.records.slice(from, to)
    try {
      await client.send(partitionBatch.topic, partitionBatch.partition, this.#gathered?.of(records) ?? records)
    } catch (error) {
      const fault = faultOf(error, `write to topic "${partitionBatch.topic}"`)
      if (fault.kind === 'retry') {
        this.#unanswered += to - from
        // The broker recognizes a repeated request by its sequence numbers.
        if (this.#config.idempotent) this.#unacknowledged.add(partitionBatch, from, to)
      }
      if (fault.kind !== 'too_large' && fault.kind !== 'permanent') return fault
      // Records that this request did not write.
      this.#unacknowledged.settle(partitionBatch)
      if (to - from === 1) {
        const fate = fault.kind === 'too_large' ? TOO_LARGE : INVALID
        this.#messages.set(fate, fault.message)
        this.#settle(partitionBatch, from, to, fate)
        return undefined
      }
      if (fault.kind === 'too_large') tried.refused = true
      this.#counters.split_batches++
      const middle = (from + to) >>> 1
      const first = await this.#sendRange(client, partitionBatch, from, middle, tried)
      return first ?? this.#sendRange(client, partitionBatch, middle, to, tried)
    }
    this.#settle(partitionBatch, from, to, ACKED)
    this.#unacknowledged.settle(partitionBatch)
    if (!tried.refused) return undefined
    let bytes = 0
    for (let i = 0; i < records.length; i++) bytes += records.sizeAt(i)
    tried.largestTaken = Math.max(tried.largestTaken, bytes)
    return undefined
  }

  /** Reconnects as a new producer, which cannot repeat unacknowledged requests of the old one. */
  async #reset(client: Client): Promise<void> {
    this.#counters.resets++
    this.#unacknowledged.clear()
    // Before any wait, so that a concurrent reopen reconnects once more.
    this.#needsReset = false
    try {
      this.#connection = await readConnection(this.#config)
    } catch (error) {
      // The old credentials may still work; otherwise the brokers refuse them.
      this.#deps.warn?.(textOf(error))
    }
    try {
      await client.reset(this.#connection)
    } catch (error) {
      this.#needsReset = true
      throw error
    }
  }
}

/** The results of the parts of a request. */
interface Tried {
  /** A part was too large. */
  refused: boolean
  /** Bytes of a part that was taken after that. */
  largestTaken: number
  /** No request starts after its abort. */
  readonly signal: AbortSignal
}
