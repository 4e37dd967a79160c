/**
 * All losses before the fan-out, by hook and reason: the kernel's loss counters, missed runs of hooks, and records that user space could not
 * use; and one for each finding of the guard. New losses are also logged.
 */
import type { Ingest } from '../ingest/ingest.ts'
import type { RingAccounting } from '../ingest/ring-accounting.ts'
import type { Guard } from '../guard/guard.ts'
import type { Kernel } from '../kernel/port.ts'
import type { Log } from '../host/log.ts'

export interface Loss {
  /** Kernel symbol, one of our process programs, or '*' if the kernel does not report it. */
  readonly hook: string
  readonly reason: string
  readonly count: number
}

/** Kernel counters of lost events; the other counters are of fallbacks that lost nothing. */
export const LOST = ['ring_full_hook', 'ring_full_process', 'return_missed', 'process_map_full'] as const

export interface LossOptions {
  readonly kernel: Pick<Kernel, 'counts'>
  readonly ingest: Pick<Ingest, 'orphaned'> & { readonly accounting: Pick<RingAccounting, 'malformed'> }
  readonly guard: Pick<Guard, 'counts'>
  readonly log: Log
}

export class Losses {
  readonly #options: LossOptions
  #reported = 0

  constructor(options: LossOptions) {
    this.#options = options
  }

  /** All losses, also zeros: alerts need a metric that always exists. */
  list(): Loss[] {
    const { kernel, ingest, guard } = this.#options
    const { counters, programs, functions } = kernel.counts()
    const losses: Loss[] = LOST.map((reason) => ({ hook: '*', reason, count: counters[reason] }))
    for (const [hook, { missed }] of [...programs, ...functions]) {
      losses.push({ hook, reason: 'missed_run', count: missed })
    }
    losses.push({ hook: '*', reason: 'malformed', count: ingest.accounting.malformed })
    losses.push({ hook: '*', reason: 'orphaned', count: ingest.orphaned })
    // One for each finding, because the number of its lost events is not known.
    for (const [reason, count] of guard.counts) losses.push({ hook: '*', reason, count })
    return losses
  }

  /** Logs losses since the last call; call it every few seconds. */
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
