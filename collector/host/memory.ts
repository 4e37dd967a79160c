/**
 * How short of memory the agent is, by two limits of its resident set. Past the soft one exporters with a spool send by way of their
 * disk, past the hard one all drop what is new, counted: an agent that the kernel kills loses more.
 */
import type { MemoryPressure } from '../../exporters/index.ts'
import type { Log } from '../telemetry/log.ts'

export type MemoryLimits = Readonly<Record<'soft_limit' | 'hard_limit', number>>

/** A limit counts as passed until the resident set is so much smaller again: it must not be on and off with each collection. */
const BACK_BELOW = 0.95

export class MemoryGuard {
  readonly #limits: MemoryLimits
  readonly #rss: () => number
  readonly #onChange: (pressure: MemoryPressure, rssBytes: number) => void
  #pressure: MemoryPressure = 'none'

  /** `rss`: bytes now. */
  constructor(
    limits: MemoryLimits,
    onChange: (pressure: MemoryPressure, rssBytes: number) => void,
    rss: () => number = process.memoryUsage.rss,
  ) {
    this.#limits = limits
    this.#rss = rss
    this.#onChange = onChange
  }

  get pressure(): MemoryPressure {
    return this.#pressure
  }

  /** Call it every second or two. */
  look(): void {
    const rssBytes = this.#measured()
    if (rssBytes === undefined) return
    const pressure = this.#pressureOf(rssBytes)
    if (pressure === this.#pressure) return
    this.#pressure = pressure
    this.#onChange(pressure, rssBytes)
  }

  /** undefined while there is no descriptor left to read it with: then nothing is known, and nothing changes. */
  #measured(): number | undefined {
    try {
      return this.#rss()
    } catch {
      return undefined
    }
  }

  #pressureOf(rssBytes: number): MemoryPressure {
    const { soft_limit: softBytes, hard_limit: hardBytes } = this.#limits
    const passed = (limit: number, already: boolean): boolean => rssBytes > (already ? limit * BACK_BELOW : limit)
    if (passed(hardBytes, this.#pressure === 'hard')) return 'hard'
    return passed(softBytes, this.#pressure !== 'none') ? 'soft' : 'none'
  }
}

const SAID: Readonly<Record<MemoryPressure, string>> = {
  none: 'memory is not short any more',
  soft: 'memory is past memory.soft_limit: exporters with a spool send by way of their disk',
  hard: 'memory is past memory.hard_limit: new events are dropped and counted until it is smaller',
}

export function logPressure(log: Log, pressure: MemoryPressure, rssBytes: number): void {
  const level = { none: 'info', soft: 'warn', hard: 'error' } as const
  log[level[pressure]]({ rssMiB: Math.round(rssBytes / (1 << 20)) }, SAID[pressure])
}
