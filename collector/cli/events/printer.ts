/** Messages of the API as lines: JSON as the JSON encoder writes them, or compact. */
import { createCompactEncoder } from '../../../exporters/index.ts'
import { jsonLine } from '../../api/events/json.ts'
import { toEvent } from '../../api/events/to-event.ts'
import type { GetEventsResponse } from '../../proto/tetragon/events_pb.js'
import type { Terminal } from '../command.ts'
import { plural } from '../format.ts'

/** A line with its end; undefined for a message that has none. */
export type LineOf = (message: GetEventsResponse) => Uint8Array | string | undefined

export const asJson: LineOf = (message) => `${jsonLine(message)}\n`

/** Losses, and events that ktrail does not make, have no compact line. */
export function asCompact(look: { readonly color: boolean; readonly timestamps: boolean }): LineOf {
  let nodeName = ''
  let encoder = createCompactEncoder({ nodeName, ...look })
  return (message) => {
    const event = toEvent(message)
    if (event === undefined) return undefined
    // The name rarely changes.
    if (message.nodeName !== nodeName) {
      nodeName = message.nodeName
      encoder = createCompactEncoder({ nodeName, ...look })
    }
    return encoder.encode([event]).bytes
  }
}

/** Events that a message reports as lost; 0 for other messages. */
export function lostIn({ event }: GetEventsResponse): bigint {
  return event.case === 'rateLimitInfo' ? event.value.numberOfDroppedProcessEvents : 0n
}

/** Prints events; reports losses on standard error. False if the reader of the output left. */
export async function printEvents(
  messages: AsyncIterable<GetEventsResponse>,
  lineOf: LineOf,
  { print, printError }: Terminal,
): Promise<boolean> {
  for await (const message of messages) {
    const lost = lostIn(message)
    if (lost > 0n) printError(`ktrail: ${plural(Number(lost), 'event')} lost here`)
    const line = lineOf(message)
    if (line !== undefined && !(await print(line))) return false
  }
  return true
}
