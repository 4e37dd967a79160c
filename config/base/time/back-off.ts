/**
 * Longest wait that a sink may request: with a longer one the exporter would seem dead. Above 2^31 - 1 ms Node's timers fire at
 * once.
 */
export const MAX_NAMED_MS = 3_600_000

/** Further doublings exceed every limit and lose precision. */
const MAX_DOUBLINGS = 30

/** Exponential back-off: the wait after `doublings` more failures than one, `firstMs` × 2^doublings, at most `maxMs`. */
export function backOffMs(firstMs: number, maxMs: number, doublings: number): number {
  return Math.min(maxMs, firstMs * 2 ** Math.min(doublings, MAX_DOUBLINGS))
}
