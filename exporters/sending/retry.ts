import type { Random } from '../runtime/clock.ts'
import type { ChainConfig } from './config.ts'

/** Doubling stops here: 2^30 times any start is past every limit, and further powers would lose precision. */
const MAX_DOUBLINGS = 30
const LONGEST_HOLD_MS = 300_000

/**
 * A sink that names a longer time is not believed: to whoever looks, the exporter would be dead, and past 2^31 - 1 ms a
 * timer of Node goes off at once.
 */
const MAX_NAMED_MS = 3_600_000

/**
 * How long to wait before try number `attempt` (from 1) is repeated: anywhere in [0, initial × 2^(attempt-1)],
 * at most `max` ("full jitter": the senders of a fleet spread over the whole time). A time that the sink named
 * (`afterMs`) is kept, up to an hour.
 */
export function retryDelayMs(
  attempt: number,
  retry: ChainConfig['retry'],
  random: Random,
  afterMs: number | undefined,
): number {
  if (afterMs !== undefined) return Math.min(Math.max(0, afterMs), MAX_NAMED_MS)
  const ceiling = Math.min(retry.max, retry.initial * 2 ** Math.min(attempt - 1, MAX_DOUBLINGS))
  return Math.round(random() * ceiling)
}

/**
 * How long to wait for a person before hold number `holds` (from 1) of a batch is tried again: from `max` on doubling to five
 * minutes.
 */
export function holdDelayMs(holds: number, { max }: ChainConfig['retry']): number {
  return Math.max(max, Math.min(LONGEST_HOLD_MS, max * 2 ** Math.min(holds - 1, MAX_DOUBLINGS)))
}
