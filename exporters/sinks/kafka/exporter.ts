/**
 * Brings events to Kafka: one record an event (`gathering.ts`: or many), several partitions side by side, one request in flight each.
 * Constraints: nothing is lost; within a key order is kept; what a broker has acknowledged is not sent again, even
 * when the rest of its batch fails or the sender gave up waiting. See docs/reference/kafka.md.
 *
 *   Batch ─▶ lanes (topic, partition) ─▶ chunks ≤ maxRequestBytes ─▶ driver ─▶ fates ─▶ Outcome
 */
import { resourceOf } from '../../encoding/otlp/resource.ts'
import type { Compressors } from '../../runtime/compression.ts'
import { within } from '../../runtime/timeout.ts'
import { packageOf } from '../../../config/agent/exporters/npm.ts'
import type { ExporterContext } from '../../context.ts'
import { ExportError, textOf } from '../../contract/errors.ts'
import type { Batch, Encoding, Exporter, Outcome } from '../../contract/exporter.ts'
import { loadCodec } from './codec-package.ts'
import { codecOf } from './drivers/codecs.ts'
import { readConnection, sameCredentials } from './connection.ts'
import type { KafkaConfig, KafkaConnection } from './connection.ts'
import { loadDriver } from './drivers/driver.ts'
import type { KafkaDriver, KafkaRecord, MakeDriver } from './drivers/driver.ts'
import { faultOf, isLoginFault } from './faults.ts'
import type { KafkaFault } from './faults.ts'
import { RecordHeaders } from './headers.ts'
import { ACKED, INVALID, layOut, Memory, TOO_LARGE, topicsOf } from './partition-batches.ts'
import type { Fate, PartitionBatch, Layout } from './partition-batches.ts'
import { Gathering } from './gathering.ts'
import { outcomeOf } from './outcome.ts'
import { Keys } from './partitions.ts'
import { parseTopic } from './topic.ts'
import { Topics } from './topics.ts'
import { Unacknowledged } from './unacknowledged.ts'

export type KafkaContext = Pick<ExporterContext, 'nodeName' | 'epoch' | 'env' | 'configFile'>

export interface KafkaDeps {
  /** Instead of the one that `options.driver` names. */
  readonly makeDriver?: MakeDriver
  /** Takes what a library wants people to know. Default: nobody is told. */
  readonly warn?: (message: string) => void
  readonly nowMs?: () => number
  /** Those of Node when absent. */
  readonly compressors?: Compressors | undefined
}

/** What a record takes beside key and value: varints and headers, generously. */
const RECORD_EXTRA = 512

export class KafkaExporter implements Exporter {
  readonly type = 'kafka'
  readonly encoding: Encoding
  /** Record batches are written into buffers of their own. */
  readonly releases = true
  readonly #config: KafkaConfig
  readonly #configFile: string | undefined
  readonly #deps: KafkaDeps
  readonly #layout: Layout
  /** Of format `otlp_proto`. */
  readonly #gathered: Gathering | undefined
  readonly #memory = new Memory()
  readonly #topics: Topics
  readonly #unacknowledged = new Unacknowledged()
  readonly #counters = { requests: 0, resets: 0, split_batches: 0 }
  /** What was said of the last event that was refused, by its fate. */
  readonly #said = new Map<Fate, string>()
  #driver: KafkaDriver | undefined
  #connection: KafkaConnection | undefined
  /** The delivery that goes on, perhaps for a send that has been given up. Never rejects. */
  #running: Promise<readonly KafkaFault[]> | undefined
  /** Events of requests without an answer, since the last outcome. */
  #unanswered = 0
  #needsReset = false
  #turn = 0

  /** Throws ExportError for options that can never work. */
  constructor(config: KafkaConfig, context: KafkaContext, deps: KafkaDeps = {}) {
    const { format, key } = config
    this.#config = config
    this.#configFile = context.configFile
    this.#deps = deps
    this.#topics = new Topics(config.max_request_size, () => this.#now())
    const isOtlp = format === 'otlp_proto'
    this.encoding = isOtlp ? 'otlp' : 'json'
    const headers = new RecordHeaders(config, context)
    // A line ends in a line feed, which is no part of a record.
    const endBytes = isOtlp ? 0 : 1
    this.#layout = { keys: new Keys(key, context.nodeName), topicOf: parseTopic(config.topic), headers, endBytes }
    this.#gathered = config.otlp && new Gathering(resourceOf(config.otlp, config.cluster_name, context), headers)
    if (config.codec === undefined) codecOf(config.compression)
  }

  get counters(): Readonly<Record<string, number>> {
    return this.#counters
  }

  /** Does not wait for a broker: one that is down is a matter of retries. */
  async start(): Promise<void> {
    this.#connection = await readConnection(this.#config)
    const make = this.#deps.makeDriver ?? (await loadDriver(this.#config.driver))
    const { codec: type } = this.#config
    const codec = type && (await loadCodec(packageOf(type), this.#configFile))
    const { compressors } = this.#deps
    this.#driver = make(this.#connection, { warn: (message) => this.#warn(message), compressors, codec })
  }

  /**
   * Reads certificates and passwords again; new ones are in use from the next batch on. Rejects with ExportError when
   * one cannot be read; the old ones stay in use then.
   */
  async reopen(): Promise<void> {
    const connection = await readConnection(this.#config)
    if (this.#connection === undefined || sameCredentials(connection, this.#connection)) return
    this.#connection = connection
    this.#needsReset = true
  }

  async send(batch: Batch, signal: AbortSignal): Promise<Outcome> {
    const driver = this.#driver
    if (driver === undefined) return retryable('CLOSED', 'the connection to Kafka is not open')
    if (signal.aborted) return retryable('ABORTED', 'stopped before writing to Kafka')
    if (this.#running !== undefined) {
      const earlier = await within(this.#running, signal)
      if (earlier === undefined) {
        // Twice the patience of the sender: whatever hangs, connections anew make it fail.
        this.#needsReset = true
        void driver.reset()
        return retryable('TIMEOUT', 'an earlier request to Kafka is still not answered; connecting anew')
      }
      this.#running = undefined
      // Only what is told is counted as sent again.
      if (earlier.length > 0) return this.#outcome(batch, earlier)
    }
    const running = this.#deliver(driver, batch).catch((error: unknown) => [faultOf(error, 'write to Kafka')])
    this.#running = running
    const faults = await within(running, signal)
    if (faults === undefined) return retryable('ABORTED', 'Kafka has not answered in time; what it takes is remembered')
    this.#running = undefined
    const outcome = this.#outcome(batch, faults)
    if (faults.length === 0) this.#memory.forget(batch)
    return outcome
  }

  async stop(): Promise<void> {
    const driver = this.#driver
    this.#driver = undefined
    await driver?.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  #outcome(batch: Batch, faults: readonly KafkaFault[]): Outcome {
    const unacknowledged = this.#unanswered
    this.#unanswered = 0
    return outcomeOf(batch, this.#memory, faults, this.#said, unacknowledged)
  }

  /** Sends all that is pending in the batch; returns what went wrong, lane by lane. Fates are remembered. */
  async #deliver(driver: KafkaDriver, batch: Batch): Promise<readonly KafkaFault[]> {
    if (this.#needsReset) await this.#reset(driver)
    const { counts, faults: missing } = await this.#topics.find(driver, topicsOf(batch, this.#memory, this.#layout))
    // The next one in turn, but not for records that are to be sent again as they were.
    if (this.#unacknowledged.records === 0) this.#turn++
    const partitionBatches = layOut(batch, this.#memory, this.#layout, counts, this.#turn, Math.floor(this.#now()))
    if (!this.#unacknowledged.fits(partitionBatches)) await this.#reset(driver)
    const results = await Promise.all(
      partitionBatches.map((partitionBatch) => this.#sendPartitionBatch(driver, partitionBatch)),
    )
    const faults = [...missing, ...results.filter((fault) => fault !== undefined)]
    if (faults.some((fault) => fault.kind === 'reset' || isLoginFault(fault))) this.#needsReset = true
    return faults
  }

  /** Chunks in order; stops at the first that fails, so that nothing overtakes it. */
  async #sendPartitionBatch(driver: KafkaDriver, partitionBatch: PartitionBatch): Promise<KafkaFault | undefined> {
    const { records, topic } = partitionBatch
    const most = this.#config.max_request_size
    for (let from = 0; from < records.length;) {
      if (sizeOf(records[from]) > most) {
        this.#said.set(TOO_LARGE, `expected at most ${most} bytes with key and headers, got ${sizeOf(records[from])}`)
        this.#memory.settle(partitionBatch, from, ++from, TOO_LARGE)
        continue
      }
      const to =
        from +
        ((from === 0 ? this.#unacknowledged.headOf(partitionBatch) : undefined) ?? this.#chunk(partitionBatch, from))
      const tried: Tried = { refused: false, largestTaken: 0 }
      const fault = await this.#sendRange(driver, partitionBatch, from, to, tried)
      if (tried.refused && tried.largestTaken > 0) this.#topics.limit(topic, tried.largestTaken)
      if (fault !== undefined) {
        this.#topics.doubt(topic)
        return fault
      }
      from = to
    }
    return undefined
  }

  /** How many records from `from` on make one request: at least one. */
  #chunk({ records, topic }: PartitionBatch, from: number): number {
    const limit = this.#topics.limitOf(topic)
    let to = from + 1
    for (let bytes = sizeOf(records[from]); to < records.length; to++) {
      bytes += sizeOf(records[to])
      if (bytes > limit) break
    }
    return to - from
  }

  /** One request; halved when the broker refuses it for its content, down to the single record that is to blame. */
  async #sendRange(
    driver: KafkaDriver,
    partitionBatch: PartitionBatch,
    from: number,
    to: number,
    tried: Tried,
  ): Promise<KafkaFault | undefined> {
    this.#counters.requests++
    const whole = from === 0 && to === partitionBatch.records.length
    const records = whole ? partitionBatch.records : partitionBatch.records.slice(from, to)
    try {
      await driver.send(partitionBatch.topic, partitionBatch.partition, this.#gathered?.of(records) ?? records)
    } catch (error) {
      const fault = faultOf(error, `write to topic "${partitionBatch.topic}"`)
      if (fault.kind === 'retry') {
        this.#unanswered += to - from
        // The broker knows a repetition by its sequence numbers, if it is one.
        if (this.#config.idempotent) this.#unacknowledged.add(partitionBatch, from, to)
      }
      if (fault.kind !== 'too_large' && fault.kind !== 'permanent') return fault
      // It was not written, whatever a request before it did.
      this.#unacknowledged.settle(partitionBatch)
      if (to - from === 1) {
        const fate = fault.kind === 'too_large' ? TOO_LARGE : INVALID
        this.#said.set(fate, fault.message)
        this.#memory.settle(partitionBatch, from, to, fate)
        return undefined
      }
      if (fault.kind === 'too_large') tried.refused = true
      this.#counters.split_batches++
      const middle = (from + to) >>> 1
      const first = await this.#sendRange(driver, partitionBatch, from, middle, tried)
      return first ?? this.#sendRange(driver, partitionBatch, middle, to, tried)
    }
    this.#memory.settle(partitionBatch, from, to, ACKED)
    this.#unacknowledged.settle(partitionBatch)
    tried.largestTaken = Math.max(
      tried.largestTaken,
      records.reduce((sum, record) => sum + sizeOf(record), 0),
    )
    return undefined
  }

  /** Connects anew, as a new producer: what was unsure of the old one stays so. */
  async #reset(driver: KafkaDriver): Promise<void> {
    this.#counters.resets++
    this.#unacknowledged.clear()
    // In front of all waiting: a reopen meanwhile asks for one more.
    this.#needsReset = false
    try {
      this.#connection = await readConnection(this.#config)
    } catch (error) {
      // The old ones may still do; if not, the brokers will say so.
      this.#warn(textOf(error))
    }
    try {
      await driver.reset(this.#connection)
    } catch (error) {
      this.#needsReset = true
      throw error
    }
  }

  #warn(message: string): void {
    this.#deps.warn?.(message)
  }

  #now(): number {
    return (this.#deps.nowMs ?? Date.now)()
  }
}

/** What became of the pieces of a request. */
interface Tried {
  /** For its size. */
  refused: boolean
  largestTaken: number
}

function sizeOf(record: KafkaRecord | undefined): number {
  return record === undefined ? 0 : record.value.length + (record.key?.length ?? 0) + RECORD_EXTRA
}

/** Nothing is sent again before what may be on its way has ended: then it is told of. */
function retryable(code: 'CLOSED' | 'ABORTED' | 'TIMEOUT', message: string): Outcome {
  return { status: 'retryable', unacknowledged: 0, error: new ExportError(code, message) }
}
