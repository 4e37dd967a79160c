/** One step of a scenario: `events` new events while the next `fail` calls of the sink fail. */
export interface Step {
  readonly events: number
  readonly fail: number
}

/** 1 to 12 steps, the same for the same seed. */
export function scenario(seed: number): Step[] {
  const random = mulberry32(seed)
  const below = (bound: number): number => Math.floor(random() * bound)
  return Array.from({ length: 1 + below(12) }, () => ({ events: 1 + below(40), fail: below(4) }))
}

/** Tommy Ettinger's 32-bit generator (public domain). */
function mulberry32(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
