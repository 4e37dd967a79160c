import { slice } from '../contract/encoded.ts'
import type { Encoded, Encoding } from '../contract/exporter.ts'
import type { Clock } from '../../config/base/time/clock.ts'
import type { Counters } from './counters.ts'
import { pieceOf } from './disk/format/payload.ts'
import type { ReadFrame } from './disk/place.ts'
import type { QueuedPart } from './queue.ts'

const NEXT_STEP =
  '; use that one again, or stop the agent and move the events with ktrail spool replay --to EXPORTER --remove'

/**
 * A frame of the spool as a part to send; none, and counted as `unreadable`, if it is damaged. Events before `from` are already
 * settled: after a disk failure the cursor may be within a frame.
 */
export function readBack(
  frame: ReadFrame,
  from: number,
  { encoding, clock, counters }: { encoding: Encoding; clock: Clock; counters: Counters },
): QueuedPart[] {
  const settled = Math.max(0, from - frame.seq)
  const piece = pieceOf(frame, encoding)
  const nowMs = clock.nowMs()
  if (!('why' in piece)) {
    const ageMs = Math.max(0, clock.wallMs() - (piece.times.at(-1) ?? 0))
    return [{ part: slice(piece, settled, piece.count), acceptedMs: nowMs - ageMs }]
  }
  const count = frame.count - settled
  const problem = `the spool has events that this exporter cannot send: ${piece.why}`
  if (piece.foreign) return [{ part: sealed(frame, count, encoding), acceptedMs: nowMs, problem: problem + NEXT_STEP }]
  counters.reject('unreadable', count)
  counters.note(problem)
  return []
}

/** The last `count` events of a frame as a part that is only held and counted. */
function sealed({ payload, last }: ReadFrame, count: number, encoding: Encoding): Encoded {
  const ends = new Uint32Array(count).fill(payload.length)
  return { encoding, bytes: payload, ends, count, firstSeq: last - count + 1 }
}
