/** Messages of the API as lines: JSON as the JSON encoder writes them, or compact. */
import { createCompactEncoder } from '../../../exporters/index.ts'
import { jsonLine } from '../../api/events/json.ts'
import { toEvent } from '../../api/events/to-event.ts'
import type { GetEventsResponse } from '../../proto/tetragon/events_pb.js'

export interface CompactLook {
  readonly color: boolean
  readonly timestamps: boolean
}

export class Printer {
  /** undefined: JSON. */
  readonly #look: CompactLook | undefined
  #nodeName = ''
  #encoder: ReturnType<typeof createCompactEncoder> | undefined

  constructor(look: CompactLook | undefined) {
    this.#look = look
  }

  /** A line with its end; undefined for messages that have no compact line: losses, and events that ktrail does not make. */
  lineOf(message: GetEventsResponse): Uint8Array | string | undefined {
    if (this.#look === undefined) return `${jsonLine(message)}\n`
    const event = toEvent(message)
    if (event === undefined) return undefined
    const { nodeName } = message
    // The name rarely changes.
    if (this.#encoder === undefined || nodeName !== this.#nodeName) {
      this.#encoder = createCompactEncoder({ nodeName, ...this.#look })
      this.#nodeName = nodeName
    }
    return this.#encoder.encode([event]).bytes
  }
}

/** Events that a message reports as lost; 0 for other messages. */
export function lostIn({ event }: GetEventsResponse): bigint {
  return event.case === 'rateLimitInfo' ? event.value.numberOfDroppedProcessEvents : 0n
}
