/**
 * The agent's part that delivers events: to the exporters through the fan-out, and to live readers, which may come and go. Only an exporter with
 * `when_full: block` can block `publish`.
 */
import type { Config } from '../../config/agent/schema.ts'
import type { Event } from '../../exporters/contract/event.ts'
import {
  EncoderPool,
  Numberings,
  createFilter,
  isHookEvent,
  prepareExporters,
  startFanOut,
} from '../../exporters/index.ts'
import type { ExportersContext, FanOut, PreparedExporters, ProcessLookup, ReaderFilter } from '../../exporters/index.ts'
import { createEpoch } from './epoch.ts'
import { LostRanges } from './lost-ranges.ts'
import { Subscription } from './subscription.ts'
import type { LiveFilter, SubscriptionBound } from './subscription.ts'
import { Tap } from './tap.ts'

export class Delivery implements AsyncDisposable {
  readonly fanout: FanOut
  /** Number ranges of the events that exporters lost. */
  readonly lostRanges: LostRanges
  readonly #context: ExportersContext
  /** The number of the next event: `<epoch>-<n>`, without gaps. */
  #seq = 0
  /** Events dropped by removed exporters before the stop. */
  #droppedBefore: number | undefined
  readonly #taps = new Set<Tap>()
  readonly #subscriptions = new Set<Subscription>()
  /** The only readers of the events of private policies, by policy; undefined until there is one. */
  #watching: Map<string, Subscription> | undefined

  constructor(fanout: FanOut, lostRanges: LostRanges, context: ExportersContext) {
    this.fanout = fanout
    this.lostRanges = lostRanges
    this.#context = context
  }

  /** Identifies this run of the agent. */
  get epoch(): string {
    return this.#context.epoch
  }

  /**
   * Numbers the events and publishes them. Returns undefined when all exporters accepted them at once; a promise, to be awaited before the
   * next call, when a blocking exporter is full.
   */
  publish(all: readonly Event[]): Promise<void> | undefined {
    const events = this.#watching === undefined ? all : this.#withoutPrivate(all, this.#watching)
    // No later stage reorders them, so a batch only needs its first number.
    for (const event of events) event.seq = this.#seq++
    // Live readers have no numbers to check, and Tetragon's have no message for a change.
    if (this.#subscriptions.size > 0 && events[0]?.type !== 'agent_run' && events[0]?.type !== 'agent_change')
      for (const subscription of this.#subscriptions) subscription.put(events)
    return this.fanout.publish(events)
  }

  /**
   * Creates a live reader. `filter`: as in an exporter's config, and by ancestors, which `lookup` finds, or made; without it the reader gets all events.
   * Throws ExportError UNUSABLE for a filter that the config would refuse.
   */
  subscribe(
    filter: ReaderFilter | LiveFilter | undefined,
    bound: SubscriptionBound,
    lookup?: ProcessLookup,
  ): Subscription {
    const accepts = filter === undefined || 'accepts' in filter ? filter : createFilter(filter, lookup)
    const made = new Subscription(bound, accepts, (closed) => this.#subscriptions.delete(closed))
    this.#subscriptions.add(made)
    return made
  }

  /** The events of private policies go to this reader, and nowhere after its end. */
  watch(policies: readonly string[], bound: SubscriptionBound): Subscription {
    const watching = (this.#watching ??= new Map())
    const made = new Subscription(bound, undefined, () => policies.forEach((policy) => watching.delete(policy)))
    for (const policy of policies) watching.set(policy, made)
    return made
  }

  #withoutPrivate(events: readonly Event[], watching: ReadonlyMap<string, Subscription>): readonly Event[] {
    return events.filter((event) => {
      if (!isHookEvent(event) || !event.hook.private) return true
      watching.get(event.hook.policy)?.put([event])
      return false
    })
  }

  /** Present taps. */
  get tapCount(): number {
    return this.#taps.size
  }

  /** Reads the records that this exporter is offered from now on; the returned function ends that. */
  tap(exporter: string): { readonly tap: Tap; readonly close: () => void } {
    const tap = new Tap()
    const untap = this.fanout.tap(exporter, (encoded) => tap.put(encoded))
    this.#taps.add(tap)
    const close = (): void => {
      untap()
      this.#taps.delete(tap)
      tap.end()
    }
    return { tap, close }
  }

  /** Prepares other exporters; publish continues meanwhile. Rejects like `prepareExporters`, without any change. */
  prepare(exporters: Config['exporters'], stop: AbortSignal): Promise<PreparedExporters> {
    return prepareExporters(this.fanout, exporters, this.#context, stop)
  }

  /** Reopens every sink that supports it; logs failures. */
  async reopen(): Promise<void> {
    for (const { exporter, error } of await this.fanout.reopen()) {
      this.#context.log.error({ exporter }, `cannot be reopened: ${error}`)
    }
  }

  /** Ends the live readers and drains the exporters within one deadline. A second call can only shorten the grace. */
  async stop(graceMs: number): Promise<void> {
    this.#droppedBefore ??= this.#dropped
    for (const subscription of this.#subscriptions) subscription.end()
    for (const subscription of this.#watching?.values() ?? []) subscription.end()
    for (const tap of this.#taps) tap.end()
    await this.fanout.stop(graceMs)
  }

  /** Events dropped because an exporter could not deliver them before the stop. */
  get droppedAtStop(): number {
    return this.#dropped - (this.#droppedBefore ?? 0)
  }

  get #dropped(): number {
    return this.fanout.senders.reduce((sum, sender) => sum + sender.accounting().dropped.shutdown, 0)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop(0)
  }
}

export interface DeliveryOptions extends Pick<ExportersContext, 'nodeName' | 'compressors' | 'log' | 'configFile'> {
  readonly env?: ExportersContext['env']
}

/** Starts the configured exporters for a new run of the agent. Rejects like `startFanOut`, without leaving anything running. */
export async function startDelivery(
  exporters: Config['exporters'],
  options: DeliveryOptions,
  stop: AbortSignal,
): Promise<Delivery> {
  const epoch = createEpoch()
  const lostRanges = new LostRanges(epoch)
  const context: ExportersContext = {
    env: process.env,
    ...options,
    epoch,
    encoders: new EncoderPool(options.nodeName),
    numberings: new Numberings(epoch),
    onLost: (exporter, lost) => lostRanges.note(exporter, lost),
  }
  return new Delivery(await startFanOut(exporters, context, stop), lostRanges, context)
}
