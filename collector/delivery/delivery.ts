/**
 * The agent's part that delivers events: to the exporters through the fan-out, and to live readers, which may come and go. Only an exporter with
 * `when_full: block` can block `publish`.
 */
import type { Config } from '../../config/agent/schema.ts'
import { Mutex } from '../../config/base/mutex.ts'
import type { Event } from '../../exporters/contract/event.ts'
import {
  EncoderPool,
  Numberings,
  checkExporters,
  createFanOut,
  createFilter,
  isHookEvent,
  prepareExporters,
  startFanOut,
} from '../../exporters/index.ts'
import type {
  ExportersContext,
  FanOut,
  PreparedExporters,
  ProcessLookup,
  ReaderFilter,
  Sender,
} from '../../exporters/index.ts'
import { createEpoch } from './epoch.ts'
import { LostRanges } from './lost-ranges.ts'
import { Subscription } from './subscription.ts'
import type { LiveFilter, SubscriptionBound } from './subscription.ts'
import { Tap } from './tap.ts'

/** The exporters of one run of the agent. */
interface DeliveryRun {
  readonly fanout: FanOut
  /** Number ranges of the events that exporters lost. */
  readonly lostRanges: LostRanges
  readonly context: ExportersContext
}

/** Time after which exporters that could not be opened again are tried once more. */
const AGAIN_MS = 1_000

export class Delivery implements AsyncDisposable {
  #run: DeliveryRun
  /** The exporters of the run before, which ended for a takeover. */
  #earlier: FanOut | undefined
  #exporters: Config['exporters']
  /** Reloads, reopens and takeovers wait for each other. */
  readonly #mutex = new Mutex()
  #stopped = false
  /** The number of the next event: `<epoch>-<n>`, without gaps. */
  #seq = 0
  /** Events dropped by removed exporters before the stop. */
  #droppedBefore: number | undefined
  /** Events dropped at the end of the run that another agent has taken over; undefined: none has. */
  #droppedAtEnd: number | undefined
  readonly #taps = new Set<Tap>()
  readonly #subscriptions = new Set<Subscription>()
  /** The only readers of the events of private policies, by policy; undefined until there is one. */
  #watching: Map<string, Subscription> | undefined

  constructor(fanout: FanOut, lostRanges: LostRanges, context: ExportersContext, exporters: Config['exporters'] = {}) {
    this.#run = { fanout, lostRanges, context }
    this.#exporters = exporters
  }

  get fanout(): FanOut {
    return this.#run.fanout
  }

  get lostRanges(): LostRanges {
    return this.#run.lostRanges
  }

  /** Identifies this run of the agent. */
  get epoch(): string {
    return this.#run.context.epoch
  }

  /** The senders whose losses are reported. */
  get senders(): readonly Sender[] {
    return [...this.fanout.senders, ...(this.#earlier?.senders ?? [])]
  }

  /**
   * Numbers the events and publishes them. Returns undefined when all exporters accepted them at once; a promise, to be awaited before the
   * next call, when a blocking exporter is full.
   */
  publish(all: readonly Event[]): Promise<void> | undefined {
    // The other agent has them.
    if (this.#droppedAtEnd !== undefined) return undefined
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
    return this.#mutex.run(async () => {
      const prepared = await prepareExporters(this.fanout, exporters, this.#run.context, stop)
      this.#exporters = exporters
      return prepared
    })
  }

  /** Reopens every sink that supports it; logs failures. */
  reopen(): Promise<void> {
    return this.#mutex.run(async () => {
      for (const { exporter, error } of await this.fanout.reopen()) {
        this.#run.context.log.error({ exporter }, `cannot be reopened: ${error}`)
      }
    })
  }

  /**
   * Runs `work`, which ends the run and gives the exporters' files and spools away. It gets a function that makes the next event the first of a new
   * run. The exporters of that run hold events in their queues. If `work` resolves to false, they are opened.
   */
  giveAway(work: (next: () => void) => Promise<boolean>): Promise<boolean> {
    return this.#mutex.run(async () => {
      const earlier = this.#run
      const made = await newRun(earlier.context, (next) => createFanOut(this.#exporters, next))
      const before = droppedBy(earlier.fanout)
      const given = await work(() => {
        for (const tap of this.#taps) tap.end()
        this.#earlier = earlier.fanout
        this.#run = made
        this.#seq = 0
        made.fanout.pressure = earlier.fanout.pressure
      })
      if (given) {
        this.#droppedAtEnd = droppedBy(earlier.fanout) - before
        this.#run = earlier
        await made.fanout.stop(0)
      } else await this.#open()
      return given
    })
  }

  /** Opens exporters until all are open. Resolves after the first try. */
  async #open(): Promise<void> {
    const { fanout, context } = this.#run
    try {
      await fanout.start()
    } catch (error) {
      context.log.error({ error: String(error) }, 'an exporter cannot be opened again, retrying')
      setTimeout(() => this.#stopped || this.#run.fanout !== fanout || void this.#open(), AGAIN_MS).unref()
    }
  }

  /** Ends the live readers and drains the exporters within one deadline. A second call can only shorten the grace. */
  async stop(graceMs: number): Promise<void> {
    this.#stopped = true
    this.#droppedBefore ??= droppedBy(this.fanout)
    for (const subscription of this.#subscriptions) subscription.end()
    for (const subscription of this.#watching?.values() ?? []) subscription.end()
    for (const tap of this.#taps) tap.end()
    await Promise.all([this.fanout.stop(graceMs), this.#earlier?.stop(graceMs)])
  }

  /** Events dropped because an exporter could not deliver them before the stop. */
  get droppedAtStop(): number {
    return this.#droppedAtEnd ?? droppedBy(this.fanout) - (this.#droppedBefore ?? 0)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop(0)
  }
}

function droppedBy({ senders }: FanOut): number {
  return senders.reduce((sum, sender) => sum + sender.accounting().dropped.shutdown, 0)
}

export interface DeliveryOptions extends Pick<
  ExportersContext,
  'nodeName' | 'hostId' | 'compressors' | 'log' | 'configFile'
> {
  readonly env?: ExportersContext['env']
}

/** Tries what can be known before the exporters are opened, which another agent may have open. Rejects with ExportError. */
export async function checkDelivery(exporters: Config['exporters'], options: DeliveryOptions): Promise<void> {
  await checkExporters(exporters, contextOf(options, new LostRanges(''), ''))
}

/** Starts the configured exporters for a new run of the agent. Rejects like `startFanOut`, without leaving anything running. */
export async function startDelivery(
  exporters: Config['exporters'],
  options: DeliveryOptions,
  stop: AbortSignal,
): Promise<Delivery> {
  const { fanout, lostRanges, context } = await newRun(options, (made) => startFanOut(exporters, made, stop))
  return new Delivery(fanout, lostRanges, context, exporters)
}

async function newRun(
  options: DeliveryOptions,
  makeFanOut: (context: ExportersContext) => Promise<FanOut>,
): Promise<DeliveryRun> {
  const epoch = createEpoch()
  const lostRanges = new LostRanges(epoch)
  const context = contextOf(options, lostRanges, epoch)
  return { fanout: await makeFanOut(context), lostRanges, context }
}

function contextOf(options: DeliveryOptions, lostRanges: LostRanges, epoch: string): ExportersContext {
  return {
    env: process.env,
    ...options,
    epoch,
    encoders: new EncoderPool(options.nodeName),
    numberings: new Numberings(epoch),
    onLost: (exporter, lost) => lostRanges.note(exporter, lost),
  }
}
