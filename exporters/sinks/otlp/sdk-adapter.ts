/**
 * Wraps any OpenTelemetry log exporter as an Exporter and passes it records as the SDK does. Only its result is known: it treats a
 * partial success as success, and its retries may cause duplicates.
 */
import { resourceFromAttributes } from '@opentelemetry/resources'
import type { LogRecordExporter, ReadableLogRecord } from '@opentelemetry/sdk-logs'
import { ExportError, textOf } from '../../contract/errors.ts'
import type { Batch, Encoded, Exporter, Outcome } from '../../contract/exporter.ts'
import { within } from '../../../config/base/time/deadline.ts'
import { KEYS } from '../../encoding/otlp/attributes.ts'
import { deliver, TAKEN } from './delivery.ts'
import type { RefusalCounts, Range, Task } from './delivery.ts'
import { SCHEMA_URL, resourceAttributes, scopeOf } from '../../encoding/otlp/resource.ts'
import { plainValue } from '../../encoding/otlp/read-record.ts'
import type { JsonRecord } from '../../encoding/otlp/read-record.ts'
import { notSent } from '../../contract/outcome.ts'
import { NEEDS_ACTION } from './outcome.ts'
import type { Verdict } from './outcome.ts'

type ExportResult = Parameters<Parameters<LogRecordExporter['export']>[1]>[0]

/** `ExportResultCode.SUCCESS` of @opentelemetry/core, which is not a direct dependency. */
const SUCCESS = 0
const NO_REASON = new Error('the exporter failed without a reason')
const NONE: Task['refused'] = new Map()

/** Records whose export timed out and may still finish. */
interface Late {
  readonly records: string
  readonly result: Promise<ExportResult>
}

/** Creates an exporter of encoding `otlp_json` around `exporter`; `stop` shuts it down. */
export function fromLogRecordExporter(exporter: LogRecordExporter, of: { readonly nodeName: string }): Exporter {
  return new SdkExporter(exporter, of.nodeName)
}

class SdkExporter implements Exporter {
  readonly type = 'sdk'
  readonly encoding = 'otlp_json'
  readonly #exporter: LogRecordExporter
  readonly #around: Pick<ReadableLogRecord, 'resource' | 'instrumentationScope'>
  readonly #doubt: RefusalCounts = { singles: 0 }
  #late: Late | undefined
  #open = false
  #stopping: Promise<void> | undefined

  constructor(exporter: LogRecordExporter, nodeName: string) {
    const resource = { serviceName: 'ktrail', serviceVersion: '', nodeName }
    this.#exporter = exporter
    this.#around = {
      resource: resourceFromAttributes(resourceAttributes(resource), { schemaUrl: SCHEMA_URL }),
      instrumentationScope: { name: scopeOf(resource).name, schemaUrl: SCHEMA_URL },
    }
  }

  start(): Promise<void> {
    this.#open = this.#stopping === undefined
    return Promise.resolve()
  }

  async send(batch: Batch, signal: AbortSignal): Promise<Outcome> {
    if (!this.#open) return notSent('CLOSED', 'the exporter is not open')
    const records = batch.parts.flatMap((part) => recordsOf(part, this.#around))
    const task = {
      count: batch.count,
      refused: NONE,
      explain: (reason: string) => reason,
      maxEvents: Number.POSITIVE_INFINITY,
      post: ({ from, to }: Range) => this.#post(records.slice(from, to), signal),
    }
    return deliver(task, this.#doubt)
  }

  /** One call at a time: waits for a late export first, and does not repeat it if it succeeded. */
  async #post(records: ReadableLogRecord[], signal: AbortSignal): Promise<Verdict> {
    const name = nameOf(records)
    const late = this.#late
    if (late !== undefined) {
      const earlier = await within(late.result, signal)
      if (earlier === undefined) return again(aborted())
      this.#late = undefined
      if (late.records === name && earlier.code === SUCCESS) return TAKEN
    }
    if (signal.aborted) return again(aborted())
    const result = this.#export(records)
    const answer = await within(result, signal)
    if (answer !== undefined) return verdictOf(answer)
    this.#late = { records: name, result }
    return again(aborted())
  }

  /** Resets the refusal count, as in OtlpExporter. */
  reopen(): Promise<void> {
    this.#doubt.singles = 0
    return Promise.resolve()
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
  #export(records: ReadableLogRecord[]): Promise<ExportResult> {
    return new Promise((resolve) => {
      // An async one may also reject.
      new Promise<void>((called) => called(this.#exporter.export(records, resolve))).catch((cause: unknown) => {
        resolve({ code: 1, error: cause instanceof Error ? cause : new Error(textOf(cause)) })
      })
    })
  }
}

/** Identifies the records, a run of one batch. */
function nameOf(records: readonly ReadableLogRecord[]): string {
  return `${String(records[0]?.attributes[KEYS.uid.name])} ${records.length}`
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

/** The SDK's OTLP exporters set `code` to the status; other exporters report no details. */
function verdictOf({ code, error: cause = NO_REASON }: ExportResult): Verdict {
  if (code === SUCCESS) return TAKEN
  const status = 'code' in cause && typeof cause.code === 'number' ? cause.code : 0
  const error = new ExportError('IO', cause.message, cause)
  if (NEEDS_ACTION.has(status)) return { is: 'hold', error }
  if (status === 400) return { is: 'faulty', reason: 'invalid', isAboutRecord: false, error }
  if (status === 413) return { is: 'faulty', reason: 'too_large', isAboutRecord: false, error }
  return again(error)
}

function again(error: ExportError): Verdict {
  return { is: 'again', unacknowledged: true, throttled: undefined, afterMs: undefined, error }
}

function aborted(): ExportError {
  return new ExportError('ABORTED', 'the exporter has not finished in time')
}
