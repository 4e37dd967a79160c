/** Further doublings exceed every limit and lose precision. */
const MAX_DOUBLINGS = 30

/** Exponential back-off: the wait after `doublings` more failures than one, `firstMs` × 2^doublings, at most `maxMs`. */
export function backOffMs(firstMs: number, maxMs: number, doublings: number): number {
  return Math.min(maxMs, firstMs * 2 ** Math.min(doublings, MAX_DOUBLINGS))
}
