/** Selects events of a slice for a route, and their lines from an Encoded that several routes share. */
import type { Event } from '../contract/event.ts'
import type { Described } from '../contract/described.ts'
import type { Encoded } from '../contract/exporter.ts'
import { isDescribed, Memory } from '../contract/encoded.ts'
import type { EventFilter } from './filter.ts'

/** By index: 1 for a selected event. */
export interface Selection {
  readonly taken: Uint8Array
  readonly count: number
}

/** Evaluates the filter once per event. */
export function selectionOf(events: readonly Event[], filter: EventFilter): Selection {
  const taken = new Uint8Array(events.length)
  let count = 0
  for (let i = 0; i < events.length; i++) {
    const event = events[i]
    if (event === undefined || !filter.accepts(event)) continue
    taken[i] = 1
    count++
  }
  return { taken, count }
}

/** Events that at least one selection has; all have the same length. */
export function unionOf(selections: readonly Selection[], length: number): Selection {
  const taken = new Uint8Array(length)
  let count = 0
  for (let i = 0; i < length; i++) {
    if (!selections.some((each) => each.taken[i] === 1)) continue
    taken[i] = 1
    count++
  }
  return { taken, count }
}

/** `part`, a subset of `whole`, as a selection among the events of `whole`. */
export function within(whole: Selection, part: Selection): Selection {
  const taken = part.taken.filter((_, i) => whole.taken[i] === 1)
  return { taken, count: part.count }
}

export function equal(a: Selection, b: Selection): boolean {
  return a.count === b.count && Buffer.compare(a.taken, b.taken) === 0
}

/**
 * Copies the selected lines into a new Encoded. Sequence numbers then have gaps, so only a Described knows them.
 */
export function pickLines(whole: Encoded, { taken, count }: Selection): Encoded {
  const ends = new Uint32Array(count)
  const runs: Uint8Array[] = []
  let length = 0
  let picked = 0
  for (let i = 0; i < whole.count; i++) {
    if (taken[i] !== 1) continue
    const from = i === 0 ? 0 : (whole.ends[i - 1] ?? 0)
    const before = length
    // Adjacent lines are copied together.
    for (; taken[i] === 1; i++) ends[picked++] = before + (whole.ends[i] ?? 0) - from
    const to = whole.ends[i - 1] ?? 0
    runs.push(whole.bytes.subarray(from, to))
    length += to - from
  }
  const firstIndex = taken.indexOf(1)
  const bytes = Buffer.concat(runs, length)
  const lines = { encoding: whole.encoding, bytes, ends, count, memory: new Memory(bytes, 1) }
  if (!isDescribed(whole)) return { ...lines, firstSeq: whole.firstSeq + firstIndex }
  const isTaken = (_: unknown, i: number): boolean => taken[i] === 1
  const seqs = whole.seqs.filter(isTaken)
  const described: Described = {
    ...lines,
    firstSeq: seqs[0] ?? whole.firstSeq,
    abouts: whole.abouts.filter(isTaken),
    times: whole.times.filter(isTaken),
    seqs,
    ...(whole.epoch === undefined ? {} : { epoch: whole.epoch }),
  }
  return described
}
