/**
 * Encoding `otlp`: one LogRecord per event, as a complete field 2 of ScopeLogs, so that any run of records can be sent
 * together. `envelope.ts` adds resource and scope when they are sent.
 *
 *     12 len │ 09 time8 │ 10 severity │ 1a text │ 2a body │ 32 attribute … │ 38 00 │ 59 observed8 │ 62 event name
 *
 * The bytes equal those of @opentelemetry/otlp-transformer, including field order and the explicit `38 00` (no dropped
 * attributes); tests check this. The same event and clock give the same bytes, so that Loki can drop duplicates.
 */
import { isAboutAgent, isHookEvent } from '../../contract/event.ts'
import type { Event, Hook, HookEvent, Process, TextBytes, Timestamp } from '../../contract/event.ts'
import type { Encoded, Encoder } from '../../contract/exporter.ts'
import { Memory } from '../../contract/encoded.ts'
import { aroundOf, pathOf } from '../around-path.ts'
import type { Around } from '../around-path.ts'
import { withEnvelope } from '../enveloped.ts'
import { borrowFrom } from '../share-last.ts'
import { KEYS } from './attributes.ts'
import {
  EVENT_NAMES,
  attributes,
  callAttributes,
  eventAttributes,
  hookAttributes,
  ownAttributes,
  parentAttributes,
  runAttributes,
  severityOf,
} from './mapping.ts'
import { summary } from './text.ts'
import type { AttributeOptions, MappingOptions } from './mapping.ts'
import { ProtoWriter, numberedText, varintSize } from './protobuf.ts'
import type { NumberedText } from './protobuf.ts'
import { filterAttributes } from './attribute-filter.ts'
import { withoutLong } from './records.ts'

export interface OtlpEncoderOptions extends MappingOptions {
  /** Encodes the bodies for `body: 'json'`. With `shareLast` it costs nothing if a file exporter uses the same lines. */
  readonly json: Encoder
  /** When the events were read from the ring. Default: now, once per slice. */
  readonly observed?: () => Timestamp
}

/** The constant bytes of a hook's events. */
interface HookBytes {
  readonly attributes: Uint8Array
  /** Fields 2 and 3. */
  readonly severity: Uint8Array
}

/** Bytes reserved for the length of a record: fits 128 to 16,383 bytes, other records are moved. */
const RECORD_LENGTH = 2
const scratch = new ProtoWriter(6, 64 << 10)

/** Creates the encoder of OTLP log records in protobuf. */
export function createOtlpEncoder(options: OtlpEncoderOptions): Encoder {
  return new OtlpEncoder(options)
}

class OtlpEncoder implements Encoder {
  readonly encoding = 'otlp'
  readonly #options: OtlpEncoderOptions
  readonly #observed: () => Timestamp
  readonly #out = new ProtoWriter()
  readonly #hooks = new WeakMap<Hook, HookBytes>()
  /** By the object that calls with equal values share. */
  readonly #around = new WeakMap<TextBytes, Around | null>()
  readonly #lifecycle = new Map<Event['type'], Uint8Array>()
  readonly #uid: NumberedText
  readonly #number: NumberedText

  constructor(options: OtlpEncoderOptions) {
    this.#options = options
    this.#observed = options.observed ?? now
    this.#uid = numberedText(KEYS.uid, `${options.epoch}-`)
    this.#number = numberedText(KEYS.exporterSeq, `${options.numbering?.exporter}-`)
  }

  encode(events: readonly Event[]): Encoded {
    const ends = new Uint32Array(events.length)
    const json = this.#options.body === 'json' ? borrowFrom(this.#options.json, withoutLong(events)) : undefined
    const lines = json && Buffer.from(json.bytes.buffer, json.bytes.byteOffset, json.bytes.length)
    const tails = this.#tails(this.#observed())
    const first = this.#options.numbering?.next ?? 0
    let lineStart = 0
    for (let i = 0; i < events.length; i++) {
      const event = events[i]
      if (event === undefined) continue
      const lineEnd = json?.ends[i] ?? 0
      // The body is the line without its line feed.
      this.#record(event, first + i, lines, lineStart, lineEnd - 1, tails[event.type])
      lineStart = lineEnd
      ends[i] = this.#out.length
    }
    const bytes = this.#out.take()
    const memory = new Memory(bytes)
    return { encoding: 'otlp', bytes, ends, count: events.length, firstSeq: events[0]?.seq ?? 0, memory }
  }

  #record(event: Event, number: number, lines: Buffer | undefined, from: number, to: number, tail: Uint8Array): void {
    const out = this.#out
    out.byte(0x12)
    const start = out.open(RECORD_LENGTH)
    out.byte(0x09)
    out.nanos(event.time)
    const hook = isHookEvent(event) ? this.#hook(event, event.hook) : undefined
    out.raw(hook?.severity ?? this.#severity(event))
    const { hasAttribute, numbering } = this.#options
    if (lines !== undefined && numbering !== undefined && isAboutAgent(event)) {
      const json = withEnvelope(lines.subarray(from, to), event, numbering, number)
      writeBody(out, json, 0, json.length)
    } else if (lines !== undefined) writeBody(out, lines, from, to)
    else if (this.#options.body === 'text') {
      const text = Buffer.from(summary(event))
      writeBody(out, text, 0, text.length)
    }
    out.numbered(this.#uid, event.seq)
    if (numbering !== undefined) {
      out.numbered(this.#number, number)
      if (event.type === 'agent_run') runAttributes(event, numbering, out)
    }
    if (hasAttribute === undefined) this.#attributes(event, hook)
    else attributes(event, this.#options, filterAttributes(out, event.type, hasAttribute))
    if (this.#options.event_name_attribute) out.text(KEYS.eventName, EVENT_NAMES[event.type])
    out.raw(tail)
    out.close(start, RECORD_LENGTH)
  }

  /** All attributes, using the bytes cached with processes and hooks. */
  #attributes(event: Event, hook: HookBytes | undefined): void {
    const out = this.#out
    if (!isAboutAgent(event)) {
      const { process, parent } = event
      const own = process.rendered.touch()
      out.raw(own.otlp ?? own.keep('otlp', rendered(process, ownAttributes)))
      if (parent !== undefined) {
        const kept = parent.rendered.touch()
        out.raw(kept.otlpParent ?? kept.keep('otlpParent', rendered(parent, parentAttributes)))
      }
    }
    if (hook !== undefined) out.raw(hook.attributes)
    eventAttributes(event, this.#options, out, this.#ofCall)
  }

  readonly #ofCall = (event: HookEvent, options: AttributeOptions, out: ProtoWriter): void => {
    // Details of the file differ as its path does.
    const path = options.file_details || event.aggregate !== undefined ? undefined : event.onlyPath?.()
    const around = path && this.#around.get(path)
    if (path === undefined || around === null) callAttributes(event, options, out)
    else if (around === undefined) {
      callAttributes(event, options, scratch)
      const written = exact(scratch.take())
      out.raw(written)
      scratch.text(KEYS.filePath, pathOf(event))
      const attribute = scratch.take()
      this.#around.set(path, aroundOf(written, attribute, attribute.length))
    } else {
      out.raw(around.before)
      if (!out.ascii(KEYS.filePath, path)) out.text(KEYS.filePath, pathOf(event))
      out.raw(around.after)
    }
  }

  #hook(event: Event, hook: Hook): HookBytes {
    let bytes = this.#hooks.get(hook)
    if (bytes === undefined) {
      hookAttributes(hook, scratch)
      bytes = { attributes: exact(scratch.take()), severity: this.#severityFields(event) }
      this.#hooks.set(hook, bytes)
    }
    return bytes
  }

  #severity(event: Event): Uint8Array {
    let bytes = this.#lifecycle.get(event.type)
    if (bytes === undefined) this.#lifecycle.set(event.type, (bytes = this.#severityFields(event)))
    return bytes
  }

  #severityFields(event: Event): Uint8Array {
    const { number, text } = severityOf(event, this.#options)
    scratch.byte(0x10)
    scratch.varint(number)
    scratch.byte(0x1a)
    scratch.string(text)
    return exact(scratch.take())
  }

  /** Fields 7, 11 and 12, constant for a type within one slice. */
  #tails(observed: Timestamp): Readonly<Record<Event['type'], Uint8Array>> {
    const tail = (type: Event['type']): Uint8Array => {
      scratch.byte(0x38)
      scratch.byte(0)
      scratch.byte(0x59)
      scratch.nanos(observed)
      scratch.byte(0x62)
      scratch.string(EVENT_NAMES[type])
      return exact(scratch.take())
    }
    return {
      process_exec: tail('process_exec'),
      process_exit: tail('process_exit'),
      process_kprobe: tail('process_kprobe'),
      process_lsm: tail('process_lsm'),
      process_tracepoint: tail('process_tracepoint'),
      events_lost: tail('events_lost'),
      agent_run: tail('agent_run'),
      agent_change: tail('agent_change'),
    }
  }
}

/** Field 5: an AnyValue with a string from `source`. */
function writeBody(out: ProtoWriter, source: Buffer, from: number, to: number): void {
  const length = to - from
  out.byte(0x2a)
  out.varint(1 + varintSize(length) + length)
  out.byte(0x0a)
  out.varint(length)
  out.part(source, from, to)
}

function rendered(process: Process, write: (process: Process, out: ProtoWriter) => void): Uint8Array {
  write(process, scratch)
  return exact(scratch.take())
}

/** A plain Uint8Array keeps the hot path monomorphic. */
function exact(bytes: Buffer): Uint8Array {
  return new Uint8Array(bytes)
}

/** System time in whole milliseconds, precise enough for an observed time. */
export function now(): Timestamp {
  const ms = Date.now()
  const sec = Math.floor(ms / 1000)
  return { sec, nsec: (ms - sec * 1000) * 1_000_000 }
}
