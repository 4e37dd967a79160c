/**
 * Appends and syncs.
 *
 * - Appends that come while a write is going on are written together in the next one. Payloads are not copied.
 * - `durable` follows the syncs, not the writes.
 * - After a failed sync nothing in the unsynced files is believed (Linux marks the pages clean: the next sync of that
 *   file would succeed without them). What is still in memory is written again, at the same positions, into a new
 *   segment, whose base makes the old copies not exist; only then are those cut off. Until that has worked, nothing new
 *   is appended, for the order on disk must stay the order of positions.
 */
import type { SpoolConfig } from '../../../config/agent/schema.ts'
import { errnoOf, isNoSpace } from '../../contract/errors.ts'
import type { Clock, Random } from '../../runtime/clock.ts'
import type { Catalog, Segment } from './catalog.ts'
import type { Mutex } from '../../runtime/mutex.ts'
import { ignoring, withFile } from './files/file-access.ts'
import type { SpoolFile, SpoolFiles } from './files/files.ts'
import { FIRST_FRAME } from './format/format.ts'
import { Held } from './held.ts'
import type { HeldFrame } from './held.ts'
import type { Tally } from './losses.ts'
import type { Presence } from './presence.ts'
import type { Recovered } from './recovery.ts'
import { SegmentWriter, sizeOf } from './format/segment.ts'
import type { Placed, SpoolFrame } from './format/segment.ts'

/** Why nothing more fits: the spool's own limit, the reserve of its file system, or the file system is full. */
export type FullReason = 'max_bytes' | 'min_free' | 'no_space'

/**
 * What became of an append. Of one that did not go through, the first `frames` frames are in all the same. What is in
 * has the positions from `from` on, without gap.
 */
export type AppendResult =
  /** Up to `end` (exclusive). */
  | { readonly status: 'written'; readonly from: number; readonly end: number }
  | { readonly status: 'full'; readonly why: FullReason; readonly frames: number; readonly from: number }
  | { readonly status: 'failed'; readonly error: Error; readonly frames: number; readonly from: number }

export interface WriterOptions {
  readonly dir: string
  readonly fsync: SpoolConfig['fsync']
  readonly segmentBytes: number
  /** A segment older than this is closed, so that age limits act in small steps. */
  readonly segmentMs: number
  readonly epoch: string
}

interface Pending {
  readonly frames: readonly SpoolFrame[]
  written: number
  from: number
  readonly resolve: (result: AppendResult) => void
}

type Failure = { status: 'full'; why: FullReason } | { status: 'failed'; error: Error }

/** Written in one call: bounds the memory of a burst and how long a sync waits. */
const GROUP_BYTES = 8 << 20
const GROUP_FRAMES = 256
const HELD_BYTES = 32 << 20
const MAX_SYNC_DELAY_MS = 30_000

export class Writer {
  readonly #options: WriterOptions
  readonly #catalog: Catalog
  readonly #files: SpoolFiles
  readonly #clock: Clock
  readonly #random: Random
  readonly #tally: Tally
  readonly #mutex: Mutex
  readonly #presence: Presence
  readonly #makeRoom: (bytes: number) => Promise<FullReason | undefined>
  readonly #held: Held
  #nextNumber: number
  #durable: number
  #pending: Pending[] = []
  #running: Promise<void> | undefined
  /** Of an earlier process, oldest first. */
  #unsynced: readonly Segment[]
  /** Files with something not yet synced, oldest first; the last may be the one being appended to. */
  #writers: SegmentWriter[] = []
  #current: SegmentWriter | undefined
  #namesDirty: boolean
  #rewrite = false
  #syncing: Promise<Error | undefined> | undefined
  #failures = 0
  #cancelTimer: (() => void) | undefined

  constructor(
    options: WriterOptions,
    deps: {
      catalog: Catalog
      files: SpoolFiles
      clock: Clock
      random: Random
      tally: Tally
      mutex: Mutex
      presence: Presence
      makeRoom: (bytes: number) => Promise<FullReason | undefined>
    },
    found: Pick<Recovered, 'nextNumber' | 'durable' | 'unsynced'>,
  ) {
    this.#options = options
    this.#catalog = deps.catalog
    this.#files = deps.files
    this.#clock = deps.clock
    this.#random = deps.random
    this.#tally = deps.tally
    this.#mutex = deps.mutex
    this.#presence = deps.presence
    this.#makeRoom = deps.makeRoom
    this.#held = new Held(options.fsync === 'never' ? 0 : HELD_BYTES)
    this.#nextNumber = found.nextNumber
    this.#durable = found.durable
    this.#unsynced = found.unsynced
    this.#namesDirty = found.unsynced.length > 0
  }

  /** Every event before this position survives a power cut. */
  get durable(): number {
    return this.#durable
  }

  append(frames: readonly SpoolFrame[]): Promise<AppendResult> {
    return new Promise((resolve) => {
      this.#pending.push({ frames, written: 0, from: this.#catalog.end, resolve })
      this.#kick()
    })
  }

  /** Forgets a segment whose file is being removed. */
  async forget(segment: Segment): Promise<void> {
    const writer = this.#writers.find((one) => one.segment === segment)
    if (writer === undefined) return
    if (this.#current === writer) this.#current = undefined
    this.#writers = this.#writers.filter((one) => one !== writer)
    await writer.close()
  }

  /** The open file of a segment that is written, or not yet synced. */
  fileOf(segment: Segment): SpoolFile | undefined {
    return this.#writers.find((one) => one.segment === segment && !one.gone)?.file
  }

  openSegments(): readonly Segment[] {
    return this.#writers.filter(({ gone }) => !gone).map(({ segment }) => segment)
  }

  /** Goes on with another file of the same content; false when none of its files is of this segment. */
  async adopt(segment: Segment, file: SpoolFile): Promise<boolean> {
    const writer = this.#writers.find((one) => one.segment === segment && !one.gone)
    if (writer === undefined) return false
    const old = writer.file
    writer.file = file
    await ignoring(old.close())
    return true
  }

  /** Whether more may be appended to this segment. */
  isCurrent(segment: Segment): boolean {
    return this.#current?.segment === segment
  }

  /** Makes everything written so far durable. Returns what failed. */
  async sync(): Promise<Error | undefined> {
    // One that is going on may have begun before the last write.
    await this.#syncing
    if (this.#rewrite) await this.#mutex.run(() => this.#repair())
    return (this.#syncing ??= this.#syncOnce().finally(() => (this.#syncing = undefined)))
  }

  /** Waits for what is pending, syncs a last time and closes the files. */
  async close(): Promise<void> {
    await this.#running
    // A failed one leaves its frames to be written again, which the second does.
    if ((await this.sync()) !== undefined) await this.sync()
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    for (const writer of this.#writers) await writer.close()
    this.#writers = []
    this.#current = undefined
  }

  #kick(): void {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined
      if (this.#pending.length > 0) this.#kick()
    })
  }

  async #run(): Promise<void> {
    while (this.#pending.length > 0) {
      await this.#mutex.run(() => this.#writeGroup())
      if (this.#options.fsync === 'batch') await this.sync()
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
    if (failure === undefined) this.#tally.failures.worked('write')
    else if (failure.status === 'failed') this.#tally.failures.failed('write', failure.error)
    for (const pending of group) {
      const { frames, written, from, resolve } = pending
      if (failure === undefined || written === frames.length) {
        resolve({ status: 'written', from, end: from + frames.reduce((sum, { count }) => sum + count, 0) })
      } else resolve({ ...failure, frames: written, from })
    }
    this.#scheduleSync()
  }

  async #writeAll(group: readonly Pending[]): Promise<Failure | undefined> {
    const error = (this.#presence.failed && (await this.#presence.restore())) ?? (await this.#repair())
    if (error !== undefined) return failureOf(error)
    const all = group.flatMap((pending) => pending.frames.map((frame) => ({ pending, frame })))
    for (let from = 0; from < all.length;) {
      const most = this.#fitting(FIRST_FRAME, all, from)
      const bytes = all.slice(from, most).reduce((sum, { frame }) => sum + sizeOf(frame), FIRST_FRAME)
      const why = await this.#makeRoom(bytes)
      if (why !== undefined) return { status: 'full', why }
      const writer = await this.#writerFor(all[from]?.frame)
      if (writer instanceof Error) return failureOf(writer)
      const to = this.#fitting(writer.segment.bytes, all, from)
      let seq = this.#catalog.end
      const placed = all.slice(from, to).map(({ frame }) => {
        const one = { ...frame, seq }
        seq += frame.count
        return one
      })
      const offsets = await this.#put(writer, placed)
      if (offsets instanceof Error) return failureOf(offsets)
      this.#accept(writer, placed, offsets)
      for (const [i, { pending }] of all.slice(from, to).entries()) {
        if (pending.written++ === 0) pending.from = placed[i]?.seq ?? 0
      }
      from = to
    }
    return undefined
  }

  /** Up to which item those from `from` on, at least one, go into a segment that has `used` bytes. */
  #fitting(used: number, all: readonly { frame: SpoolFrame }[], from: number): number {
    let room = this.#options.segmentBytes - Math.max(used, FIRST_FRAME)
    let to = from
    for (; to < all.length && to - from < GROUP_FRAMES; to++) {
      const item = all[to]
      if (item === undefined) break
      room -= sizeOf(item.frame)
      if (room < 0 && to > from) break
    }
    return to
  }

  /** The segment for the next frame: the current one while it has room and is young. */
  async #writerFor(frame: SpoolFrame | undefined): Promise<SegmentWriter | Error> {
    const current = this.#current
    if (frame === undefined) return new Error('nothing to write')
    if (current !== undefined && !current.sealed) {
      const { bytes, header } = current.segment
      const age = this.#clock.wallMs() - header.createdMs
      if (bytes + sizeOf(frame) <= this.#options.segmentBytes && age <= this.#options.segmentMs) return current
      current.sealed = true
    }
    this.#current = undefined
    return this.#create(this.#catalog.end, frame.first, this.#catalog.segments.at(-1))
  }

  async #create(base: number, firstMark: number, previous: Segment | undefined): Promise<SegmentWriter | Error> {
    const { dir, epoch } = this.#options
    // A number may be taken by a file that is no segment of ours (a folder, say): go on to the next.
    for (let tries = 0; ; tries++) {
      const header = {
        number: this.#nextNumber++,
        createdMs: Math.floor(this.#clock.wallMs()),
        base,
        salt: Math.floor(this.#random() * 0x1_0000_0000),
        firstMark,
        previousMark: previous?.header.epoch === epoch ? previous.lastMark : 0,
        epoch,
      }
      try {
        return await SegmentWriter.create(dir, header, this.#files)
      } catch (error) {
        if (errnoOf(error) === 'EEXIST' && tries < 100) continue
        // The folder is gone.
        const again = errnoOf(error) === 'ENOENT' && tries === 0
        if (again && (await this.#presence.restore()) === undefined) continue
        return asError(error)
      }
    }
  }

  /** `put`, and when it was the first into a new file, that file goes again. */
  async #put(writer: SegmentWriter, frames: readonly Placed[]): Promise<readonly number[] | Error> {
    const offsets = await writer.put(frames, this.#clock.wallMs())
    if (offsets instanceof Error && writer.segment.bytes === 0) {
      await writer.close()
      await ignoring(this.#files.unlink(writer.segment.path))
    }
    return offsets
  }

  #accept(writer: SegmentWriter, frames: readonly Placed[], offsets: readonly number[]): void {
    if (this.#current !== writer) {
      this.#current = writer
      this.#catalog.segments.push(writer.segment)
      this.#namesDirty = true
    }
    if (!this.#writers.includes(writer)) this.#writers.push(writer)
    for (const [i, frame] of frames.entries()) {
      this.#held.add({ frame, segment: writer.segment, offset: offsets[i] ?? 0 })
      this.#catalog.end += frame.count
      this.#tally.appended += frame.count
    }
  }

  #scheduleSync(): void {
    const { fsync } = this.#options
    if (fsync === 'never' || this.#cancelTimer !== undefined) return
    if (this.#durable >= this.#catalog.end && !this.#namesDirty) return
    if (fsync === 'batch' && this.#failures === 0) return
    const interval = fsync === 'batch' ? 200 : fsync
    this.#cancelTimer = this.#clock.after(Math.min(interval * 2 ** this.#failures, MAX_SYNC_DELAY_MS), () => {
      this.#cancelTimer = undefined
      void this.sync()
    })
  }

  async #syncOnce(): Promise<Error | undefined> {
    const upTo = this.#catalog.end
    this.#tally.syncs++
    const disturbed = await this.#presence.isDisturbed()
    const absent = disturbed ? await this.#mutex.run(() => this.#presence.restore()) : undefined
    const doubtful = this.#rewrite ? new Error('what a failed sync left behind is not yet written again') : undefined
    const error = absent ?? doubtful ?? (await this.#syncAll())
    if (error === undefined) {
      this.#tally.failures.worked('sync')
      this.#failures = 0
      this.#durable = Math.max(this.#durable, upTo)
      this.#held.releaseBefore(this.#durable)
    } else {
      this.#failures++
      this.#tally.failures.failed('sync', error)
      // At once: a process that is killed now leaves pages that look safe to the next one and are not.
      if (this.#rewrite) await this.#mutex.run(() => this.#repair())
    }
    this.#scheduleSync()
    return error
  }

  async #syncAll(): Promise<Error | undefined> {
    const failed = await this.#syncRecovered()
    if (failed !== undefined) return failed
    for (const writer of this.#writers.slice()) {
      const { sealed } = writer
      if (writer.gone) continue
      try {
        const startMs = this.#clock.nowMs()
        await writer.file.sync()
        this.#tally.syncSeconds.add((this.#clock.nowMs() - startMs) / 1000)
      } catch (error) {
        if (writer.gone) continue
        this.#rewrite = true
        return asError(error)
      }
      if (!sealed) continue
      this.#writers = this.#writers.filter((one) => one !== writer)
      await writer.close()
    }
    if (!this.#namesDirty) return undefined
    this.#namesDirty = false
    try {
      await this.#files.syncFolder(this.#options.dir)
      return undefined
    } catch (error) {
      this.#namesDirty = true
      return asError(error)
    }
  }

  /** What it can not sync stays for the next time; only files that are gone, or whose events are, are passed over. */
  async #syncRecovered(): Promise<Error | undefined> {
    for (const segment of this.#unsynced) {
      try {
        if (this.#catalog.segments.includes(segment)) await withFile(this.#files, segment.path, (file) => file.sync())
      } catch (error) {
        if (errnoOf(error) !== 'ENOENT') return asError(error)
      }
      this.#unsynced = this.#unsynced.slice(1)
    }
    return undefined
  }

  /** Writes again what a failed sync put in doubt. */
  async #repair(): Promise<Error | undefined> {
    if (!this.#rewrite) return undefined
    // What is acked and gone meanwhile needs no copy.
    this.#held.releaseBefore(this.#catalog.segments[0]?.header.base ?? this.#catalog.end)
    const held = [...this.#held.frames]
    const base = held[0]?.frame.seq ?? this.#catalog.end
    const fresh: SegmentWriter[] = []
    const moved: HeldFrame[] = []
    for (let from = 0; from < held.length;) {
      const writer = await this.#create(held[from]?.frame.seq ?? base, held[from]?.frame.first ?? 0, undefined)
      const to = writer instanceof Error ? from : this.#fitting(writer.segment.bytes, held, from)
      const frames = held.slice(from, to).map(({ frame }) => frame)
      const offsets = writer instanceof Error ? writer : await this.#put(writer, frames)
      if (offsets instanceof Error || writer instanceof Error) {
        for (const made of fresh) {
          await made.close()
          await ignoring(this.#files.unlink(made.segment.path))
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

  async #swap(
    base: number,
    first: HeldFrame | undefined,
    fresh: readonly SegmentWriter[],
    moved: readonly HeldFrame[],
  ): Promise<void> {
    const old = this.#writers
    const catalog = this.#catalog
    this.#tally.possiblyLost += Math.max(0, base - this.#durable)
    this.#rewrite = false
    this.#writers = [...fresh]
    this.#current = fresh.at(-1)
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
    for (const { path } of gone) await ignoring(this.#files.unlink(path))
  }
}

function failureOf(error: Error): Failure {
  if (isNoSpace(error)) return { status: 'full', why: 'no_space' }
  return { status: 'failed', error }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
