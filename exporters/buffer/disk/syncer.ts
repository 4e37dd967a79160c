/**
 * Makes written events durable.
 *
 * After a failed sync the unsynced data cannot be trusted: Linux marks the pages clean, so the next sync would succeed without
 * them. Frames still in memory are written again, at the same positions, to a new segment. Its base invalidates the old copies, which
 * are then cut off. Until that succeeds nothing is appended, because the order on disk must be the order of positions.
 */
import { backOffMs } from '../../../config/base/time/back-off.ts'
import { Timer } from '../../../config/base/time/timer.ts'
import type { SpoolConfig } from '../../../config/agent/schema.ts'
import { asError, errnoOf } from '../../contract/errors.ts'
import type { Segment } from './catalog.ts'
import { ignoring, withFile } from './files/file-access.ts'
import { sizeOf } from './format/segment.ts'
import type { Placed, SegmentWriter } from './format/segment.ts'
import type { SpoolParts } from './parts.ts'
import type { OpenSegments } from './open-segments.ts'
import type { Presence } from './presence.ts'
import type { Recovered } from './recovery.ts'

export interface SyncerDeps extends SpoolParts {
  readonly presence: Presence
  readonly segments: OpenSegments
}

const HELD_BYTES = 32 << 20
const MAX_SYNC_DELAY_MS = 30_000

export class Syncer {
  readonly #dir: string
  readonly #fsync: SpoolConfig['fsync']
  readonly #deps: SyncerDeps
  readonly #held: UnsyncedFrames
  #durable: number
  /** Unsynced segments of an earlier process, oldest first. */
  #unsynced: readonly Segment[]
  #namesDirty: boolean
  #rewrite = false
  #syncing: Promise<Error | undefined> | undefined
  #failures = 0
  readonly #timer: Timer

  constructor(
    dir: string,
    fsync: SpoolConfig['fsync'],
    deps: SyncerDeps,
    { durable, unsynced }: Pick<Recovered, 'durable' | 'unsynced'>,
  ) {
    this.#dir = dir
    this.#fsync = fsync
    this.#deps = deps
    this.#timer = new Timer(deps.clock)
    this.#held = new UnsyncedFrames(fsync === 'never' ? 0 : HELD_BYTES)
    this.#durable = durable
    this.#unsynced = unsynced
    this.#namesDirty = unsynced.length > 0
  }

  /** Every event before this position survives a power cut. */
  get durable(): number {
    return this.#durable
  }

  /** Call after a write. */
  wrote(frames: readonly HeldFrame[]): void {
    for (const frame of frames) this.#held.add(frame)
  }

  /** Call after a segment was created. */
  named(): void {
    this.#namesDirty = true
  }

  /** Makes everything written so far durable. Returns a failure. */
  async sync(): Promise<Error | undefined> {
    // A running sync may have begun before the last write.
    await this.#syncing
    if (this.#rewrite) await this.#deps.mutex.run(() => this.repair())
    return (this.#syncing ??= this.#syncOnce().finally(() => (this.#syncing = undefined)))
  }

  async close(): Promise<void> {
    // If it fails, the second one writes its frames again.
    if ((await this.sync()) !== undefined) await this.sync()
    this.#timer.cancel()
  }

  /** Schedules the next sync. */
  schedule(): void {
    const fsync = this.#fsync
    if (fsync === 'never' || this.#timer.isSet) return
    if (this.#durable >= this.#deps.catalog.end && !this.#namesDirty) return
    if (fsync === 'batch' && this.#failures === 0) return
    const interval = fsync === 'batch' ? 200 : fsync
    this.#timer.set(backOffMs(interval, MAX_SYNC_DELAY_MS, this.#failures), () => void this.sync())
  }

  /** Writes frames of a failed sync again. */
  async repair(): Promise<Error | undefined> {
    if (!this.#rewrite) return undefined
    // Events acked meanwhile need no copy.
    this.#held.releaseBefore(this.#deps.catalog.segments[0]?.header.base ?? this.#deps.catalog.end)
    const held = [...this.#held.frames]
    const base = held[0]?.frame.seq ?? this.#deps.catalog.end
    const fresh: SegmentWriter[] = []
    const moved: HeldFrame[] = []
    for (let from = 0; from < held.length;) {
      const writer = await this.#deps.segments.create(
        held[from]?.frame.seq ?? base,
        held[from]?.frame.first ?? 0,
        undefined,
      )
      const to = writer instanceof Error ? from : this.#deps.segments.fitting(writer.segment.bytes, held, from)
      const frames = held.slice(from, to).map(({ frame }) => frame)
      const offsets = writer instanceof Error ? writer : await this.#deps.segments.put(writer, frames)
      if (offsets instanceof Error || writer instanceof Error) {
        for (const made of fresh) {
          await made.close()
          await ignoring(this.#deps.files.unlink(made.segment.path))
        }
        return offsets instanceof Error ? offsets : undefined
      }
      fresh.push(writer)
      for (const [i, frame] of frames.entries()) moved.push({ frame, segment: writer.segment, offset: offsets[i] ?? 0 })
      from = to
    }
    await this.#swap(base, held[0], fresh, moved)
    return undefined
  }

  async #syncOnce(): Promise<Error | undefined> {
    const upTo = this.#deps.catalog.end
    this.#deps.tally.syncs++
    const disturbed = await this.#deps.presence.isDisturbed()
    const absent = disturbed ? await this.#deps.mutex.run(() => this.#deps.presence.restore()) : undefined
    const doubtful = this.#rewrite ? new Error('events of a failed sync are not yet written again') : undefined
    const error = absent ?? doubtful ?? (await this.#syncAll())
    if (error === undefined) {
      this.#deps.tally.worked('sync')
      this.#failures = 0
      this.#durable = Math.max(this.#durable, upTo)
      this.#held.releaseBefore(this.#durable)
    } else {
      this.#failures++
      this.#deps.tally.failed('sync', error)
      // At once: after a kill the next process would trust pages that are not durable.
      if (this.#rewrite) await this.#deps.mutex.run(() => this.repair())
    }
    this.schedule()
    return error
  }

  async #syncAll(): Promise<Error | undefined> {
    const failed = await this.#syncRecovered()
    if (failed !== undefined) return failed
    for (const writer of this.#deps.segments.open.slice()) {
      const { sealed } = writer
      if (writer.gone) continue
      try {
        const startMs = this.#deps.clock.nowMs()
        await writer.file.sync()
        this.#deps.tally.syncSeconds.add((this.#deps.clock.nowMs() - startMs) / 1000)
      } catch (error) {
        if (writer.gone) continue
        this.#rewrite = true
        return asError(error)
      }
      if (!sealed) continue
      this.#deps.segments.open = this.#deps.segments.open.filter((one) => one !== writer)
      await writer.close()
    }
    if (!this.#namesDirty) return undefined
    this.#namesDirty = false
    try {
      await this.#deps.files.syncFolder(this.#dir)
      return undefined
    } catch (error) {
      this.#namesDirty = true
      return asError(error)
    }
  }

  /** Files that cannot be synced stay for the next time; removed files and those without events are skipped. */
  async #syncRecovered(): Promise<Error | undefined> {
    for (const segment of this.#unsynced) {
      try {
        if (this.#deps.catalog.segments.includes(segment))
          await withFile(this.#deps.files, segment.path, (file) => file.sync())
      } catch (error) {
        if (errnoOf(error) !== 'ENOENT') return asError(error)
      }
      this.#unsynced = this.#unsynced.slice(1)
    }
    return undefined
  }

  async #swap(
    base: number,
    first: HeldFrame | undefined,
    fresh: readonly SegmentWriter[],
    moved: readonly HeldFrame[],
  ): Promise<void> {
    const old = this.#deps.segments.open
    const catalog = this.#deps.catalog
    this.#deps.tally.possiblyLost += Math.max(0, base - this.#durable)
    this.#rewrite = false
    this.#deps.segments.open = [...fresh]
    this.#deps.segments.current = fresh.at(-1)
    for (const writer of fresh.slice(0, -1)) writer.sealed = true
    this.#held.replace(moved)
    const gone = catalog.segments.filter((segment) => segment.header.base >= base && base < catalog.end)
    catalog.remove(gone)
    catalog.segments.push(...fresh.map(({ segment }) => segment))
    catalog.generation++
    this.#namesDirty ||= fresh.length > 0
    if (first !== undefined && !gone.includes(first.segment)) first.segment.bytes = first.offset
    for (const writer of old) {
      if (writer.segment === first?.segment && !gone.includes(writer.segment))
        await ignoring(writer.file.truncate(first.offset))
      await writer.close()
    }
    for (const { path } of gone) await ignoring(this.#deps.files.unlink(path))
  }
}

/** A frame and where it was written. */
interface HeldFrame {
  readonly frame: Placed
  readonly segment: Segment
  readonly offset: number
}

/** Frames until they are durable, oldest first, to be written again if a sync fails. Above its limit it forgets the oldest: a slow disk must not use unlimited memory. */
class UnsyncedFrames {
  readonly #maxBytes: number
  #frames: HeldFrame[] = []
  #bytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get frames(): readonly HeldFrame[] {
    return this.#frames
  }

  add(frame: HeldFrame): void {
    if (this.#maxBytes === 0) return
    this.#frames.push(frame)
    this.#bytes += sizeOf(frame.frame)
    let gone = 0
    for (; this.#bytes > this.#maxBytes; gone++) this.#bytes -= sizeAt(this.#frames, gone)
    if (gone > 0) this.#frames.splice(0, gone)
  }

  /** Forgets frames before `seq`. */
  releaseBefore(seq: number): void {
    let gone = 0
    for (; (this.#frames[gone]?.frame.seq ?? seq) < seq; gone++) this.#bytes -= sizeAt(this.#frames, gone)
    if (gone > 0) this.#frames.splice(0, gone)
  }

  /** Replaces the frames by rewritten ones. */
  replace(frames: readonly HeldFrame[]): void {
    this.#frames = [...frames]
  }
}

function sizeAt(frames: readonly HeldFrame[], index: number): number {
  const held = frames[index]
  return held === undefined ? 0 : sizeOf(held.frame)
}
