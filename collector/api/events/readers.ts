/**
 * The readers of events over the API.
 *
 * Constraints: a reader never slows the agent or other readers; without readers there is no cost. Its queue
 * (`collector/delivery/subscription.ts`) and its stream are bounded in bytes. Events that do not fit are lost to it alone, counted, and
 * reported to it. All readers together send a bounded number of messages per turn of the event loop. So the ring is read in between,
 * even if many read as fast as they can. They have a small share of an event loop that has no time left (`pace.ts`).
 */
import { setImmediate, setTimeout } from 'node:timers/promises'
import { toBinary } from '@bufbuild/protobuf'
import type { DescMessage } from '@bufbuild/protobuf'
import type { Event, Process } from '../../../exporters/contract/event.ts'
import { ExportError } from '../../../exporters/index.ts'
import type { Subscription } from '../../delivery/subscription.ts'
import { GetEventsRequestSchema } from '../../proto/tetragon/events_pb.js'
import type { GetEventsRequest } from '../../proto/tetragon/events_pb.js'
import { ApiError } from '../errors.ts'
import type { ApiOptions } from '../options.ts'
import type { StreamCall } from '../rpc.ts'
import { Sending } from '../sending.ts'
import { ResponseEncoder } from './encode.ts'
import { fieldCutter } from './fields.ts'
import { filterOf } from './filters.ts'
import { PAUSE_MS, Pace } from './pace.ts'
import type { ReaderCounts } from './reader-counts.ts'

const MAX_READERS = 64
/** Bounds of one reader's queue. Readers that lag equally hold the same events in memory. */
const QUEUE = { bytes: 1 << 20, events: 10_000 }
/** Filters are evaluated for every process, so their text is bounded. */
const MAX_FILTER_BYTES = 64 << 10
/** Messages of all readers per turn of the event loop. */
const TURN_MESSAGES = 64

/** A stream of GetEventsResponse. */
type Stream = StreamCall<DescMessage>

export class Readers {
  readonly #delivery: ApiOptions['delivery']
  readonly #ingest: ApiOptions['ingest']
  readonly encoder: ResponseEncoder
  /** Bytes of events that several readers get. */
  readonly #shared = new WeakMap<Event, Uint8Array>()
  readonly #counts: ReaderCounts
  readonly #pace = new Pace()

  constructor({ delivery, ingest, nodeName }: ApiOptions, counts: ReaderCounts) {
    this.#delivery = delivery
    this.#ingest = ingest
    this.#counts = counts
    this.encoder = new ResponseEncoder(nodeName)
  }

  /** Streams events until the client or the agent ends. Throws ApiError for a wrong request, or one reader too many. */
  async stream(call: StreamCall<typeof GetEventsRequestSchema>): Promise<void> {
    const cut = checked(call.request)
    await this.#send(call, this.#subscribe(call.request), cut)
  }

  /**
   * As `stream`, with the events of private policies. `attach`: called first, for these; undone at the end. Events are sent meanwhile, and an
   * empty message when all are attached.
   */
  async watch(call: Stream, policies: readonly string[], attach: () => Promise<AsyncDisposable>): Promise<void> {
    this.#requireRoom()
    await using subscription = this.#delivery.watch(policies, QUEUE)
    await using undo = new AsyncDisposableStack()
    const attaching = attach().then(
      (attached) => {
        undo.use(attached)
        call.write(new Uint8Array())
      },
      async (error: unknown) => {
        await subscription[Symbol.asyncDispose]()
        throw error
      },
    )
    for (const each of await Promise.allSettled([attaching, this.#send(call, subscription)]))
      if (each.status === 'rejected') throw each.reason
  }

  async #send(call: Stream, subscription: Subscription, cut?: ReturnType<typeof fieldCutter>): Promise<void> {
    await using held = subscription
    const sending = new Sending(call)
    const end = (): void => void held[Symbol.asyncDispose]()
    call.once('cancelled', end)
    if (call.cancelled) end()
    this.#counts.opened(subscription)
    try {
      let left = 0
      const send = async (encode: () => Uint8Array): Promise<void> => {
        if (left === 0) {
          await setImmediate()
          while (this.#pace.exhausted && !call.cancelled) await setTimeout(PAUSE_MS)
          left = Math.max(1, Math.floor(TURN_MESSAGES / this.#counts.count))
        }
        left--
        this.#counts.sent()
        await this.#pace.count(() => {
          const bytes = encode()
          return sending.write(cut === undefined ? bytes : cut(bytes))
        })
      }
      for await (const { events, lost } of subscription) {
        for (const event of events) {
          if (call.cancelled) return
          await send(() => this.#encoded(event))
        }
        if (lost > 0) await send(() => this.encoder.lost(lost, this.#ingest.now()))
      }
    } finally {
      this.#counts.closed(subscription)
    }
  }

  #requireRoom(): void {
    if (this.#counts.count >= MAX_READERS) {
      throw new ApiError('RESOURCE_EXHAUSTED', `${MAX_READERS} clients already read events: end one of them`)
    }
  }

  #subscribe(request: GetEventsRequest): Subscription {
    this.#requireRoom()
    try {
      const ancestor = (execId: string): Process | undefined => this.#ingest.processes.named(execId)
      return this.#delivery.subscribe(filterOf(request), QUEUE, ancestor)
    } catch (error) {
      if (error instanceof ExportError) throw new ApiError('INVALID_ARGUMENT', `filters: ${error.message}`)
      throw error
    }
  }

  #encoded(event: Event): Uint8Array {
    if (this.#counts.count === 1) return this.encoder.encode(event)
    let bytes = this.#shared.get(event)
    if (bytes === undefined) this.#shared.set(event, (bytes = this.encoder.encode(event)))
    return bytes
  }
}

function checked(request: GetEventsRequest): ReturnType<typeof fieldCutter> {
  if (request.aggregationOptions !== undefined) {
    throw new ApiError('INVALID_ARGUMENT', 'aggregation_options: ktrail does not aggregate events: remove the key')
  }
  const { length } = toBinary(GetEventsRequestSchema, request)
  if (length > MAX_FILTER_BYTES) {
    throw new ApiError('INVALID_ARGUMENT', `expected filters of at most ${MAX_FILTER_BYTES} bytes, got ${length}`)
  }
  return fieldCutter(request.fieldFilters)
}
