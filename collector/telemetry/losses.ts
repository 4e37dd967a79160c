/**
 * Everything that was not seen, by where and why: what the kernel's counters say, the runs that hooks missed, and records
 * that user space could not use. A loss that nobody reads about is a lie, so growth is also written to the log.
 */
import type { KernelSide, LoadedPolicy } from '../kernel/kernel-side.ts'
import type { SequenceTracker } from '../kernel/sequence.ts'
import type { Log } from './log.ts'

export interface Loss {
  /** Kernel symbol, one of our process programs, or '*' where the kernel does not tell. */
  readonly hook: string
  readonly reason: string
  readonly count: number
}

/** Reasons of the kernel side that mean an event is gone; the other counters tell of fall-backs that lost nothing. */
const LOST = ['ring_full_hook', 'ring_full_process', 'join_full', 'return_missed', 'process_map_full'] as const

export interface LossOptions {
  readonly kernel: Pick<KernelSide, 'state' | 'missedRuns'>
  readonly policies: () => readonly LoadedPolicy[]
  readonly tracker: SequenceTracker
  readonly log: Log
}

export class Losses {
  readonly #options: LossOptions
  /** Missed runs of hooks that are detached. */
  readonly #past = new Map<string, number>()
  /** Records that were no records, and records of hooks that nobody knows. */
  malformed = 0
  orphaned: () => number = () => 0
  #reported = 0
  #numbered: number | undefined
  #gaps = 0
  #late = 0
  #emptied = false
  #imbalance = 0

  constructor(options: LossOptions) {
    this.#options = options
  }

  /** Keeps the missed runs of a policy that is about to be detached. */
  remember(policy: LoadedPolicy): void {
    for (const { symbol, missed } of missedRuns(policy)) this.#past.set(symbol, (this.#past.get(symbol) ?? 0) + missed)
  }

  /** All losses, also those that are 0: a metric that appears only when it is bad can not be alerted on. */
  list(): Loss[] {
    const { kernel, policies } = this.#options
    const { counters } = kernel.state()
    const losses: Loss[] = LOST.map((reason) => ({ hook: '*', reason, count: counters[reason] }))
    const missed = new Map(this.#past)
    for (const { program, missed: count } of kernel.missedRuns()) missed.set(program, count)
    for (const policy of policies()) {
      for (const { symbol, missed: count } of missedRuns(policy)) missed.set(symbol, (missed.get(symbol) ?? 0) + count)
    }
    for (const [hook, count] of missed) losses.push({ hook, reason: 'missed_run', count })
    losses.push({ hook: '*', reason: 'malformed', count: this.malformed })
    losses.push({ hook: '*', reason: 'orphaned', count: this.orphaned() })
    return losses
  }

  /** To be called whenever the ring was found empty. */
  drained(): void {
    this.#emptied = true
  }

  /**
   * Records the kernel numbered and did not refuse, but that never came: must be 0. Looks two ticks back, so that
   * records on their way do not count.
   */
  get imbalance(): number {
    return this.#imbalance
  }

  /**
   * Looks for records that are missing behind those that came (numbered by the last tick, and the ring was empty since)
   * and between them (gaps of the last tick that the ring had not refused and that nothing has filled since).
   */
  #audit(): void {
    const { kernel, tracker } = this.#options
    if (this.#emptied && this.#numbered !== undefined) {
      const behind = this.#numbered - tracker.received
      this.#imbalance = Math.max(0, behind, this.#gaps - (tracker.late - this.#late))
    }
    const { taken, counters } = kernel.state()
    const refused = counters.ring_full_hook + counters.ring_full_process
    this.#numbered = taken - refused
    this.#gaps = tracker.gaps() - refused
    this.#late = tracker.late
    this.#emptied = false
  }

  /** Writes a line when losses have grown since the last call; call it every few seconds. */
  report(): void {
    this.#audit()
    const losses = this.list()
    const total = losses.reduce((sum, { count }) => sum + count, 0)
    if (total <= this.#reported) return
    const now = losses
      .filter(({ count }) => count > 0)
      .map(({ hook, reason, count }) => `${reason}${hook === '*' ? '' : `(${hook})`}=${count}`)
    this.#options.log.warn({ new: total - this.#reported, total: now.join(' ') }, 'events were lost')
    this.#reported = total
  }
}

/**
 * By hook. Of a joined hook only the entry side counts: a return that did not run leaves its entry in the join map, if
 * it was a match, and is counted there as return_missed. A session has one program for both, so that its missed returns
 * stand under both reasons: too much, never too little.
 */
function missedRuns(policy: LoadedPolicy): Array<{ symbol: string; missed: number }> {
  return policy.hooks.map(({ symbol, mode, links }) => ({
    symbol,
    missed: links
      .filter(({ kind }) => mode !== 'join' || (kind !== 'kretprobe' && kind !== 'kretprobe.multi'))
      .reduce((sum, link) => sum + Number(link.stats().missed), 0),
  }))
}
