/**
 * Everything that was not seen, by where and why: what the kernel's counters say, the runs that hooks missed, and records
 * that user space could not use. A loss that nobody reads about is a lie, so growth is also written to the log.
 */
import type { KernelSide } from '../kernel/kernel-side.ts'
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
  readonly kernel: Pick<KernelSide, 'state' | 'missedRuns'> & {
    readonly policies: Pick<KernelSide['policies'], 'missedRuns'>
  }
  readonly tracker: SequenceTracker
  readonly log: Log
}

export class Losses {
  readonly #options: LossOptions
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

  /** All losses, also those that are 0: a metric that appears only when it is bad can not be alerted on. */
  list(): Loss[] {
    const { kernel } = this.#options
    const { counters } = kernel.state()
    const losses: Loss[] = LOST.map((reason) => ({ hook: '*', reason, count: counters[reason] }))
    const programs = kernel.missedRuns().map(({ program, missed }) => [program, missed] as const)
    for (const [hook, count] of [...programs, ...kernel.policies.missedRuns()]) {
      losses.push({ hook, reason: 'missed_run', count })
    }
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
