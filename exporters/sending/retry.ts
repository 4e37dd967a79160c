import { MAX_NAMED_MS, backOffMs } from '../../config/base/time/back-off.ts'
import type { Random } from '../../config/base/time/clock.ts'
import type { ChainConfig } from './config.ts'

const LONGEST_HOLD_MS = 300_000

/**
 * The wait after try `attempt` (from 1): random in [0, initial × 2^(attempt-1)], at most `max` ("full jitter" spreads the
 * retries of many agents). A time requested by the sink (`afterMs`) is used instead, up to an hour.
 */
export function retryDelayMs(
  attempt: number,
  retry: ChainConfig['retry'],
  random: Random,
  afterMs: number | undefined,
): number {
  if (afterMs !== undefined) return Math.min(Math.max(0, afterMs), MAX_NAMED_MS)
  return Math.round(random() * backOffMs(retry.initial, retry.max, attempt - 1))
}

/**
 * The wait after hold `holds` (from 1) of a batch: from `max`, doubling up to five minutes.
 */
export function holdDelayMs(holds: number, { max }: ChainConfig['retry']): number {
  return Math.max(max, backOffMs(max, LONGEST_HOLD_MS, holds - 1))
}
