/**
 * Gives each event to every exporter: encodes once per encoder, offers the bytes to each sender that uses it.
 * A full exporter costs only its own events, unless it is one that blocks.
 */
import type { Event } from '../collector/event.ts'
import { describe } from './described.ts'
import type { Encoder } from './exporter.ts'
import type { Sender } from './sending/sender.ts'

/** Which encoder a sender takes its bytes from. Senders that share an encoder object share the bytes. */
export interface Route {
  readonly encoder: Encoder
  readonly sender: Sender
  /** Its exporter needs to know of events beside their bytes (described.ts). */
  readonly describe?: boolean
}

/**
 * Events encoded at a time. About 250 kB of JSON: the size of a queue's part, so that a held part never keeps a much
 * larger buffer alive, and the encoder's scratch stays in the processor's cache.
 */
const SLICE = 200

export class FanOut {
  readonly #routes: ReadonlyMap<Encoder, readonly Route[]>
  readonly #senders: readonly Sender[]

  constructor(routes: readonly Route[]) {
    this.#senders = routes.map(({ sender }) => sender)
    this.#routes = Map.groupBy(routes, ({ encoder }) => encoder)
  }

  /**
   * Takes the events of one decode cycle, in sequence. Returns undefined when everybody took them at once; a
   * promise, to be awaited before the next call, when an exporter that blocks is full.
   */
  publish(events: readonly Event[]): Promise<void> | undefined {
    let waits: Array<Promise<void>> | undefined
    for (let from = 0; from < events.length; from += SLICE) {
      const slice = events.length <= SLICE ? events : events.slice(from, from + SLICE)
      for (const [encoder, routes] of this.#routes) {
        const encoded = encoder.encode(slice)
        const described = routes.some((route) => route.describe === true) ? describe(encoded, slice) : encoded
        for (const route of routes) {
          const wait = route.sender.offer(route.describe === true ? described : encoded)
          if (wait !== undefined) (waits ??= []).push(wait)
        }
      }
    }
    return waits === undefined ? undefined : Promise.all(waits).then(() => undefined)
  }

  /** Every sender, in the order of the configuration. */
  get senders(): readonly Sender[] {
    return this.#senders
  }

  /** Opens every sink. Throws the first ExportError after all have settled; the caller then calls `stop`. */
  async start(): Promise<void> {
    const results = await Promise.allSettled(this.#senders.map((sender) => sender.start()))
    for (const result of results) if (result.status === 'rejected') throw result.reason
  }

  /** Reopens every sink that can be (SIGHUP). Failures show in the books of the exporter, not here. */
  async reopen(): Promise<void> {
    await Promise.allSettled(this.#senders.map((sender) => sender.reopen()))
  }

  /** Drains all senders side by side within one deadline. A second call waits for the first. */
  async stop(graceMs: number): Promise<void> {
    await Promise.all(this.#senders.map((sender) => sender.stop(graceMs)))
  }
}
