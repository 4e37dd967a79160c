/** Events from JSON lines on standard input, instead of an agent. */
import { fstatSync } from 'node:fs'
import { fromJsonString } from '@bufbuild/protobuf'
import { createFilter } from '../../../exporters/index.ts'
import type { EventFilter } from '../../../exporters/index.ts'
import { filterOf } from '../../api/events/filters.ts'
import { toEvent } from '../../api/events/to-event.ts'
import { GetEventsResponseSchema } from '../../proto/tetragon/events_pb.js'
import type { GetEventsRequest, GetEventsResponse } from '../../proto/tetragon/events_pb.js'

/** Longer lines are skipped. */
export const MAX_LINE_BYTES = 10 << 20
const LF = 0x0a

/** Whether standard input is a file or the end of a pipe. A terminal is not, and neither is /dev/null, which services get. */
export function hasInput(): boolean {
  try {
    const info = fstatSync(0)
    return info.isFile() || info.isFIFO() || info.isSocket()
  } catch {
    return false
  }
}

/** The input; `notice` is called once if no byte has arrived after `ms`, or at an earlier end. */
export async function* noticingSilence(
  input: AsyncIterable<Buffer>,
  ms: number,
  notice: (what: 'silent' | 'empty') => void,
): AsyncGenerator<Buffer> {
  let open = true
  const once = (what: 'silent' | 'empty'): void => {
    if (open) notice(what)
    open = false
  }
  const timer = setTimeout(once, ms, 'silent')
  try {
    for await (const chunk of input) {
      open = false
      clearTimeout(timer)
      yield chunk
    }
    once('empty')
  } finally {
    clearTimeout(timer)
  }
}

/** Lines that were no events. */
export interface Skipped {
  lines: number
}

/** The requested events of JSON lines. Lines that are no events are counted and skipped, as an agent's file may end in half a line. */
export async function* eventsOf(
  input: AsyncIterable<Buffer>,
  request: GetEventsRequest,
  skipped: Skipped,
): AsyncGenerator<GetEventsResponse> {
  const filter = filterOf(request)
  const accepts = filter === undefined ? undefined : createFilter(filter)
  for await (const line of linesOf(input)) {
    const message = line === undefined ? undefined : parsed(line)
    if (message === undefined) {
      skipped.lines++
      continue
    }
    if (accepts === undefined || isAccepted(message, accepts)) yield message
  }
}

/** Losses pass every filter; kinds of events that ktrail does not make pass none. */
function isAccepted(message: GetEventsResponse, filter: EventFilter): boolean {
  if (message.event.case === 'rateLimitInfo') return true
  const event = toEvent(message)
  return event !== undefined && filter.accepts(event)
}

function parsed(line: string): GetEventsResponse | undefined {
  try {
    return fromJsonString(GetEventsResponseSchema, line, { ignoreUnknownFields: true })
  } catch {
    return undefined
  }
}

/** Lines without their ends, and without empty ones; undefined for one that is too long. */
async function* linesOf(input: AsyncIterable<Buffer>): AsyncGenerator<string | undefined> {
  let held: Buffer[] = []
  let bytes = 0
  const line = (): string | undefined => {
    const text = bytes > MAX_LINE_BYTES ? undefined : Buffer.concat(held).toString()
    held = []
    bytes = 0
    return text
  }
  for await (const chunk of input) {
    let from = 0
    for (let end = chunk.indexOf(LF); end >= 0; end = chunk.indexOf(LF, from)) {
      held.push(chunk.subarray(from, end))
      bytes += end - from
      from = end + 1
      const text = line()
      if (text !== '') yield text
    }
    bytes += chunk.length - from
    if (bytes <= MAX_LINE_BYTES) held.push(chunk.subarray(from))
    else held = []
  }
  if (bytes > 0) yield line()
}
