/**
 * Any OpenTelemetry exporter of logs as an Exporter. It sees records as its SDK would give them to it. What it answers is
 * all that is known: a partial success looks like success to it (export.md §4.5), and what it retries may be there twice.
 */
import { resourceFromAttributes } from '@opentelemetry/resources'
import type { LogRecordExporter, ReadableLogRecord } from '@opentelemetry/sdk-logs'
import { ExportError, textOf } from '../errors.ts'
import type { Batch, Encoded, Exporter, Outcome } from '../exporter.ts'
import { within } from '../within.ts'
import { resourceAttributes, scopeOf } from './envelope.ts'
import { plainValue } from './json-encode.ts'
import type { JsonRecord } from './json-encode.ts'

type ExportResult = Parameters<Parameters<LogRecordExporter['export']>[1]>[0]

/** `ExportResultCode.SUCCESS` of @opentelemetry/core, which is not ours to import. */
const SUCCESS = 0
const NO_REASON = new Error('the exporter failed and did not say why')
/** HTTP statuses that only a person can mend (export.md §1.3). */
const CONFIG_FAULTS: readonly number[] = [401, 403, 404, 405, 407, 408]

/** What was given to the exporter when the patience with it ended. */
interface Late {
  readonly first: Encoded | undefined
  readonly count: number
  readonly result: Promise<ExportResult>
}

/** Makes an exporter of encoding `otlp_json` around `exporter`, which it shuts down when it stops. */
export function fromLogRecordExporter(exporter: LogRecordExporter, of: { readonly nodeName: string }): Exporter {
  return new SdkExporter(exporter, of.nodeName)
}

class SdkExporter implements Exporter {
  readonly type = 'sdk'
  readonly encoding = 'otlp_json'
  readonly #exporter: LogRecordExporter
  readonly #around: Pick<ReadableLogRecord, 'resource' | 'instrumentationScope'>
  #late: Late | undefined
  #open = false
  #stopping: Promise<void> | undefined

  constructor(exporter: LogRecordExporter, nodeName: string) {
    const resource = { serviceName: 'ktrail', serviceVersion: '', nodeName }
    this.#exporter = exporter
    this.#around = {
      resource: resourceFromAttributes(resourceAttributes(resource)),
      instrumentationScope: { name: scopeOf(resource).name },
    }
  }

  start(): Promise<void> {
    this.#open = this.#stopping === undefined
    return Promise.resolve()
  }

  async send(batch: Batch, signal: AbortSignal): Promise<Outcome> {
    if (!this.#open) return again(new ExportError('CLOSED', 'the exporter is not open'))
    const [first] = batch.parts
    let late = this.#late
    if (late !== undefined) {
      const earlier = await within(late.result, signal)
      if (earlier === undefined) return again(aborted())
      this.#late = undefined
      const isSame = late.first === first && late.count === batch.count
      if (isSame && earlier.code === SUCCESS) return { status: 'delivered' }
    }
    if (signal.aborted) return again(aborted())
    late = { first, count: batch.count, result: this.#export(batch) }
    const result = await within(late.result, signal)
    if (result !== undefined) return outcomeOf(result, batch.count)
    this.#late = late
    return again(aborted())
  }

  stop(): Promise<void> {
    this.#open = false
    this.#stopping ??= this.#exporter.shutdown()
    return this.#stopping
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  /** Never rejects. */
  #export(batch: Batch): Promise<ExportResult> {
    return new Promise((resolve) => {
      try {
        this.#exporter.export(
          batch.parts.flatMap((part) => recordsOf(part, this.#around)),
          resolve,
        )
      } catch (cause) {
        const error = cause instanceof Error ? cause : new Error(textOf(cause))
        resolve({ code: 1, error })
      }
    })
  }
}

function recordsOf(
  part: Encoded,
  around: Pick<ReadableLogRecord, 'resource' | 'instrumentationScope'>,
): ReadableLogRecord[] {
  // Each record ends in a comma.
  const text = Buffer.from(part.bytes.buffer, part.bytes.byteOffset, part.bytes.length - 1).toString()
  const records: readonly JsonRecord[] = JSON.parse(`[${text}]`)
  return records.map((record) => ({
    hrTime: hrTime(record.timeUnixNano),
    hrTimeObserved: hrTime(record.observedTimeUnixNano),
    severityNumber: record.severityNumber,
    severityText: record.severityText,
    ...(record.body?.stringValue === undefined ? {} : { body: record.body.stringValue }),
    eventName: record.eventName,
    attributes: Object.fromEntries(record.attributes.map(({ key, value }) => [key, plainValue(value)])),
    droppedAttributesCount: 0,
    ...around,
  }))
}

function hrTime(nanos: string): [number, number] {
  return [Number(nanos.slice(0, -9)), Number(nanos.slice(-9))]
}

/** The SDK's OTLP exporters keep the status in `code`; of others nothing is known but that they failed. */
function outcomeOf({ code, error = NO_REASON }: ExportResult, count: number): Outcome {
  if (code === SUCCESS) return { status: 'delivered' }
  const status = 'code' in error && typeof error.code === 'number' ? error.code : 0
  if (CONFIG_FAULTS.includes(status)) return { status: 'hold', error }
  if (status === 400) return { status: 'rejected', reason: 'invalid', error }
  if (status === 413) return tooLarge(error, count)
  return again(error)
}

/** It can not be told to send less: what the batch holds is up to the config. */
function tooLarge(cause: Error, count: number): Outcome {
  if (count === 1) return { status: 'rejected', reason: 'too_large', error: cause }
  const message = `the sink takes no batch of ${count} events: lower batch.max_events and restart; it said: ${cause.message}`
  return { status: 'hold', error: new ExportError('IO', message, cause) }
}

function again(error: Error): Outcome {
  return { status: 'retryable', error }
}

function aborted(): ExportError {
  return new ExportError('ABORTED', 'the exporter has not answered in time')
}
