/**
 * JSON lines with a last key `ktrail`: in format `extended`, and with an envelope, from which a reader of the sink proves that nothing is missing
 * (docs/explanation/audit-algorithm.md):
 *
 *     {"process_exec":{…},"node_name":"n","time":"…","ktrail":{"seq":"<run>-<n>","exporter_seq":"<exporter>-<n>"}}
 *
 * It also has data that Tetragon's records have no key for: `container`, as its runtime describes it, and that of extended.ts.
 */
import { runOf } from '../contract/described.ts'
import { isAboutAgent } from '../contract/event.ts'
import type { AgentEvent, Event, NamedContainer } from '../contract/event.ts'
import type { Encoded, Encoder } from '../contract/exporter.ts'
import type { Numbering } from '../contract/numbering.ts'
import { extendedMembers } from './extended.ts'
import type { KeepsNames } from './extended.ts'
import { ByteWriter } from '../runtime/byte-writer.ts'
import { Memory } from '../contract/encoded.ts'
import { borrowFrom } from './share-last.ts'

const QUOTE = 0x22
const CLOSE = 0x7d
/** The `}` and line feed that end a line. */
const END = Buffer.from('}\n')

/** Wraps an encoder of JSON lines for the one exporter of `numbering`. `extended`: with the additions of the format of that name. */
export function enveloped(lines: Encoder, numbering: Numbering, extended?: KeepsNames): Encoder {
  const seq = new Uint8Array(Buffer.from(`,"ktrail":{"seq":"${numbering.run}-`))
  const number = new Uint8Array(Buffer.from(`","exporter_seq":"${numbering.exporter}-`))
  return withLastKey(lines, (out, event, i) => {
    out.bytes(seq)
    out.integer(event.seq)
    out.bytes(number)
    out.integer(numbering.next + i)
    out.byte(QUOTE)
    if (isAboutAgent(event)) out.utf8(aboutAgent(event, numbering.exporter))
    else if (event.process.container !== undefined) out.bytes(containerMember(event.process.container))
    const more = extended === undefined ? '' : extendedMembers(event, extended)
    if (more !== '') out.utf8(`,${more}`)
    out.byte(CLOSE)
  })
}

/** Wraps an encoder of JSON lines: format `extended` without the numbers of an exporter. */
export function extendedLines(lines: Encoder, keepsNames: KeepsNames): Encoder {
  return withLastKey(lines, (out, event) => {
    const more = extendedMembers(event, keepsNames)
    if (more !== '') out.utf8(`,"ktrail":{${more}}`)
  })
}

/** `write` adds the key behind the other members of the line of event `i`. */
function withLastKey(lines: Encoder, write: (out: ByteWriter, event: Event, i: number) => void): Encoder {
  const out = new ByteWriter()
  return {
    encoding: 'json',
    encode(events): Encoded {
      const plain = borrowFrom(lines, events)
      const ends = new Uint32Array(events.length)
      let from = 0
      events.forEach((event, i) => {
        const to = plain.ends[i] ?? from
        out.bytes(plain.bytes.subarray(from, to - END.length))
        from = to
        write(out, event, i)
        out.bytes(END)
        ends[i] = out.length
      })
      const bytes = out.take()
      return { ...plain, bytes, ends, memory: new Memory(bytes) }
    },
  }
}

/**
 * The JSON of a record about the agent with its envelope. Sinks that get the numbers beside the record get it too: else the body would not have
 * its subject. `json` has no line feed.
 */
export function withEnvelope(
  json: Uint8Array,
  event: AgentEvent,
  { run, exporter }: Numbering,
  number: number,
): Buffer {
  const numbers = `"seq":"${run}-${event.seq}","exporter_seq":"${exporter}-${number}"`
  const envelope = `,"ktrail":{${numbers}${aboutAgent(event, exporter)}}}`
  return Buffer.concat([json.subarray(0, -1), Buffer.from(envelope)])
}

const members = new WeakMap<NamedContainer, Uint8Array>()

/** Encoded once for a container. */
function containerMember(container: NamedContainer): Uint8Array {
  let bytes = members.get(container)
  if (bytes === undefined) {
    const { id, name, image, imageId, labels } = container
    const keys = {
      id,
      name,
      image: image === '' ? undefined : image,
      image_id: imageId === '' ? undefined : imageId,
      labels: Object.keys(labels).length === 0 ? undefined : labels,
    }
    bytes = new Uint8Array(Buffer.from(`,"container":${JSON.stringify(keys)}`))
    members.set(container, bytes)
  }
  return bytes
}

/** The event's report, as a member of the envelope. */
function aboutAgent(event: AgentEvent, exporter: string): string {
  // The record itself says what changed.
  if (event.type === 'agent_change') return ''
  if (event.type === 'events_lost') {
    const { loss, count, numbers } = event
    return `,"loss":${JSON.stringify({ ...loss, count, ...numbers })}`
  }
  return `,"run":${JSON.stringify(runOf(event, exporter))}`
}
