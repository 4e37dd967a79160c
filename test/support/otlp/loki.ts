/**
 * Loki's OTLP endpoint, as a script for FakeSink: limits per tenant and entry, the window of one hour per stream, 429 for bursts, 260, and
 * the removal of duplicates. It answers 400 although the good entries are stored, with equal errors grouped as util.GroupedErrors does it.
 * The texts are those of pkg/validation/validate.go and pkg/ingester/stream.go of Loki 3. It keeps what a real Loki keeps of each record:
 * test/fixtures/loki.jsonl has its answer.
 */
import type { KeyValue, LogRecord, LogsRequest } from './decode.ts'
import { rpcStatus } from './server.ts'
import type { Answer, Received } from './server.ts'

export interface LokiOptions {
  /** Limits of tenants (X-Scope-OrgID) that differ from the defaults here. */
  readonly tenants?: Readonly<Record<string, LokiOptions>>
  readonly maxLabelNames?: number
  readonly maxLabelValueLength?: number
  readonly maxLineBytes?: number
  readonly maxMetadataBytes?: number
  readonly maxMetadataEntries?: number
  readonly maxAgeMs?: number
  readonly maxAheadMs?: number
  readonly outOfOrderMs?: number
  readonly burstBytes?: number
  readonly blocked?: boolean
  /** As Loki's main branch: the event name of a record is kept, in place of an attribute event_name. Releases up to 3.7 drop it. */
  readonly keepsEventName?: boolean
  readonly nowMs?: () => number
}

export interface Entry {
  readonly stream: string
  readonly timeNs: bigint
  readonly line: string
  readonly metadata: string
}

const LABELS = new Set(['service.name', 'service.instance.id', 'k8s.cluster.name', 'service.namespace'])

export class FakeLoki {
  readonly entries: Entry[] = []
  /** Entries that were already stored. */
  duplicates = 0
  options: LokiOptions
  readonly #newest = new Map<string, bigint>()
  readonly #seen = new Set<string>()

  constructor(options: LokiOptions = {}) {
    this.options = options
  }

  /** Every log.record.uid that is stored, sorted by its number. */
  get uids(): number[] {
    return this.entries
      .map(({ metadata }) => Number(/"log_record_uid","\d+-(\d+)"/.exec(metadata)?.[1]))
      .toSorted((a, b) => a - b)
  }

  readonly script = (request: Received): Answer => {
    const type = request.headers['content-type']
    if (type !== 'application/x-protobuf' && type !== 'application/json') {
      return { status: 400, body: rpcStatus(`content type: ${type ?? ''} is not supported`) }
    }
    const tenant = request.headers['x-scope-orgid'] ?? 'fake'
    const limits = { ...this.options, ...this.options.tenants?.[tenant] }
    if (limits.blocked === true) return { status: 260, body: rpcStatus(`ingestion blocked for user ${tenant}`) }
    const logs = request.logs()
    const bytes = logs.records.reduce((sum, record) => sum + lineOf(record).length + sizeOf(record.attributes), 0)
    if (bytes > (limits.burstBytes ?? 6e6)) {
      const text = `ingestion rate limit exceeded for user ${tenant} while adding ${bytes} bytes`
      return { status: 429, body: rpcStatus(text) }
    }
    return this.#push(logs, limits, tenant)
  }

  #push({ resource, scope, records }: LogsRequest, limits: LokiOptions, tenant: string): Answer {
    const labels = resource.filter(({ key }) => LABELS.has(key))
    const stream = `{${labels.map(({ key, value }) => `${nameOf(key)}=${JSON.stringify(textOf(value))}`).join(', ')}}`
    const badLabels = invalidLabels(labels, stream, limits)
    if (badLabels !== undefined) return { status: 400, body: rpcStatus(badLabels) }
    const copied: readonly KeyValue[] = [
      ...resource.filter(({ key }) => !LABELS.has(key)),
      { key: 'scope_name', value: { stringValue: scope.name } },
      { key: 'scope_version', value: { stringValue: scope.version } },
    ]
    const errors: string[] = []
    const behind: string[] = []
    let valid = 0
    for (const record of records) {
      const metadata = [...metadataOf(record, limits.keepsEventName), ...copied]
      const entry = {
        stream,
        timeNs: BigInt(record.timeUnixNano),
        line: lineOf(record),
        // Loki writes a space for a byte that was no text.
        metadata: JSON.stringify(
          metadata.map(({ key, value }) => [nameOf(key), textOf(value).replaceAll('\ufffd', ' ')]),
        ),
      }
      const error = invalid(entry, metadata, limits)
      if (error !== undefined) {
        errors.push(error)
        continue
      }
      valid++
      const oldest = this.#oldest(entry, limits)
      if (entry.timeNs >= oldest) this.#store(entry)
      else {
        const times = `entry timestamp is: ${rfc3339(entry.timeNs)}, oldest acceptable timestamp is: ${rfc3339(oldest)}`
        behind.push(
          `entry with timestamp ${rfc3339(entry.timeNs)} ignored, reason: 'entry too far behind, ${times}',\n`,
        )
      }
    }
    // An error of an ingester hides those of the distributor.
    if (behind.length > 0) {
      const text = `${behind.slice(0, 10).join('')}user '${tenant}', total ignored: ${behind.length} out of ${valid} for stream: ${stream}`
      return { status: 400, body: rpcStatus(text) }
    }
    return errors.length === 0 ? { status: 204 } : { status: 400, body: rpcStatus(grouped(errors)) }
  }

  /** The oldest accepted time in the stream of an entry: half of max_chunk_age before its newest. */
  #oldest({ stream, timeNs }: Entry, { outOfOrderMs = 3_600_000 }: LokiOptions): bigint {
    return (this.#newest.get(stream) ?? timeNs) - BigInt(outOfOrderMs) * 1_000_000n
  }

  #store(entry: Entry): void {
    // The metadata does not matter: pkg/chunkenc/unordered.go compares the line alone.
    const key = JSON.stringify([entry.stream, String(entry.timeNs), entry.line])
    if (this.#seen.has(key)) {
      this.duplicates++
      return
    }
    this.#seen.add(key)
    this.entries.push(entry)
    const newest = this.#newest.get(entry.stream)
    if (newest === undefined || entry.timeNs > newest) this.#newest.set(entry.stream, entry.timeNs)
  }
}

export function lineOf({ body }: LogRecord): string {
  return body !== undefined && 'stringValue' in body ? String(body.stringValue) : ''
}

function textOf(value: KeyValue['value']): string {
  if ('stringValue' in value) return String(value.stringValue)
  if ('intValue' in value) return String(value.intValue)
  return JSON.stringify(plain(value)).replace(/[<>&]/g, (character) => `\\u00${character.charCodeAt(0).toString(16)}`)
}

function plain(value: KeyValue['value']): unknown {
  return 'arrayValue' in value ? value.arrayValue.values.map(plain) : Object.values(value)[0]
}

/** Bytes of names and values, as Loki counts them. */
export function sizeOf(pairs: readonly KeyValue[]): number {
  return pairs.reduce((sum, { key, value }) => sum + Buffer.byteLength(key) + Buffer.byteLength(textOf(value)), 0)
}

/** The structured metadata that Loki makes of a record, without the copies from resource and scope. */
export function metadataOf(record: LogRecord, keepsEventName = false): KeyValue[] {
  const { observedTimeUnixNano, severityNumber, severityText, eventName } = record
  const keepsField = keepsEventName && eventName !== ''
  const attributes = record.attributes.filter(({ key }) => !keepsField || key !== 'event_name')
  const all = {
    observed_timestamp: String(observedTimeUnixNano),
    severity_number: String(severityNumber),
    severity_text: severityText,
    ...(keepsField && { event_name: eventName }),
  }
  return [...attributes, ...Object.entries(all).map(([key, stringValue]) => ({ key, value: { stringValue } }))]
}

function invalid(
  { stream, line, timeNs }: Entry,
  metadata: readonly KeyValue[],
  limits: LokiOptions,
): string | undefined {
  const { maxLineBytes = 262_144, maxMetadataBytes = 65_536, maxMetadataEntries = 128 } = limits
  const { maxAgeMs = 7 * 86_400_000, maxAheadMs = 600_000, nowMs = Date.now } = limits
  const nowNs = BigInt(nowMs()) * 1_000_000n
  const oldestNs = nowNs - BigInt(maxAgeMs) * 1_000_000n
  if (timeNs < oldestNs) {
    const oldest = rfc3339(oldestNs)
    return `entry for stream '${stream}' has timestamp too old: ${rfc3339(timeNs)}, oldest acceptable timestamp is: ${oldest}`
  }
  if (timeNs > nowNs + BigInt(maxAheadMs) * 1_000_000n) {
    return `entry for stream '${stream}' has timestamp too new: ${rfc3339(timeNs)}`
  }
  const lineBytes = Buffer.byteLength(line)
  if (lineBytes > maxLineBytes) {
    return `Max entry size '${maxLineBytes}' bytes exceeded for stream '${stream}' while adding an entry with length '${lineBytes}' bytes`
  }
  const contact = 'or contact your Loki administrator to increase it.'
  const bytes = sizeOf(metadata)
  if (bytes > maxMetadataBytes) {
    const see = 'Please see `limits_config.max_structured_metadata_size`'
    return `stream '${stream}' has structured metadata too large: '${bytes}' bytes, limit: '${maxMetadataBytes}' bytes. ${see} ${contact}`
  }
  if (metadata.length > maxMetadataEntries) {
    const see = 'Please see `limits_config.max_structured_metadata_entries_count`'
    return `stream '${stream}' has too many structured metadata labels: '${metadata.length}', limit: '${maxMetadataEntries}'. ${see} ${contact}`
  }
  return undefined
}

function invalidLabels(labels: readonly KeyValue[], stream: string, limits: LokiOptions): string | undefined {
  const { maxLabelNames = 15, maxLabelValueLength = 2048 } = limits
  if (labels.length > maxLabelNames) {
    return `entry for stream '${stream}' has ${labels.length} label names; limit ${maxLabelNames}`
  }
  const long = labels.map(({ value }) => textOf(value)).find(({ length }) => length > maxLabelValueLength)
  return long === undefined ? undefined : `stream '${stream}' has label value too long: '${long}'`
}

function grouped(errors: readonly string[]): string {
  const counts = new Map<string, number>()
  for (const error of errors) counts.set(error, (counts.get(error) ?? 0) + 1)
  const texts = [...counts].map(([error, n]) => (counts.size > 1 || n > 1 ? `${n} errors like: ${error}` : error))
  return texts.join('; ')
}

/** To the second, as Go's time.RFC3339. */
function rfc3339(ns: bigint): string {
  return new Date(Number(ns / 1_000_000_000n) * 1000).toISOString().replace('.000Z', 'Z')
}

function nameOf(key: string): string {
  return key.replace(/\W/g, '_')
}
