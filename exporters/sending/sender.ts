/**
 * The sending chain of one exporter: queue, batch, send, retry, books. One loop pulls; nothing pushes it.
 *
 *     offer ─▶ queue ─▶ batcher ─▶ sendWithin ─▶ Outcome ─┬▶ delivered, rejected: settled
 *       ▲ (full)                        ▲                 └▶ retryable, hold: wait, then again
 *       └ whenFull                      └── wait ◀───────────┘
 *
 * Constraints: every event offered is counted once and settled once; room is freed when settled; one call of
 * `exporter.send` at a time; no timer runs while nothing waits.
 */
import type { Books, DropReason, Encoded, Exporter, Outcome } from '../exporter.ts'
import { Batcher } from './batcher.ts'
import { BookKeeper } from './books.ts'
import { Bell, systemClock } from './clock.ts'
import type { Clock, Random } from './clock.ts'
import { MAX_PART_BYTES, MAX_PART_EVENTS, split } from './encoded.ts'
import { Flight } from './flight.ts'
import { Intake } from './intake.ts'
import type { SenderOptions } from './options.ts'
import { Queue } from './queue.ts'
import { retryDelayMs } from './retry.ts'
import { ABANDON_MS, sendWithin, waitAtMost } from './timeout.ts'

/** What the sender is doing with its sink. */
type State =
  | { readonly is: 'starting' }
  | { readonly is: 'working' }
  | { readonly is: 'backing_off' }
  /** The sink needs a person. */
  | { readonly is: 'holding' }
  | { readonly is: 'closed' }

export interface SenderDeps {
  readonly clock?: Clock
  readonly random?: Random
}

export class Sender {
  readonly name: string
  readonly exporter: Exporter
  readonly #options: SenderOptions
  readonly #clock: Clock
  readonly #random: Random
  readonly #queue: Queue
  readonly #batcher: Batcher
  readonly #books = new BookKeeper()
  readonly #intake: Intake
  readonly #nudge: Bell
  readonly #deadline = new AbortController()
  #flight: Flight | undefined
  #state: State = { is: 'starting' }
  #stopping: Promise<void> | undefined
  #loop: Promise<void> = Promise.resolve()

  constructor(name: string, exporter: Exporter, options: SenderOptions, deps: SenderDeps = {}) {
    this.name = name
    this.exporter = exporter
    this.#options = options
    this.#clock = deps.clock ?? systemClock
    this.#random = deps.random ?? Math.random
    this.#queue = new Queue(options.queue.maxBytes, options.queue.maxEvents)
    this.#batcher = new Batcher(this.#queue, options.batch, this.#clock)
    this.#intake = new Intake(this.#queue, options.queue.whenFull, this.#books, this.#clock)
    this.#nudge = new Bell(this.#clock)
  }

  /** Opens the sink and begins to send. Throws ExportError when the sink can never work. */
  async start(): Promise<void> {
    await this.exporter.start()
    if (this.#stopping !== undefined) return
    this.#state = { is: 'working' }
    this.#loop = this.#run()
  }

  /**
   * Takes over the events: from here they are in the books. Returns a promise only when this is a `block` sender
   * and its queue is full; it settles when all of `whole` is in the queue. The bytes are kept, not copied.
   */
  offer(whole: Encoded): Promise<void> | undefined {
    this.#books.accept(whole.count)
    if (this.#stopping !== undefined) {
      this.#books.drop('shutdown', whole.count)
      return undefined
    }
    const { queue, batch } = this.#options
    const maxBytes = Math.min(MAX_PART_BYTES, queue.maxBytes, batch.maxBytes)
    const maxEvents = Math.min(MAX_PART_EVENTS, queue.maxEvents, batch.maxEvents)
    for (const part of split(whole, maxBytes, maxEvents)) this.#intake.put(part, this.#patient)
    this.#batcher.notify()
    const { wait } = this.#intake
    // Somebody waits for room: do not wait for more.
    if (wait !== undefined) this.#batcher.flush()
    return wait
  }

  /** Reopens the sink where it can be, and tries at once what waits for a retry. */
  async reopen(): Promise<void> {
    try {
      await this.exporter.reopen?.()
    } finally {
      this.#nudge.ring()
    }
  }

  /**
   * Accepts no more, sends what it holds for at most `graceMs`, drops the rest as `shutdown`, closes the exporter.
   * A second call returns the promise of the first.
   */
  stop(graceMs: number): Promise<void> {
    this.#stopping ??= this.#stop(graceMs)
    return this.#stopping
  }

  /** The accounts now. */
  books(): Books {
    const outside = this.#intake.outside()
    const { events, bytes } = this.#queue
    return this.#books.snapshot(this.#shownState(), events + outside.count, bytes + outside.sizeBytes)
  }

  /**
   * accepted − (delivered + rejected + dropped + held), where held is counted anew, part by part. Must be 0 at
   * every moment; a metric shows it.
   */
  imbalance(): number {
    const flight = this.#flight?.count ?? 0
    return this.#books.imbalance(this.#queue.recount() + flight + this.#intake.outside().count)
  }

  /** Whether a full `block` queue blocks: not while its sink waits for a person, for nobody else should. */
  get #patient(): boolean {
    return this.#state.is !== 'holding'
  }

  #admitOutside(): void {
    this.#intake.admit(this.#patient)
    if (this.#intake.wait !== undefined) this.#batcher.flush()
  }

  async #run(): Promise<void> {
    for (;;) {
      const taken = await this.#batcher.next()
      if (taken.length === 0) return
      await this.#deliver(new Flight(taken))
    }
  }

  /** Sends until every event of the flight is settled. */
  async #deliver(flight: Flight): Promise<void> {
    this.#flight = flight
    for (let attempt = 1; ; attempt++) {
      this.#expire(flight)
      if (this.#deadline.signal.aborted) this.#drop(flight.takeAll(), 'shutdown')
      if (flight.count === 0) break
      if (attempt > 1) this.#books.retry()
      const outcome = await this.#send(flight)
      const waitMs = this.#apply(flight, outcome, attempt)
      if (flight.count === 0) break
      if (!this.#deadline.signal.aborted) await this.#nudge.wait(this.#shortened(waitMs))
    }
    this.#flight = undefined
  }

  /** A long wait would use up the grace of a stop without one more try. */
  #shortened(waitMs: number): number {
    return this.#stopping === undefined ? waitMs : Math.min(waitMs, this.#options.retry.initialMs)
  }

  #send(flight: Flight): Promise<Outcome> {
    const { timeoutMs } = this.#options
    return sendWithin(this.exporter, flight.batch(), timeoutMs, this.#deadline.signal, this.#clock)
  }

  /** Enters the outcome into the books and frees room; returns how long to wait if anything is left. */
  #apply(flight: Flight, outcome: Outcome, attempt: number): number {
    switch (outcome.status) {
      case 'delivered':
        this.#delivered(flight.takeAll())
        return 0
      case 'partial': {
        const { events, bytes } = flight.takeAll()
        const rejected = Math.min(Math.max(0, outcome.rejected), events)
        this.#books.reject(outcome.reason, rejected)
        this.#books.deliver(events - rejected, bytes)
        this.#settled(events, bytes, { is: 'working' }, outcome.reason)
        return 0
      }
      case 'rejected': {
        const { events, bytes } = flight.takeAll()
        this.#books.reject(outcome.reason, events)
        this.#settled(events, bytes, { is: 'working' }, outcome.error.message)
        return 0
      }
      case 'retryable':
        this.#taken(flight, outcome)
        this.#books.note(outcome.error.message)
        this.#state = { is: 'backing_off' }
        return retryDelayMs(attempt, this.#options.retry, this.#random, outcome.afterMs)
      case 'hold':
        this.#books.note(outcome.error.message)
        this.#state = { is: 'holding' }
        // While stopping nobody will mend it in time: do not make the whole agent wait for the deadline.
        if (this.#stopping !== undefined) this.#deadline.abort()
        this.#admitOutside()
        return this.#options.retry.maxMs
    }
  }

  #taken(flight: Flight, { taken = 0, refused }: Extract<Outcome, { status: 'retryable' }>): void {
    if (taken <= 0) return
    const { events, bytes } = flight.takeHead(taken)
    const rejected = Math.min(Math.max(0, refused?.rejected ?? 0), events)
    if (refused !== undefined) this.#books.reject(refused.reason, rejected)
    this.#books.deliver(events - rejected, bytes)
    this.#queue.settle(events, bytes)
    this.#admitOutside()
  }

  #delivered(sum: { readonly events: number; readonly bytes: number }): void {
    this.#books.deliver(sum.events, sum.bytes)
    this.#settled(sum.events, sum.bytes, { is: 'working' }, '')
  }

  #settled(events: number, bytes: number, state: State, note: string): void {
    this.#queue.settle(events, bytes)
    this.#state = state
    this.#books.note(note)
    this.#admitOutside()
  }

  #expire(flight: Flight): void {
    const { maxAgeMs } = this.#options.retry
    if (maxAgeMs !== undefined) this.#drop(flight.takeOlder(this.#clock.nowMs() - maxAgeMs), 'expired')
  }

  #drop(sum: { readonly events: number; readonly bytes: number }, reason: DropReason): void {
    if (sum.events === 0) return
    this.#books.drop(reason, sum.events)
    this.#queue.settle(sum.events, sum.bytes)
    this.#admitOutside()
  }

  async #stop(graceMs: number): Promise<void> {
    const cancel = this.#clock.after(graceMs, () => this.#expireGrace())
    const neverStarted = this.#state.is === 'starting'
    // One turn, so that `#stopping` is set before anything below looks at it.
    await Promise.resolve()
    if (graceMs <= 0 || neverStarted) this.#expireGrace()
    this.#batcher.end()
    this.#nudge.ring()
    await this.#loop
    cancel()
    this.#expireGrace()
    this.#state = { is: 'closed' }
    await waitAtMost(this.exporter.stop(), ABANDON_MS, this.#clock)
  }

  /** The end of the grace: whatever is still held is dropped, counted. */
  #expireGrace(): void {
    this.#deadline.abort()
    this.#nudge.ring()
    this.#intake.dropAll('shutdown')
  }

  #shownState(): Books['state'] {
    if (this.#state.is === 'closed') return 'stopped'
    if (this.#stopping !== undefined) return 'draining'
    switch (this.#state.is) {
      case 'starting':
        return 'starting'
      case 'working':
        return 'healthy'
      case 'backing_off':
        return 'retrying'
      case 'holding':
        return 'hold'
    }
  }
}
