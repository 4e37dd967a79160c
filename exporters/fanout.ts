/**
 * Passes each event to every exporter: encodes once per encoder and offers the bytes to each sender that uses it.
 * A full exporter only loses its own events, unless it is configured to block.
 */
import type { EffectiveExporter } from '../config/agent/effective.ts'
import { isAboutAgent } from './contract/event.ts'
import type { Event } from './contract/event.ts'
import { describe } from './contract/described.ts'
import { ExportError, textOf } from './contract/errors.ts'
import type { Encoded, Encoder } from './contract/exporter.ts'
import type { Numbering } from './contract/numbering.ts'
import { destinationOf } from './destination.ts'
import type { EventFilter } from './filtering/filter.ts'
import { equal, pickLines, selectionOf, unionOf, within } from './filtering/selection.ts'
import type { Selection } from './filtering/selection.ts'
import type { MemoryPressure, Sender } from './sending/sender.ts'

/** A sender with its encoder. Senders with the same encoder object share the bytes. */
export interface Route {
  /** The config that it was made from, to find the changes of a reload. */
  readonly config?: EffectiveExporter
  readonly encoder: Encoder
  readonly sender: Sender
  /** Its exporter needs descriptions of the events (described.ts). */
  readonly describe?: boolean
  /** Absent: all events. Not shared with other routes. */
  readonly filter?: EventFilter
  /** Its records are numbered, and it gets records about the run. */
  readonly numbering?: Numbering
}

/** Facts about an exporter that a reader of its sink needs. */
export interface NumberedExporter {
  readonly name: string
  readonly destination: string
  readonly filtered: boolean
  /** The number of its next record. */
  readonly next: number
}

/** Routes that share an encoder. */
interface Group {
  readonly encoder: Encoder
  readonly routes: readonly Route[]
  readonly filtered: boolean
  readonly described: boolean
}

/**
 * Events encoded at a time: about 250 kB of JSON, the size of a queue's part. So a held part never keeps a much larger buffer
 * in memory, and the encoder's buffer fits into the CPU cache.
 */
const SLICE = 200
/** Time for which a removed exporter is shown after its stop, because the counters are read every few seconds. */
const SEEN_MS = 30_000

export class FanOut {
  #routes: readonly Route[] = []
  #groups: readonly Group[] = []
  /** Only the routes with numbers. */
  #numbered: readonly Group[] = []
  #senders: readonly Sender[] = []
  /** Senders of removed exporters, until some time after their stop. */
  #leaving: ReadonlyArray<{ readonly sender: Sender; readonly endMs: number }> = []
  #pressure: MemoryPressure = 'none'
  /** Events that replaced filters left out, by exporter. */
  readonly #filteredBefore = new Map<string, Readonly<Record<string, number>>>()
  /** The last slice without the events that no route takes: encoders share their result for one array. */
  #chosen:
    | { readonly slice: readonly Event[]; readonly union: Selection; readonly events: readonly Event[] }
    | undefined

  /** Readers of the events that exporters are offered, by exporter. */
  readonly #taps = new Map<string, Set<(encoded: Encoded) => void>>()

  /** The slice being offered only has records about the agent, for which queues reserve space. */
  #aboutAgent = false

  constructor(routes: readonly Route[]) {
    this.#use(routes)
  }

  get routes(): readonly Route[] {
    return this.#routes
  }

  /**
   * Passes the next events to these routes. Senders without a route get no more events; the caller stops them within `leaveMs`. They remain in
   * `senders` for a while, so that their last losses are seen.
   */
  replace(routes: readonly Route[], leaveMs: number): void {
    const names = new Set(routes.map(({ sender }) => sender.name))
    for (const { sender, filter } of this.#routes) {
      if (filter === undefined || routes.some((route) => route.filter === filter)) continue
      this.#filteredBefore.set(sender.name, this.#filteredOf(sender.name, filter))
    }
    for (const name of this.#filteredBefore.keys()) if (!names.has(name)) this.#filteredBefore.delete(name)
    const nowMs = performance.now()
    const gone = this.#routes.filter(({ sender }) => !names.has(sender.name))
    const leaving = gone.map(({ sender }) => ({ sender, endMs: nowMs + leaveMs + SEEN_MS }))
    this.#leaving = [...this.#leaving, ...leaving].filter(({ sender }) => !names.has(sender.name))
    this.#use(routes)
    this.pressure = this.#pressure
  }

  #use(routes: readonly Route[]): void {
    this.#routes = routes
    this.#senders = routes.map(({ sender }) => sender)
    this.#groups = groupsOf(routes)
    this.#numbered = groupsOf(routes.filter(({ numbering }) => numbering !== undefined))
  }

  /**
   * Takes the events of one decode cycle, in sequence; records about the run must come alone, and go to exporters with numbers. Returns
   * undefined if all exporters took them; else, with a full exporter that blocks, a promise to await before the next call.
   */
  publish(events: readonly Event[]): Promise<void> | undefined {
    const waits: Array<Promise<void>> = []
    for (let from = 0; from < events.length; from += SLICE) {
      const slice = events.length <= SLICE ? events : events.slice(from, from + SLICE)
      this.#aboutAgent = slice.every(isAboutAgent)
      const groups = slice[0]?.type === 'agent_run' ? this.#numbered : this.#groups
      for (const group of groups) {
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

  /** Encodes the events that at least one route takes, then picks the lines of each route. */
  #offerSelected({ encoder, routes }: Group, slice: readonly Event[], waits: Array<Promise<void>>): void {
    const selections = routes.map(({ filter }) => (filter === undefined ? undefined : selectionOf(slice, filter)))
    const chosen = selections.filter((selection) => selection !== undefined)
    const all = chosen.length < routes.length || chosen.some(({ count }) => count === slice.length)
    const union = all ? undefined : unionOf(chosen, slice.length)
    if (union?.count === 0) return
    const events = union === undefined ? slice : this.#choose(slice, union)
    const encoded = encoder.encode(events)
    const sharing = selections.filter((selection) => selection === undefined || selection.count === events.length)
    encoded.memory?.hold(sharing.length)
    // With gaps in the sequence only the descriptions have each event's number.
    const full = describe(encoded, events)
    for (const [i, route] of routes.entries()) {
      const selection = selections[i]
      if (selection?.count === 0) continue
      if (selection === undefined) this.#offer(route, isDescribedTo(route) ? full : encoded, waits)
      else if (selection.count === events.length) this.#offer(route, full, waits)
      else this.#offer(route, pickLines(full, union === undefined ? selection : within(union, selection)), waits)
    }
  }

  #offer({ sender, numbering }: Route, encoded: Encoded, waits: Array<Promise<void>>): void {
    const numbered = numbering === undefined ? encoded : { ...encoded, number: numbering.take(encoded.count) }
    if (this.#taps.size > 0) for (const take of this.#taps.get(sender.name) ?? []) take(numbered)
    const wait = sender.offer(numbered, this.#aboutAgent)
    if (wait !== undefined) waits.push(wait)
  }

  /** Returns the same array for the same selection, so that the JSON line of an OTLP body is not encoded again. */
  #choose(slice: readonly Event[], union: Selection): readonly Event[] {
    const known = this.#chosen
    if (known !== undefined && known.slice === slice && equal(known.union, union)) return known.events
    const events = slice.filter((_, i) => union.taken[i] === 1)
    this.#chosen = { slice, union, events }
    return events
  }

  /**
   * Calls `take` with all events offered to this exporter, until the returned function is called. The bytes belong to the exporter: `take` copies
   * those that it keeps.
   */
  tap(exporter: string, take: (encoded: Encoded) => void): () => void {
    const taps = this.#taps.get(exporter) ?? new Set()
    this.#taps.set(exporter, taps.add(take))
    return () => {
      taps.delete(take)
      if (taps.size === 0) this.#taps.delete(exporter)
    }
  }

  /** Filtered events so far, by exporter and config key of the failed condition. */
  filtered(): ReadonlyMap<string, Readonly<Record<string, number>>> {
    return new Map(this.#routes.map(({ sender, filter }) => [sender.name, this.#filteredOf(sender.name, filter)]))
  }

  #filteredOf(name: string, filter: EventFilter | undefined): Readonly<Record<string, number>> {
    const sums: Record<string, number> = { ...this.#filteredBefore.get(name) }
    for (const [key, n] of Object.entries(filter?.filtered ?? {})) sums[key] = (sums[key] ?? 0) + n
    return sums
  }

  get numbered(): readonly NumberedExporter[] {
    return this.#routes.flatMap(({ sender, config, filter, numbering }) => {
      if (numbering === undefined) return []
      const destination = config === undefined ? '' : destinationOf(config)
      return [{ name: sender.name, destination, filtered: filter !== undefined, next: numbering.next }]
    })
  }

  /** All senders, in the order of the configuration, then those of exporters that a reload has removed a short time ago. */
  get senders(): readonly Sender[] {
    if (this.#leaving.length === 0) return this.#senders
    const nowMs = performance.now()
    this.#leaving = this.#leaving.filter(({ endMs }) => endMs > nowMs)
    return [...this.#senders, ...this.#leaving.map(({ sender }) => sender)]
  }

  get pressure(): MemoryPressure {
    return this.#pressure
  }

  /** Sets the memory pressure for every sender. */
  set pressure(pressure: MemoryPressure) {
    this.#pressure = pressure
    for (const sender of this.#senders) sender.pressure = pressure
  }

  /** Opens every sink that is not open. When all have settled, throws the first ExportError; the caller then calls `stop`, or `start` again. */
  async start(): Promise<void> {
    const results = await Promise.allSettled(this.#senders.map((sender) => sender.start()))
    for (const result of results) if (result.status === 'rejected') throw result.reason
  }

  /** Reopens every sink that supports it (SIGUSR1, SIGHUP). Resolves to the failures; never rejects. */
  async reopen(): Promise<ReadonlyArray<{ readonly exporter: string; readonly error: string }>> {
    const results = await Promise.allSettled(this.#senders.map((sender) => sender.reopen()))
    return results.flatMap((result, i) => {
      if (result.status === 'fulfilled') return []
      return { exporter: this.#senders[i]?.name ?? '', error: textOf(result.reason) }
    })
  }

  /** The error when all exporters have failed permanently; undefined while one can still deliver. */
  failure(): ExportError | undefined {
    const all = this.#senders.map((sender) => ({ name: sender.name, accounting: sender.accounting() }))
    if (all.length === 0 || all.some(({ accounting }) => accounting.state !== 'failed')) return undefined
    const why = all.map(({ name, accounting }) => `exporter ${name}: ${accounting.lastError}`).join('; ')
    return new ExportError('CLOSED', `no exporter can deliver events: ${why}`)
  }

  /** Resolves when every sender has sent its events or cannot now, at the latest after `ms`. */
  async flush(ms: number): Promise<void> {
    await Promise.all(this.#senders.map((sender) => sender.flush(ms)))
  }

  /** Drains all senders in parallel within one deadline. A second call waits for the first; with a grace of 0 it ends the first's. */
  async stop(graceMs: number): Promise<void> {
    // Sums of before and after the stop are of the same senders.
    this.#leaving = this.#leaving.map(({ sender }) => ({ sender, endMs: Infinity }))
    await Promise.all(this.senders.map((sender) => sender.stop(graceMs)))
  }
}

function isDescribedTo({ describe: wanted, filter }: Route): boolean {
  return wanted === true || filter !== undefined
}

function groupsOf(routes: readonly Route[]): readonly Group[] {
  return [...Map.groupBy(routes, ({ encoder }) => encoder)].map(([encoder, sharing]) => ({
    encoder,
    routes: sharing,
    filtered: sharing.some(({ filter }) => filter !== undefined),
    described: sharing.some(isDescribedTo),
  }))
}
