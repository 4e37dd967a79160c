/**
 * JSON lines with an envelope: the same record with a last key `ktrail`, from which a reader of the sink proves that nothing is missing
 * (docs/audit.md):
 *
 *     {"process_exec":{…},"node_name":"n","time":"…","ktrail":{"seq":"<run>-<n>","exporter_seq":"<exporter>-<n>"}}
 */
import { previousOf } from '../contract/described.ts'
import type { Event } from '../contract/event.ts'
import type { Encoded, Encoder } from '../contract/exporter.ts'
import type { Numbering } from '../contract/numbering.ts'
import { ByteWriter } from '../runtime/byte-writer.ts'
import { Memory } from '../runtime/memory.ts'
import { borrowFrom } from './share-last.ts'

const QUOTE = 0x22
const END = Buffer.from('}}\n')
/** The `}` and line feed that end a line. */
const LINE_END_BYTES = 2

/** Wraps an encoder of JSON lines for the one exporter of `numbering`. */
export function enveloped(lines: Encoder, numbering: Numbering): Encoder {
  return new EnvelopedEncoder(lines, numbering)
}

class EnvelopedEncoder implements Encoder {
  readonly encoding = 'json'
  readonly #lines: Encoder
  readonly #numbering: Numbering
  readonly #out = new ByteWriter()
  readonly #seq: Uint8Array
  readonly #number: Uint8Array

  constructor(lines: Encoder, numbering: Numbering) {
    this.#lines = lines
    this.#numbering = numbering
    this.#seq = new Uint8Array(Buffer.from(`,"ktrail":{"seq":"${numbering.run}-`))
    this.#number = new Uint8Array(Buffer.from(`","exporter_seq":"${numbering.exporter}-`))
  }

  encode(events: readonly Event[]): Encoded {
    const plain = borrowFrom(this.#lines, events)
    const out = this.#out
    const ends = new Uint32Array(events.length)
    const first = this.#numbering.next
    let from = 0
    for (let i = 0; i < events.length; i++) {
      const event = events[i]
      if (event === undefined) continue
      const to = plain.ends[i] ?? from
      out.bytes(plain.bytes.subarray(from, to - LINE_END_BYTES))
      from = to
      out.bytes(this.#seq)
      out.integer(event.seq)
      out.bytes(this.#number)
      out.integer(first + i)
      out.byte(QUOTE)
      this.#aboutAgent(event)
      out.bytes(END)
      ends[i] = out.length
    }
    const bytes = out.take()
    return { ...plain, bytes, ends, memory: new Memory(bytes) }
  }

  #aboutAgent(event: Event): void {
    if (event.type === 'events_lost') {
      const { loss, count, numbers } = event
      this.#out.utf8(`,"loss":${JSON.stringify({ ...loss, count, ...numbers })}`)
    } else if (event.type === 'agent_run') {
      const { phase, heartbeatMs } = event
      const run = { phase, heartbeat_ms: heartbeatMs, previous: previousOf(event, this.#numbering.exporter) }
      this.#out.utf8(`,"run":${JSON.stringify(run)}`)
    }
  }
}
