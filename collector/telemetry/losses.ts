/**
 * Everything that was not seen, by where and why: what the kernel's counters say, the runs that hooks missed, and records
 * that user space could not use. A loss that nobody reads about is a lie, so growth is also written to the log.
 */
import type { Ingest } from '../ingest/ingest.ts'
import type { RingAccounting } from '../ingest/ring-accounting.ts'
import type { KernelSide } from '../kernel/kernel-side.ts'
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
  readonly ingest: Pick<Ingest, 'orphaned'> & { readonly accounting: Pick<RingAccounting, 'malformed'> }
  readonly log: Log
}

export class Losses {
  readonly #options: LossOptions
  #reported = 0

  constructor(options: LossOptions) {
    this.#options = options
  }

  /** All losses, also those that are 0: a metric that appears only when it is bad can not be alerted on. */
  list(): Loss[] {
    const { kernel, ingest } = this.#options
    const { counters } = kernel.state()
    const losses: Loss[] = LOST.map((reason) => ({ hook: '*', reason, count: counters[reason] }))
    const programs = kernel.missedRuns().map(({ program, missed }) => [program, missed] as const)
    for (const [hook, count] of [...programs, ...kernel.policies.missedRuns()]) {
      losses.push({ hook, reason: 'missed_run', count })
    }
    losses.push({ hook: '*', reason: 'malformed', count: ingest.accounting.malformed })
    losses.push({ hook: '*', reason: 'orphaned', count: ingest.orphaned })
    return losses
  }

  /** Writes a line when losses have grown since the last call; call it every few seconds. */
  report(): void {
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
