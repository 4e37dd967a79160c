/** Messages of the API as lines: JSON as the JSON encoder writes them, or compact. */
import { createCompactEncoder } from '../../../exporters/index.ts'
import { jsonLine } from '../../api/events/json.ts'
import { toEvent } from '../../api/events/to-event.ts'
import type { GetEventsResponse } from '../../proto/tetragon/events_pb.js'
import type { Terminal } from '../command.ts'
import { plural } from '../format.ts'

export class Printer {
  /** undefined: JSON. */
  readonly #look: { readonly color: boolean; readonly timestamps: boolean } | undefined
  #nodeName = ''
  #encoder: ReturnType<typeof createCompactEncoder> | undefined

  constructor(look?: { readonly color: boolean; readonly timestamps: boolean }) {
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

/** Prints events; reports losses on standard error. */
export class Printing {
  readonly #printer: Pick<Printer, 'lineOf'>
  readonly #terminal: Terminal

  constructor(printer: Pick<Printer, 'lineOf'>, terminal: Terminal) {
    this.#printer = printer
    this.#terminal = terminal
  }

  /** False if the reader of the output left. */
  async all(messages: AsyncIterable<GetEventsResponse>): Promise<boolean> {
    for await (const message of messages) {
      const lost = lostIn(message)
      if (lost > 0n) this.#terminal.printError(`ktrail: ${plural(Number(lost), 'event')} lost here`)
      const line = this.#printer.lineOf(message)
      if (line !== undefined && !(await this.#terminal.print(line))) return false
    }
    return true
  }
}
