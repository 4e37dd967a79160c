/**
 * /events: live events as Server-Sent Events (HTML standard, section 9.2), for the status page and for people with curl.
 *
 *     data: {"process_exec":…}        one record, as exporters write it in JSON
 *     event: lost                     data: 12 events did not fit since the last record
 *     :                               nothing happened for a while
 *
 * Constraints: without readers there is no cost; a reader costs at most its bound. Events are sent four times a second, so a reader gets at
 * most 2,000 a second, more than a person can read; missed events are counted and reported to it. It never delays events or other readers.
 */
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { createJsonEncoder } from '../../../exporters/index.ts'
import type { Delivery } from '../../delivery/delivery.ts'
import type { Subscription, SubscriptionBound, Taken } from '../../delivery/subscription.ts'
import type { Page } from '../http.ts'
import { parseLiveFilter } from './live-filter.ts'

/** Most readers at a time. */
const READERS = 8
const EVERY_MS = 250
/** Events that wait for one reader. */
const BOUND: SubscriptionBound = { bytes: 1 << 20, events: 500 }
/** Shows that the connection is alive. */
const QUIET_MS = 15_000

export interface LiveSources {
  readonly delivery: Pick<Delivery, 'subscribe'>
  /** `node_name` of the records. */
  readonly nodeName: string
}

export interface LiveBounds {
  readonly readers: number
  readonly everyMs: number
  readonly quietMs: number
}

/** The page /events. */
export function createLiveEvents({ delivery, nodeName }: LiveSources, bounds: Partial<LiveBounds> = {}): Page {
  const { readers: most = READERS, everyMs = EVERY_MS, quietMs = QUIET_MS } = bounds
  const encoder = createJsonEncoder({ nodeName })
  let readers = 0
  return ({ query }) => {
    const filter = parseLiveFilter(query)
    if (typeof filter === 'string') return { status: 400, body: `${filter}\n` }
    if (readers >= most) {
      return { status: 503, body: `expected at most ${most} live readers: close another status page\n` }
    }
    readers++
    const stream = new LiveStream(delivery.subscribe(filter, BOUND), (taken) => render(encoder, taken), {
      everyMs,
      quietMs,
    })
    stream.once('close', () => readers--)
    return { status: 200, type: 'text/event-stream', headers: { 'Cache-Control': 'no-store' }, stream }
  }
}

function render(encoder: ReturnType<typeof createJsonEncoder>, { events, lost }: Taken): string {
  let text = ''
  const { bytes, ends, memory } = encoder.encode(events)
  memory?.hold()
  const lines = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  let start = 0
  for (const end of ends) {
    // A line of JSON ends with the line feed; another ends the record.
    text += `data: ${lines.toString('utf8', start, end)}\n`
    start = end
  }
  memory?.done()
  return lost === 0 ? text : `${text}event: lost\ndata: ${lost}\n\n`
}

class LiveStream extends Readable {
  readonly #subscription: Subscription
  readonly #ended = new AbortController()
  readonly #quiet: NodeJS.Timeout
  #wanted: (() => void) | undefined

  constructor(
    subscription: Subscription,
    textOf: (taken: Taken) => string,
    { everyMs, quietMs }: Pick<LiveBounds, 'everyMs' | 'quietMs'>,
  ) {
    super()
    this.#subscription = subscription
    this.#quiet = setInterval(() => this.readableLength === 0 && this.push(':\n\n'), quietMs).unref()
    void this.#flow(textOf, everyMs)
  }

  /** Takes the next events only when the earlier ones have been passed on. */
  async #flow(textOf: (taken: Taken) => string, everyMs: number): Promise<void> {
    try {
      // Confirms to the reader that it is subscribed.
      this.push(':\n\n')
      for await (const taken of this.#subscription) {
        if (!this.push(textOf(taken)) && !this.destroyed) await new Promise<void>((resolve) => (this.#wanted = resolve))
        await sleep(everyMs, undefined, { signal: this.#ended.signal, ref: false })
      }
      if (!this.destroyed) this.push(null)
    } catch (error) {
      this.destroy(error instanceof Error ? error : new Error(String(error)))
    }
  }

  override _read(): void {
    this.#wanted?.()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearInterval(this.#quiet)
    this.#ended.abort()
    this.#wanted?.()
    void this.#subscription[Symbol.asyncDispose]()
    done(error)
  }
}
