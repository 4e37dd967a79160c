/**
 * Appends to the spool.
 *
 * - Appends during a write are written together afterwards. Payloads are not copied.
 * - `durable` follows the syncs, not the writes.
 */
import type { SpoolConfig } from '../../../config/agent/schema.ts'
import { isNoSpace } from '../../contract/errors.ts'
import { FIRST_FRAME } from './format/format.ts'
import { sizeOf } from './format/segment.ts'
import type { Placed, SegmentWriter, SpoolFrame } from './format/segment.ts'
import type { SpoolParts } from './parts.ts'
import { GROUP_FRAMES } from './open-segments.ts'
import type { OpenSegments } from './open-segments.ts'
import type { Presence } from './presence.ts'
import type { Syncer } from './syncer.ts'

/** Why nothing fits: the spool's limit, the reserve of the file system, or a full file system. */
export type FullReason = 'max_bytes' | 'min_free' | 'no_space'

/**
 * The result of an append. Even after a failure the first `frames` frames are written. Written events have the positions from
 * `from` on, without gaps.
 */
export type AppendResult =
  /** Up to `end` (exclusive). */
  | { readonly status: 'written'; readonly from: number; readonly end: number }
  | { readonly status: 'full'; readonly why: FullReason; readonly frames: number; readonly from: number }
  | { readonly status: 'failed'; readonly error: Error; readonly frames: number; readonly from: number }

export interface WriterDeps extends SpoolParts {
  readonly fsync: SpoolConfig['fsync']
  readonly presence: Presence
  readonly segments: OpenSegments
  readonly syncer: Syncer
  readonly makeRoom: (bytes: number) => Promise<FullReason | undefined>
}

interface Pending {
  readonly frames: readonly SpoolFrame[]
  written: number
  from: number
  readonly resolve: (result: AppendResult) => void
}

type Failure = { status: 'full'; why: FullReason } | { status: 'failed'; error: Error }

/** Maximum bytes per write: limits the memory of a burst and how long a sync waits. */
const GROUP_BYTES = 8 << 20

export class Writer {
  readonly #deps: WriterDeps
  #pending: Pending[] = []
  #running: Promise<void> | undefined

  constructor(deps: WriterDeps) {
    this.#deps = deps
  }

  append(frames: readonly SpoolFrame[]): Promise<AppendResult> {
    return new Promise((resolve) => {
      this.#pending.push({ frames, written: 0, from: this.#deps.catalog.end, resolve })
      this.#kick()
    })
  }

  /** Waits for pending appends. */
  async idle(): Promise<void> {
    await this.#running
  }

  #kick(): void {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined
      if (this.#pending.length > 0) this.#kick()
    })
  }

  async #run(): Promise<void> {
    while (this.#pending.length > 0) {
      await this.#deps.mutex.run(() => this.#writeGroup())
      if (this.#deps.fsync === 'batch') await this.#deps.syncer.sync()
    }
  }

  async #writeGroup(): Promise<void> {
    const group: Pending[] = []
    let bytes = 0
    while (this.#pending.length > 0 && bytes < GROUP_BYTES && group.length < GROUP_FRAMES) {
      const pending = this.#pending.shift()
      if (pending === undefined) break
      group.push(pending)
      for (const frame of pending.frames) bytes += sizeOf(frame)
    }
    const failure = await this.#writeAll(group)
    if (failure === undefined) this.#deps.tally.worked('write')
    else if (failure.status === 'failed') this.#deps.tally.failed('write', failure.error)
    for (const pending of group) {
      const { frames, written, from, resolve } = pending
      if (failure === undefined || written === frames.length) {
        resolve({ status: 'written', from, end: from + frames.reduce((sum, { count }) => sum + count, 0) })
      } else resolve({ ...failure, frames: written, from })
    }
    this.#deps.syncer.schedule()
  }

  async #writeAll(group: readonly Pending[]): Promise<Failure | undefined> {
    const error =
      (this.#deps.presence.failed && (await this.#deps.presence.restore())) ?? (await this.#deps.syncer.repair())
    if (error !== undefined) return failureOf(error)
    const all = group.flatMap((pending) => pending.frames.map((frame) => ({ pending, frame })))
    for (let from = 0; from < all.length;) {
      const most = this.#deps.segments.fitting(FIRST_FRAME, all, from)
      const bytes = all.slice(from, most).reduce((sum, { frame }) => sum + sizeOf(frame), FIRST_FRAME)
      const why = await this.#deps.makeRoom(bytes)
      if (why !== undefined) return { status: 'full', why }
      const writer = await this.#deps.segments.writerFor(all[from]?.frame)
      if (writer instanceof Error) return failureOf(writer)
      const to = this.#deps.segments.fitting(writer.segment.bytes, all, from)
      let seq = this.#deps.catalog.end
      const placed = all.slice(from, to).map(({ frame }) => {
        const one = { ...frame, seq }
        seq += frame.count
        return one
      })
      const offsets = await this.#deps.segments.put(writer, placed)
      if (offsets instanceof Error) return failureOf(offsets)
      this.#accept(writer, placed, offsets)
      for (const [i, { pending }] of all.slice(from, to).entries()) {
        if (pending.written++ === 0) pending.from = placed[i]?.seq ?? 0
      }
      from = to
    }
    return undefined
  }

  #accept(writer: SegmentWriter, frames: readonly Placed[], offsets: readonly number[]): void {
    const { catalog, segments, syncer, tally } = this.#deps
    const { segment } = writer
    if (segments.current !== writer) {
      segments.current = writer
      catalog.segments.push(segment)
      syncer.named()
    }
    if (!segments.open.includes(writer)) segments.open.push(writer)
    syncer.wrote(frames.map((frame, i) => ({ frame, segment, offset: offsets[i] ?? 0 })))
    const events = frames.reduce((sum, { count }) => sum + count, 0)
    catalog.end += events
    tally.appended += events
  }
}

function failureOf(error: Error): Failure {
  if (isNoSpace(error)) return { status: 'full', why: 'no_space' }
  return { status: 'failed', error }
}
