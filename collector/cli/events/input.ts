/** Events from files of JSON lines, instead of an agent. */
import { createReadStream } from 'node:fs'
import { pipeline } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { fromJsonString } from '@bufbuild/protobuf'
import { whyUnreadable } from '../../../config/base/unreadable.ts'
import { STDIN } from '../../../config/yaml/files.ts'
import { createFilter } from '../../../exporters/index.ts'
import type { EventFilter } from '../../../exporters/index.ts'
import { filterOf } from '../../api/events/filters.ts'
import { toEvent } from '../../api/events/to-event.ts'
import { GetEventsResponseSchema } from '../../proto/tetragon/events_pb.js'
import type { GetEventsRequest, GetEventsResponse } from '../../proto/tetragon/events_pb.js'

/** Longer lines are skipped. */
export const MAX_LINE_BYTES = 10 << 20
/** Fewer of the last lines are kept if they are larger. */
const MAX_TAIL_BYTES = 64 << 20
const LF = 0x0a

/** The bytes of files, one after the other; - is standard input. Throws an Error for a file that cannot be read. */
export async function* bytesOf(files: readonly string[]): AsyncGenerator<Buffer> {
  for (const file of files) {
    const input = file === STDIN ? process.stdin : createReadStream(file)
    try {
      // The stream of unzipped bytes reports a failure of the file.
      yield* file.endsWith('.gz') ? pipeline(input, createGunzip(), () => {}) : input
    } catch (error) {
      throw new Error(`cannot read "${file}": ${whyUnreadable(error)}`, { cause: error })
    }
  }
}

/** Keeps the last lines, in bounded memory. */
export class Tail {
  readonly lines: Array<string | Uint8Array> = []
  /** Whether they are fewer than requested, because of their size. */
  cut = false
  readonly #count: number
  #bytes = 0

  constructor(count: number) {
    this.#count = count
  }

  add(line: string | Uint8Array): void {
    this.#bytes += line.length
    this.lines.push(line)
    if (this.lines.length > this.#count) this.#drop()
    while (this.#bytes > MAX_TAIL_BYTES && this.lines.length > 1) {
      this.#drop()
      this.cut = true
    }
  }

  #drop(): void {
    this.#bytes -= this.lines.shift()?.length ?? 0
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
  sinceMs = -Infinity,
): AsyncGenerator<GetEventsResponse> {
  const filter = filterOf(request)
  const accepts = filter === undefined ? undefined : createFilter(filter)
  for await (const line of linesOf(input)) {
    const message = line === undefined ? undefined : parsed(line)
    if (message === undefined) {
      skipped.lines++
      continue
    }
    if (timeOf(message) < sinceMs) continue
    if (accepts === undefined || isAccepted(message, accepts)) yield message
  }
}

/** In ms since 1970; events without a time pass. */
const timeOf = ({ time }: GetEventsResponse): number =>
  time === undefined ? Infinity : Number(time.seconds) * 1000 + time.nanos / 1e6

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
