/**
 * Two limits of the agent's resident memory. Above the soft limit exporters with a spool write new events to disk first; above the hard limit
 * all exporters drop new events, counted: an agent killed by the kernel would lose more.
 */
import type { MemoryPressure } from '../../exporters/index.ts'
import type { Log } from './log.ts'

export type MemoryLimits = Readonly<Record<'soft_limit' | 'hard_limit', number>>

/** Hysteresis: a limit stays exceeded until the resident set falls below this part of it, so that it does not flip with each collection. */
const BACK_BELOW = 0.95

export class MemoryGuard {
  /** A reload sets others. */
  limits: MemoryLimits
  readonly #rss: () => number
  readonly #onChange: (pressure: MemoryPressure, rssBytes: number) => void
  pressure: MemoryPressure = 'none'

  /** `rss` returns the resident bytes. */
  constructor(
    limits: MemoryLimits,
    onChange: (pressure: MemoryPressure, rssBytes: number) => void,
    rss: () => number = process.memoryUsage.rss,
  ) {
    this.limits = limits
    this.#rss = rss
    this.#onChange = onChange
  }

  /** Call it every few seconds. */
  look(): void {
    const rssBytes = this.#measured()
    if (rssBytes === undefined) return
    const pressure = this.#pressureOf(rssBytes)
    if (pressure === this.pressure) return
    this.pressure = pressure
    this.#onChange(pressure, rssBytes)
  }

  /** undefined while no descriptor is left to read it; then the state does not change. */
  #measured(): number | undefined {
    try {
      return this.#rss()
    } catch {
      return undefined
    }
  }

  #pressureOf(rssBytes: number): MemoryPressure {
    const { soft_limit: softBytes, hard_limit: hardBytes } = this.limits
    const passed = (limit: number, already: boolean): boolean => rssBytes > (already ? limit * BACK_BELOW : limit)
    if (passed(hardBytes, this.pressure === 'hard')) return 'hard'
    return passed(softBytes, this.pressure !== 'none') ? 'soft' : 'none'
  }
}

const MESSAGES: Readonly<Record<MemoryPressure, string>> = {
  none: 'memory is below its limits again',
  soft: 'memory is above memory.soft_limit: exporters with a spool write new events to disk first',
  hard: 'memory is above memory.hard_limit: new events are dropped and counted',
}

export function logPressure(log: Log, pressure: MemoryPressure, rssBytes: number): void {
  const level = { none: 'info', soft: 'warn', hard: 'error' } as const
  log[level[pressure]]({ rssMiB: Math.round(rssBytes / (1 << 20)) }, MESSAGES[pressure])
}
