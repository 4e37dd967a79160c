/**
 * Records as plain objects, for the slower encoders: OTLP JSON and the SDK's serializer.
 */
import { isAboutAgent } from '../../contract/event.ts'
import type { Event, ExecEvent, Timestamp } from '../../contract/event.ts'
import type { Numbering } from '../../contract/numbering.ts'
import { withEnvelope } from '../enveloped.ts'
import { KEYS } from './attributes.ts'
import type { AttributeSink, Key } from './attributes.ts'
import { EVENT_NAMES, attributes as allAttributes, runAttributes, severityOf } from './mapping.ts'
import { summary } from './text.ts'
import type { MappingOptions, Severity } from './mapping.ts'
import { filterAttributes } from './attribute-filter.ts'

export type AttributeValue = string | number | boolean | string[]

export interface PlainRecord {
  readonly time: Timestamp
  readonly observed: Timestamp
  readonly severity: Severity
  readonly body: string | undefined
  readonly eventName: string
  readonly attributes: Readonly<Record<string, AttributeValue>>
}

class ObjectSink implements AttributeSink {
  readonly attributes: Record<string, AttributeValue> = {}

  text({ name }: Key, value: string): void {
    this.attributes[name] = value.toWellFormed()
  }

  integer({ name }: Key, value: number): void {
    this.attributes[name] = value
  }

  flag({ name }: Key, value: boolean): void {
    this.attributes[name] = value
  }

  list({ name }: Key, values: readonly string[]): void {
    this.attributes[name] = values.map((value) => value.toWellFormed())
  }
}

/** `line` is the event's JSON line with its line feed, for `body: 'json'`; `index` the event's place in the call. */
export function plainRecord(
  event: Event,
  line: Uint8Array | undefined,
  observed: Timestamp,
  options: MappingOptions,
  index = 0,
): PlainRecord {
  const sink = new ObjectSink()
  sink.text(KEYS.uid, `${options.epoch}-${event.seq}`)
  const { hasAttribute, numbering } = options
  if (numbering !== undefined) {
    sink.text(KEYS.exporterSeq, `${numbering.exporter}-${numbering.next + index}`)
    if (event.type === 'agent_run') runAttributes(event, numbering, sink)
  }
  const out = hasAttribute === undefined ? sink : filterAttributes(sink, event.type, hasAttribute)
  allAttributes(event, options, out)
  const eventName = EVENT_NAMES[event.type]
  if (options.event_name_attribute) sink.text(KEYS.eventName, eventName)
  const text = options.body === 'text' ? summary(event).toWellFormed() : undefined
  const { attributes } = sink
  const body = line === undefined ? text : bodyOf(line.subarray(0, -1), event, numbering, index)
  return { time: event.time, observed, severity: severityOf(event, options), body, eventName, attributes }
}

function bodyOf(json: Uint8Array, event: Event, numbering: Numbering | undefined, index: number): string {
  const numbered = numbering !== undefined && isAboutAgent(event)
  return Buffer.from(numbered ? withEnvelope(json, event, numbering, numbering.next + index) : json).toString()
}

/** Cuts arguments as other events of the process do: Loki takes lines of 256 KiB. Returns `events` if none is long. */
export function withoutLong(events: readonly Event[]): readonly Event[] {
  if (!events.some(isLong)) return events
  return events.map((event) => {
    if (!isLong(event)) return event
    const { arguments: _, flags: __, ...executed } = event.executed ?? {}
    return { ...event, executed }
  })
}

const isLong = (event: Event): event is ExecEvent =>
  event.type === 'process_exec' && event.executed?.arguments !== undefined
