/**
 * Gives each event to every exporter: encodes once per encoder, offers the bytes to each sender that uses it.
 * A full exporter costs only its own events, unless it is one that blocks.
 */
import type { Event } from './contract/event.ts'
import { describe } from './contract/described.ts'
import { ExportError, textOf } from './contract/errors.ts'
import type { Encoded, Encoder } from './contract/exporter.ts'
import type { EventFilter } from './filtering/filter.ts'
import { equal, pickLines, selectionOf, unionOf, within } from './filtering/selection.ts'
import type { Selection } from './filtering/selection.ts'
import type { MemoryPressure, Sender } from './sending/sender.ts'

/** Which encoder a sender takes its bytes from. Senders that share an encoder object share the bytes. */
export interface Route {
  readonly encoder: Encoder
  readonly sender: Sender
  /** Its exporter needs to know of events beside their bytes (described.ts). */
  readonly describe?: boolean
  /** Which events it takes; all when absent. Its state is this route's alone. */
  readonly filter?: EventFilter
}

/** Routes that share an encoder. */
interface Group {
  readonly encoder: Encoder
  readonly routes: readonly Route[]
  readonly filtered: boolean
  readonly described: boolean
}

/**
 * Events encoded at a time. About 250 kB of JSON: the size of a queue's part, so that a held part never keeps a much
 * larger buffer alive, and the encoder's scratch stays in the processor's cache.
 */
const SLICE = 200

export class FanOut {
  readonly #routes: readonly Route[]
  readonly #groups: readonly Group[]
  readonly #senders: readonly Sender[]
  /** What was encoded last of a slice of which some events are taken by nobody: encoders behind others share it. */
  #chosen:
    | { readonly slice: readonly Event[]; readonly union: Selection; readonly events: readonly Event[] }
    | undefined

  /** What is being offered are records of losses, and nothing else: they have room of their own. */
  #losses = false

  constructor(routes: readonly Route[]) {
    this.#routes = routes
    this.#senders = routes.map(({ sender }) => sender)
    this.#groups = [...Map.groupBy(routes, ({ encoder }) => encoder)].map(([encoder, sharing]) => ({
      encoder,
      routes: sharing,
      filtered: sharing.some(({ filter }) => filter !== undefined),
      described: sharing.some(isDescribedTo),
    }))
  }

  /**
   * Takes the events of one decode cycle, in sequence. Returns undefined when everybody took them at once; a
   * promise, to be awaited before the next call, when an exporter that blocks is full.
   */
  publish(events: readonly Event[]): Promise<void> | undefined {
    const waits: Array<Promise<void>> = []
    for (let from = 0; from < events.length; from += SLICE) {
      const slice = events.length <= SLICE ? events : events.slice(from, from + SLICE)
      this.#losses = slice.every(isLoss)
      for (const group of this.#groups) {
        if (group.filtered) this.#offerSelected(group, slice, waits)
        else this.#offerAll(group, slice, waits)
      }
    }
    this.#chosen = undefined
    return waits.length === 0 ? undefined : Promise.all(waits).then(() => undefined)
  }

  #offerAll({ encoder, routes, described }: Group, slice: readonly Event[], waits: Array<Promise<void>>): void {
    const encoded = encoder.encode(slice)
    encoded.memory?.hold(routes.length)
    const full = described ? describe(encoded, slice) : encoded
    for (const route of routes) this.#offer(route, isDescribedTo(route) ? full : encoded, waits)
  }

  /** Encodes what at least one route takes, once, and cuts out of it what each takes. */
  #offerSelected({ encoder, routes }: Group, slice: readonly Event[], waits: Array<Promise<void>>): void {
    const selections = routes.map(({ filter }) => (filter === undefined ? undefined : selectionOf(slice, filter)))
    const all = selections.some((selection) => selection === undefined || selection.count === slice.length)
    const union = all ? undefined : unionOf(selections.filter(isSelection), slice.length)
    if (union?.count === 0) return
    const events = union === undefined ? slice : this.#choose(slice, union)
    const encoded = encoder.encode(events)
    const sharing = selections.filter((selection) => selection === undefined || selection.count === events.length)
    encoded.memory?.hold(sharing.length)
    // Where numbers are left out only this says which event is which.
    const full = describe(encoded, events)
    for (const [i, route] of routes.entries()) {
      const selection = selections[i]
      if (selection?.count === 0) continue
      if (selection === undefined) this.#offer(route, isDescribedTo(route) ? full : encoded, waits)
      else if (selection.count === events.length) this.#offer(route, full, waits)
      else this.#offer(route, pickLines(full, union === undefined ? selection : within(union, selection)), waits)
    }
  }

  #offer({ sender }: Route, encoded: Encoded, waits: Array<Promise<void>>): void {
    const wait = sender.offer(encoded, this.#losses)
    if (wait !== undefined) waits.push(wait)
  }

  /** The same array for the same choice: the JSON line in an OTLP body is then not encoded a second time. */
  #choose(slice: readonly Event[], union: Selection): readonly Event[] {
    const known = this.#chosen
    if (known !== undefined && known.slice === slice && equal(known.union, union)) return known.events
    const events = slice.filter((_, i) => union.taken[i] === 1)
    this.#chosen = { slice, union, events }
    return events
  }

  /** Events that the filter of an exporter did not accept so far: by its name, and by the key that said no. */
  filtered(): ReadonlyMap<string, Readonly<Record<string, number>>> {
    return new Map(this.#routes.map(({ sender, filter }) => [sender.name, filter?.filtered ?? {}]))
  }

  /** Every sender, in the order of the configuration. */
  get senders(): readonly Sender[] {
    return this.#senders
  }

  /** How short of memory the process is, for every sender. */
  set pressure(pressure: MemoryPressure) {
    for (const sender of this.#senders) sender.pressure = pressure
  }

  /** Opens every sink. Throws the first ExportError after all have settled; the caller then calls `stop`. */
  async start(): Promise<void> {
    const results = await Promise.allSettled(this.#senders.map((sender) => sender.start()))
    for (const result of results) if (result.status === 'rejected') throw result.reason
  }

  /** Reopens every sink that can be (SIGUSR1, SIGHUP). Resolves to those that could not, and why; never rejects. */
  async reopen(): Promise<ReadonlyArray<{ readonly exporter: string; readonly error: string }>> {
    const results = await Promise.allSettled(this.#senders.map((sender) => sender.reopen()))
    return results.flatMap((result, i) => {
      if (result.status === 'fulfilled') return []
      return { exporter: this.#senders[i]?.name ?? '', error: textOf(result.reason) }
    })
  }

  /** What to say once no sink can take anything any more while this process runs; undefined while one can. */
  failure(): ExportError | undefined {
    const all = this.#senders.map((sender) => ({ name: sender.name, accounting: sender.accounting() }))
    if (all.length === 0 || all.some(({ accounting }) => accounting.state !== 'failed')) return undefined
    const why = all.map(({ name, accounting }) => `exporter ${name}: ${accounting.lastError}`).join('; ')
    return new ExportError('CLOSED', `no exporter can deliver any more: ${why}`)
  }

  /** Resolves when every sender has sent what it holds or cannot now, at the latest after `ms`. */
  async flush(ms: number): Promise<void> {
    await Promise.all(this.#senders.map((sender) => sender.flush(ms)))
  }

  /** Drains all senders side by side within one deadline. A second call waits for the first; without grace it ends that of the first. */
  async stop(graceMs: number): Promise<void> {
    await Promise.all(this.#senders.map((sender) => sender.stop(graceMs)))
  }
}

function isDescribedTo({ describe: wanted, filter }: Route): boolean {
  return wanted === true || filter !== undefined
}

function isLoss({ type }: Event): boolean {
  return type === 'events_lost'
}

function isSelection(selection: Selection | undefined): selection is Selection {
  return selection !== undefined
}
