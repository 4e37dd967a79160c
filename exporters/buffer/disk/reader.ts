/**
 * Reads frames in order and accounts for events that the caller has not yet settled.
 *
 * It keeps a position, not an offset: even if files are dropped or rewritten, it continues with the first frame at or after that
 * position. A gap in positions is exactly the number of lost events.
 */
import { asError, errnoOf } from '../../contract/errors.ts'
import type { Segment } from './catalog.ts'
import { Mutex } from '../../../config/base/mutex.ts'
import { ignoring, isAccess } from './files/file-access.ts'
import type { SpoolFile } from './files/files.ts'
import { FIRST_FRAME } from './format/format.ts'
import type { Cursor } from './format/format.ts'
import type { SpoolParts } from './parts.ts'
import type { Loss } from './tally.ts'
import { frameAt, Window } from './format/scan.ts'
import { collect } from './place.ts'
import type { Most, Place, ReadFrame } from './place.ts'

/** Identifies frames given to the caller; valid for one `ack`. */
export interface Token {
  readonly from: number
  readonly to: number
}

export type ReadResult =
  | { readonly status: 'frames'; readonly frames: readonly ReadFrame[]; readonly token: Token }
  | { readonly status: 'empty' }
  /** The device failed; try again. After some tries unreadable events are counted as corrupt and skipped. */
  | { readonly status: 'failed'; readonly error: Error }

interface Out extends Token {
  readonly events: number
  readonly segment: number
  readonly offset: number
  acked: boolean
}

export interface ReaderDeps extends SpoolParts {
  /** Everything before this position is acked or counted. */
  readonly settled: (cursor: Cursor) => void
}

const WINDOW_BYTES = 1 << 20
const GIVE_UP_AFTER = 3

export class Reader {
  readonly #deps: ReaderDeps
  readonly #mutex = new Mutex()
  #seq: number
  #hint: Cursor | undefined
  #place: Place | undefined
  #out: Out[] = []
  /** Later ranges, ascending, that are already counted as lost. */
  #counted: readonly { readonly from: number; readonly to: number }[] = []
  #failures = 0

  constructor(deps: ReaderDeps, cursor: Cursor) {
    this.#deps = deps
    this.#seq = cursor.seq
    this.#hint = cursor
  }

  /** Position of the next event to read. */
  get seq(): number {
    return this.#seq
  }

  /** Unread events. */
  get unread(): number {
    return this.uncounted(this.#seq, this.#deps.catalog.end)
  }

  /** Number of these positions that are not counted as lost. */
  uncounted(from: number, to: number): number {
    const known = this.#counted.map((range) => Math.max(0, Math.min(to, range.to) - Math.max(from, range.from)))
    return Math.max(0, to - from) - known.reduce((sum, events) => sum + events, 0)
  }

  /** Events read and not yet settled. */
  get outEvents(): number {
    return this.#out.reduce((sum, { events }) => sum + events, 0)
  }

  /** The next frames, at least one, within `most` unless the first alone exceeds it. */
  next(most: Most): Promise<ReadResult> {
    return this.#mutex.run(async () => {
      try {
        const result = await this.#next(most)
        this.#failures = 0
        this.#deps.tally.worked('read')
        return result
      } catch (error) {
        const failed = asError(error)
        // Missing rights lose no events; only errors of the device count.
        if (!isAccess(failed)) this.#failures++
        this.#deps.tally.failed('read', failed)
        await this.#leave()
        return { status: 'failed', error: failed }
      }
    })
  }

  /** Settles a token, in any order; the cursor advances over settled events without gaps. */
  ack(token: Token): void {
    const out = this.#out.find((one) => one === token)
    if (out === undefined) return
    out.acked = true
    this.#settle()
  }

  /** Marks events that the caller has as read. undefined if some are already read or counted as lost, or are not next. */
  claim(from: number, to: number): Token | undefined {
    if (this.#seq > from || this.uncounted(this.#seq, from) > 0 || this.uncounted(from, to) < to - from)
      return undefined
    const catalog = this.#deps.catalog
    const segment = catalog.segments[catalog.indexOf(from)]?.header.number ?? 0
    const token = { from, to, events: to - from, segment, offset: 0, acked: false }
    this.skip(from)
    this.#out.push(token)
    this.#seq = to
    // A running read starts again.
    catalog.generation++
    return token
  }

  /** Continues at `to`; events before are removed and counted. */
  skip(to: number): void {
    if (to <= this.#seq) return
    this.#out.push({ from: this.#seq, to, events: 0, segment: 0, offset: 0, acked: true })
    this.#seq = to
    this.#counted = this.#counted.filter((range) => range.to > to)
    this.#settle()
  }

  /** Continues at `to` and counts events before as corrupt. */
  pass(to: number, between?: Loss['marks']): void {
    const from = this.#seq
    const events = this.uncounted(from, to)
    this.skip(to)
    if (events > 0) this.#deps.tally.corruptFrames++
    this.#deps.tally.lose({ reason: 'corrupt', events, from, to, marks: between })
  }

  /** Marks a later range, already counted as lost, to be skipped. */
  pastWithout(from: number, to: number): void {
    let range = { from, to }
    const others = this.#counted.filter((one) => {
      if (one.to < range.from || one.from > range.to) return true
      range = { from: Math.min(one.from, range.from), to: Math.max(one.to, range.to) }
      return false
    })
    if (to > from) this.#counted = [...others, range].toSorted((a, b) => a.from - b.from)
  }

  /** The open file of the segment being read. */
  fileOf(segment: Segment): SpoolFile | undefined {
    return this.#place?.segment === segment ? this.#place.file : undefined
  }

  /** Runs `job` while nothing is read; the next read reopens its file. */
  pause<T>(job: () => Promise<T>): Promise<T> {
    return this.#mutex.run(() => job().finally(() => this.#leave()))
  }

  close(): Promise<void> {
    return this.#mutex.run(() => this.#leave())
  }

  #settle(): void {
    let last: Out | undefined
    for (let first = this.#out[0]; first?.acked === true; first = this.#out[0]) {
      this.#deps.tally.acked += first.events
      last = first
      this.#out.shift()
    }
    if (last !== undefined) this.#deps.settled({ seq: last.to, segment: last.segment, offset: last.offset })
  }

  async #next(most: Most): Promise<ReadResult> {
    for (;;) {
      const catalog = this.#deps.catalog
      if (this.#seq >= catalog.end) return { status: 'empty' }
      const known = this.#counted[0]
      if (known !== undefined && known.from <= this.#seq) {
        this.skip(known.to)
        await this.#leave()
        continue
      }
      const index = catalog.indexOf(this.#seq)
      const segment = catalog.segments[index]
      if (segment === undefined || segment.header.base > this.#seq) {
        this.pass(segment?.header.base ?? catalog.end)
        continue
      }
      // Read together before any await: all positions below the limit are within these bytes.
      const limitSeq = Math.min(catalog.limit(index), known?.from ?? Infinity)
      const end = segment.bytes
      const { generation } = catalog
      const place = await this.#enter(segment, generation)
      if (place === undefined) {
        if (catalog.generation === generation) this.pass(limitSeq)
        continue
      }
      const found = await collect(place, this.#seq, { salt: segment.header.salt, end, minSeq: 0, limitSeq }, most)
      if (catalog.generation !== generation) continue
      const first = found.frames[0]
      if (first === undefined) {
        this.#deps.tally.corruptBytes += found.skippedBytes
        place.offset = end
        this.pass(limitSeq, marks(segment, place.mark, segment.lastMark + 1))
        continue
      }
      if (first.seq > this.#seq) {
        this.#deps.tally.corruptBytes += found.skippedBytes
        this.pass(first.seq, marks(segment, place.mark, first.first))
      }
      return this.#give(place, found.frames, found.offset)
    }
  }

  #give(place: Place, frames: readonly ReadFrame[], offset: number): ReadResult {
    const from = this.#seq
    const last = frames.at(-1)
    const to = last === undefined ? from : last.seq + last.count
    place.offset = offset
    place.mark = last?.last ?? place.mark
    this.#seq = to
    const token = { from, to, events: to - from, segment: place.segment.header.number, offset, acked: false }
    this.#out.push(token)
    return { status: 'frames', frames, token }
  }

  /** Opens the segment and finds the start; undefined if it cannot be opened and is given up. */
  async #enter(segment: Segment, generation: number): Promise<Place | undefined> {
    const place = this.#place
    if (place?.segment === segment && place.generation === generation) return place
    await this.#leave()
    const file = await this.#open(segment)
    if (file === undefined) return undefined
    const window = new Window(file, WINDOW_BYTES, true)
    window.tolerant = this.#failures >= GIVE_UP_AFTER
    const made: Place = { segment, file, window, generation, offset: FIRST_FRAME, mark: segment.header.firstMark - 1 }
    this.#place = made
    const hint = this.#hint
    this.#hint = undefined
    if (hint?.segment === segment.header.number && hint.seq === this.#seq && hint.offset > FIRST_FRAME) {
      // Only at a frame of exactly this position.
      const bounds = { salt: segment.header.salt, end: segment.bytes, minSeq: hint.seq, limitSeq: Infinity }
      const found = await frameAt(window, hint.offset, bounds)
      if (found?.seq === hint.seq) made.offset = hint.offset
    }
    return made
  }

  async #open(segment: Segment): Promise<SpoolFile | undefined> {
    try {
      return await this.#deps.files.open(segment.path, 'read')
    } catch (error) {
      if (isAccess(error) || (errnoOf(error) !== 'ENOENT' && this.#failures < GIVE_UP_AFTER)) throw error
      return undefined
    }
  }

  async #leave(): Promise<void> {
    const place = this.#place
    this.#place = undefined
    if (place !== undefined) await ignoring(place.file.close())
  }
}

/** The numbers between `after` and `before`, if that is a range. */
function marks(segment: Segment, after: number, before: number): Loss['marks'] {
  if (before - 1 <= after) return undefined
  return { epoch: segment.header.epoch, first: after + 1, last: before - 1 }
}
