/**
 * Loki as its OTLP endpoint behaves (export.md §3): limits per entry, 400 although the good entries are stored, the window of
 * one hour per stream, 429 for bursts, 260, and the removal of duplicates. A script for FakeSink.
 */
import type { KeyValue, LogRecord, LogsRequest } from './decode.ts'
import { rpcStatus } from './server.ts'
import type { Answer, Received } from './server.ts'

export interface LokiOptions {
  readonly maxLineBytes?: number
  readonly maxMetadataBytes?: number
  readonly maxMetadataEntries?: number
  readonly maxAgeMs?: number
  readonly maxAheadMs?: number
  readonly outOfOrderMs?: number
  readonly burstBytes?: number
  readonly blocked?: boolean
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
  /** Entries that were there already. */
  duplicates = 0
  options: LokiOptions
  readonly #newest = new Map<string, bigint>()
  readonly #seen = new Set<string>()

  constructor(options: LokiOptions = {}) {
    this.options = options
  }

  readonly script = (request: Received): Answer => {
    const type = request.headers['content-type']
    if (type !== 'application/x-protobuf' && type !== 'application/json') {
      return { status: 400, body: rpcStatus(`content type: ${type ?? ''} is not supported`) }
    }
    if (this.options.blocked === true) return { status: 260, body: rpcStatus('ingestion blocked for user fake') }
    const logs = request.logs()
    const bytes = logs.records.reduce((sum, record) => sum + lineOf(record).length + sizeOf(record.attributes), 0)
    if (bytes > (this.options.burstBytes ?? 6e6)) {
      return { status: 429, body: rpcStatus(`ingestion rate limit exceeded for user fake while adding ${bytes} bytes`) }
    }
    return this.#push(logs)
  }

  #push({ resource, scope, records }: LogsRequest): Answer {
    const stream = JSON.stringify(resource.filter(({ key }) => LABELS.has(key)))
    const copied: readonly KeyValue[] = [
      ...resource.filter(({ key }) => !LABELS.has(key)),
      { key: 'scope_name', value: { stringValue: scope.name } },
      { key: 'scope_version', value: { stringValue: scope.version } },
    ]
    const errors = new Set<string>()
    let behind = 0
    for (const record of records) {
      const entry = {
        stream,
        timeNs: BigInt(record.timeUnixNano),
        line: lineOf(record),
        metadata: metadataOf(record, copied),
      }
      const error = this.#invalid(entry, [...record.attributes, ...copied])
      if (error !== undefined) errors.add(error)
      else if (this.#behind(entry)) behind++
      else this.#store(entry)
    }
    if (behind > 0) {
      errors.add(
        `entry with timestamp ignored, reason: 'entry too far behind', user 'fake', total ignored: ${behind} out of ${records.length} for stream: ${stream}`,
      )
    }
    return errors.size === 0 ? { status: 204 } : { status: 400, body: rpcStatus([...errors].join('\n')) }
  }

  #invalid({ line, timeNs }: Entry, metadata: readonly KeyValue[]): string | undefined {
    const { maxLineBytes = 262_144, maxMetadataBytes = 65_536, maxMetadataEntries = 128 } = this.options
    const { maxAgeMs = 7 * 86_400_000, maxAheadMs = 600_000, nowMs = Date.now } = this.options
    const ageMs = nowMs() - Number(timeNs / 1_000_000n)
    if (ageMs > maxAgeMs) return 'entry for stream has timestamp too old: oldest acceptable timestamp is later'
    if (-ageMs > maxAheadMs) return 'entry for stream has timestamp too new'
    if (Buffer.byteLength(line) > maxLineBytes) return `max entry size '${maxLineBytes}' bytes exceeded for stream`
    if (metadata.length > maxMetadataEntries) return 'stream has too many structured metadata labels'
    if (sizeOf(metadata) > maxMetadataBytes) return 'stream has structured metadata too large'
    return undefined
  }

  #behind({ stream, timeNs }: Entry): boolean {
    const newest = this.#newest.get(stream) ?? timeNs
    return newest - timeNs > BigInt(this.options.outOfOrderMs ?? 3_600_000) * 1_000_000n
  }

  #store(entry: Entry): void {
    const key = JSON.stringify([entry.stream, String(entry.timeNs), entry.line, entry.metadata])
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

function lineOf({ body }: LogRecord): string {
  return body !== undefined && 'stringValue' in body ? String(body.stringValue) : ''
}

function textOf(value: KeyValue['value']): string {
  if ('stringValue' in value) return String(value.stringValue)
  return 'intValue' in value ? String(value.intValue) : JSON.stringify(value)
}

function sizeOf(pairs: readonly KeyValue[]): number {
  return pairs.reduce((sum, { key, value }) => sum + Buffer.byteLength(key) + Buffer.byteLength(textOf(value)), 0)
}

function metadataOf(record: LogRecord, copied: readonly KeyValue[]): string {
  const pairs = [...record.attributes, ...copied].map(({ key, value }) => [key.replace(/\W/g, '_'), textOf(value)])
  return JSON.stringify([
    ...pairs,
    ['observed_timestamp', record.observedTimeUnixNano],
    ['event_name', record.eventName],
  ])
}
