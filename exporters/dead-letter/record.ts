/**
 * The lines of a dead-letter file, each one JSON object:
 *
 *     {"time":"…Z","exporter":"loki","reason":"line_too_long","message":"…","encoding":"json","seq":"<epoch>-<n>","event":{…}}
 *     {"time":"…Z","exporter":"loki","reason":"unknown","message":"…","encoding":"otlp","events":2,"among":{"events":500,…}}
 *
 * The second kind is for events of which the sink only reported a number: here two of the batch's 500.
 */
import type { Batch, Encoded, Refusal } from '../contract/exporter.ts'
import { endOf, isDescribed } from '../contract/encoded.ts'

/** A dead-letter record: one line with its line feed. */
export interface DeadLetterRecord {
  readonly bytes: Buffer
  readonly named: number
  /** Number of events that it only counts. */
  readonly unnamed: number
}

/** The exporter whose events are refused. */
export interface DeadLetterSource {
  readonly exporter: string
  /** The current agent run; events of earlier runs (from a spool) have their own. */
  readonly epoch: string
}

interface RecordContext extends DeadLetterSource {
  /** Milliseconds since 1970. */
  readonly wallMs: number
}

/** A sink's message can be a whole page of HTML. */
const MAX_MESSAGE_CHARS = 1000
const END = Buffer.from('}\n')

/** The records of a refusal, created on demand. */
export function* recordsOf(batch: Batch, refusal: Refusal, context: RecordContext): Generator<DeadLetterRecord> {
  const start = startOf(refusal, context)
  const which = refusal.which ?? (refusal.events >= batch.count ? Array.from({ length: batch.count }).keys() : [])
  let named = 0
  for (const { part, index } of eventsOf(batch, which)) {
    const fields = `${start},"encoding":"${part.encoding}","seq":${JSON.stringify(idOf(part, index, context))},"event":`
    named++
    yield { bytes: Buffer.concat([Buffer.from(fields), eventOf(part, index), END]), named: 1, unnamed: 0 }
  }
  const unnamed = Math.max(0, Math.min(refusal.events, batch.count) - named)
  if (unnamed > 0) yield { bytes: Buffer.from(`${start}${amongOf(batch, unnamed, context)}}\n`), named: 0, unnamed }
}

function startOf({ reason, message }: Refusal, { exporter, wallMs }: RecordContext): string {
  const fields = {
    time: new Date(wallMs).toISOString(),
    exporter,
    reason,
    message: message.slice(0, MAX_MESSAGE_CHARS),
  }
  return JSON.stringify(fields).slice(0, -1)
}

function amongOf(batch: Batch, unnamed: number, context: RecordContext): string {
  const [first, last] = [batch.parts[0], batch.parts.at(-1)]
  const among = {
    events: batch.count,
    ...(first === undefined ? {} : { first: idOf(first, 0, context) }),
    ...(last === undefined ? {} : { last: idOf(last, last.count - 1, context) }),
  }
  const encoding = JSON.stringify(first?.encoding)
  return `,"encoding":${encoding ?? '""'},"events":${unnamed},"among":${JSON.stringify(among)}`
}

/** The events at these ascending indexes of the batch; invalid indexes are ignored. */
function* eventsOf(batch: Batch, which: Iterable<number>): Generator<{ part: Encoded; index: number }> {
  let before = 0
  let at = 0
  let last = -1
  for (const wanted of which) {
    if (!Number.isInteger(wanted) || wanted <= last) continue
    last = wanted
    let part = batch.parts[at]
    while (part !== undefined && wanted >= before + part.count) {
      before += part.count
      part = batch.parts[++at]
    }
    if (part === undefined) return
    yield { part, index: wanted - before }
  }
}

/** The event's id, as in the attribute log.record.uid. */
function idOf(part: Encoded, index: number, { epoch }: RecordContext): string {
  if (!isDescribed(part)) return `${epoch}-${part.firstSeq + index}`
  return `${part.epoch ?? epoch}-${part.seqs[index] ?? part.firstSeq + index}`
}

/** The event as a JSON value: JSON unchanged, text as a string, anything else in base64. */
function eventOf(part: Encoded, index: number): Buffer {
  const bytes = Buffer.from(part.bytes.buffer, part.bytes.byteOffset, part.bytes.byteLength)
  const event = bytes.subarray(endOf(part, index), part.ends[index])
  switch (part.encoding) {
    case 'json':
    case 'otlp_json':
      // Without its line feed or comma.
      return event.subarray(0, -1)
    case 'compact':
      return Buffer.from(JSON.stringify(event.subarray(0, -1).toString()))
    case 'otlp':
      return Buffer.from(`"${event.toString('base64')}"`)
  }
}
