/**
 * The last part of the agent: exporters behind their fan-out, and live readers, which come and go. Only an exporter with
 * `when_full: block` can slow down publishing.
 */
import type { Config, FilterConfig } from '../../config/agent/schema.ts'
import type { Event } from '../../exporters/contract/event.ts'
import { createFilter, startFanOut } from '../../exporters/index.ts'
import type { ExportersContext, FanOut } from '../../exporters/index.ts'
import { LostRanges } from './lost-ranges.ts'
import { Subscription } from './subscription.ts'
import type { SubscriptionBound } from './subscription.ts'

export class Delivery implements AsyncDisposable {
  /** The exporters. */
  readonly fanout: FanOut
  /** Which events exporters have given up. */
  readonly lostRanges: LostRanges
  readonly #log: ExportersContext['log']
  readonly #subscriptions = new Set<Subscription>()

  constructor(fanout: FanOut, lostRanges: LostRanges, log: ExportersContext['log']) {
    this.fanout = fanout
    this.lostRanges = lostRanges
    this.#log = log
  }

  /**
   * Takes events in sequence, already numbered. Returns undefined when all exporters took them at once; a promise, to be awaited before the
   * next call, when an exporter that blocks is full.
   */
  publish(events: readonly Event[]): Promise<void> | undefined {
    if (this.#subscriptions.size > 0) for (const subscription of this.#subscriptions) subscription.put(events)
    return this.fanout.publish(events)
  }

  /** A live reader, from now on. `filter` as in the config of an exporter; all events when undefined. */
  subscribe(filter: FilterConfig | undefined, bound: SubscriptionBound): Subscription {
    const accepts = filter === undefined ? undefined : createFilter(filter)
    const made = new Subscription(bound, accepts, (closed) => this.#subscriptions.delete(closed))
    this.#subscriptions.add(made)
    return made
  }

  /** Reopens every sink that can be; what fails is in the log. */
  async reopen(): Promise<void> {
    for (const { exporter, error } of await this.fanout.reopen()) {
      this.#log.error({ exporter }, `cannot be reopened: ${error}`)
    }
  }

  /** Drains the exporters within one deadline, and ends what readers get. A second call can only shorten the grace. */
  async stop(graceMs: number): Promise<void> {
    for (const subscription of this.#subscriptions) subscription.end()
    await this.fanout.stop(graceMs)
  }

  /** Events that no exporter took before its end. */
  get droppedAtStop(): number {
    return this.fanout.senders.reduce((sum, sender) => sum + sender.accounting().dropped.shutdown, 0)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop(0)
  }
}

/** Starts the configured exporters. Rejects as `startFanOut`, and then nothing is left behind. */
export async function startDelivery(
  exporters: Config['exporters'],
  context: Omit<ExportersContext, 'onLost'>,
  stop: AbortSignal,
): Promise<Delivery> {
  const lostRanges = new LostRanges(context.epoch)
  const onLost: ExportersContext['onLost'] = (exporter, lost) => lostRanges.note(exporter, lost)
  return new Delivery(await startFanOut(exporters, { ...context, onLost }, stop), lostRanges, context.log)
}
