/**
 * A queue on disk for one exporter: bounded, first in first out, every event is acked or counted.
 *
 * ```
 *  append ─▶ writer ─▶ 00000001.seg … 0000000N.seg ─▶ reader ─▶ next … ack ─▶ cursor
 *                 limits drop the oldest ─┘                                      └─▶ segments before it are deleted
 * ```
 *
 * - Events below `durable` survive a crash of the process, the kernel or the power.
 * - The order never changes. Damage never prevents a start.
 * - After a crash, events acked in the last 200 ms may be repeated.
 * - Always: recovered + appended = acked + lost (all reasons) + events.
 */
import type { SpoolStats } from '../../contract/accounting.ts'
import type { SpoolConfig } from '../../../config/agent/schema.ts'
import type { Compress } from '../../runtime/compression.ts'
import { errnoOf, ExportError, textOf } from '../../contract/errors.ts'
import type { Clock, Random } from '../../../config/base/time/clock.ts'
import { Catalog } from './catalog.ts'
import { CursorKeeper } from './cursor.ts'
import { Mutex } from '../../../config/base/mutex.ts'
import { ignoring, isAccess } from './files/file-access.ts'
import type { SpoolFiles } from './files/files.ts'
import { holderText } from './files/lock.ts'
import type { Lock } from './files/lock.ts'
import { Limits } from './limits.ts'
import { pack } from './format/packing.ts'
import { OpenSegments } from './open-segments.ts'
import { Presence } from './presence.ts'
import type { Vanished } from './presence.ts'
import { Reader } from './reader.ts'
import type { ReadResult, Token } from './reader.ts'
import { recover } from './recovery.ts'
import type { Recovered, RecoveryReport } from './recovery.ts'
import type { SpoolParts } from './parts.ts'
import type { SpoolFrame } from './format/segment.ts'
import { Syncer } from './syncer.ts'
import { marksOf, Tally } from './tally.ts'
import type { Loss, LossReason, ReportFailure } from './tally.ts'
import { Writer } from './writer.ts'
import type { AppendResult } from './writer.ts'

/** `dir`: the exporter's own folder, created if missing. `epoch`: the agent run of the appender's numbers; up to 32 bytes. */
export interface SpoolOptions extends Pick<
  SpoolConfig,
  'fsync' | 'max_size' | 'max_age' | 'min_free' | 'segment_size'
> {
  readonly dir: string
  readonly epoch?: string
}

export interface SpoolDeps {
  readonly files: SpoolFiles
  readonly clock: Clock
  readonly random: Random
  /** Compresses appended payloads; absent: no compression. */
  readonly zstd?: Compress | undefined
  /** Called for every loss: at once for dropped events, for damage when the reader reaches it. */
  readonly onLoss?: (loss: Loss) => void
  readonly onFailure?: ReportFailure
  /** Called once when the folder, or files in it, were removed, moved or replaced. */
  readonly onVanished?: (vanished: Vanished) => void
}

const MAX_SEGMENT_MS = 3_600_000

const RIGHTS = 'let the user of the agent read and write the folder and its files'
const DESCRIPTORS = 'raise the limit of open files (ulimit -n, or LimitNOFILE= of the service)'
const NEXT_STEPS: Readonly<Record<string, string>> = {
  EACCES: RIGHTS,
  EPERM: RIGHTS,
  EMFILE: DESCRIPTORS,
  ENFILE: DESCRIPTORS,
  ENOMEM: 'free some memory',
  EROFS: 'mount its file system writable',
}

/**
 * Opens a spool and repairs it after a crash. Throws ExportError if it is used by another process, was written by another version,
 * or is not readable and writable; its events are then unchanged. Never throws for damage.
 */
export async function openSpool(options: SpoolOptions, deps: SpoolDeps): Promise<Spool> {
  const { dir } = options
  const { files } = deps
  const lock = await files
    .mkdir(dir)
    .then(() => files.lock(dir))
    .catch((error: unknown) => {
      throw new ExportError(
        'UNUSABLE',
        `cannot use "${dir}" as a spool: ${textOf(error)}; make it a folder that the agent can write`,
        error,
      )
    })
  if ('heldBy' in lock) {
    throw new ExportError(
      'UNUSABLE',
      `cannot open the spool "${dir}": ${holderText(lock)} is using it; stop that one or give this exporter another folder`,
    )
  }
  try {
    const found = await recover(dir, files, deps.clock.wallMs())
    const { id } = await files.stat(dir)
    const spool = new Spool(options, deps, { lock, id }, found)
    // Store a cursor at once, so that a missing first segment is detected. It also tests write access: without it each start would
    // send the same events again.
    const failed = await spool.storeCursor()
    if (!isAccess(failed)) return spool
    await spool.close()
    throw failed
  } catch (error) {
    await ignoring(lock.release())
    if (error instanceof ExportError) throw error
    throw new ExportError(
      'UNUSABLE',
      `cannot use the spool "${dir}": ${textOf(error)}; no event in it is lost: ${NEXT_STEPS[errnoOf(error)] ?? 'check the file system'}`,
      error,
    )
  }
}

/** Made by `openSpool`. */
export class Spool implements AsyncDisposable {
  /** The repairs of the start. */
  readonly recovery: RecoveryReport
  readonly #parts: SpoolParts
  readonly #presence: Presence
  readonly #reader: Reader
  readonly #segments: OpenSegments
  readonly #syncer: Syncer
  readonly #writer: Writer
  readonly #cursor: CursorKeeper
  readonly #limits: Limits
  readonly #recovered: number
  readonly #zstd: Compress | undefined
  /** Keeps the order of appends while payloads are compressed. */
  readonly #packing = new Mutex()
  /** Position after the last dropped segment. */
  #dropped = 0
  #closed: Promise<void> | undefined

  constructor(options: SpoolOptions, deps: SpoolDeps, folder: { lock: Lock; id: string }, found: Recovered) {
    const { files, clock, random } = deps
    const { dir, max_size, max_age, segment_size, fsync, epoch = '' } = options
    this.recovery = found.report
    this.#zstd = deps.zstd
    const catalog = new Catalog(found.segments, found.end)
    const tally = new Tally(deps.onLoss, deps.onFailure)
    const parts = { files, clock, catalog, tally, mutex: new Mutex() }
    this.#parts = parts
    this.#recovered = found.end - found.cursor.seq
    tally.possiblyLost = Math.max(0, found.end - Math.max(found.durable, found.cursor.seq))
    this.#cursor = new CursorKeeper(
      dir,
      {
        ...parts,
        safe: () => Math.max(this.#syncer.durable, this.#dropped),
        stored: (seq, error) => this.#removeSpent(seq, error),
      },
      found.cursor,
    )
    this.#reader = new Reader({ ...parts, settled: (cursor) => this.#cursor.move(cursor) }, found.cursor)
    // Whole segments are dropped.
    const segmentBytes = Math.max(1, Math.min(segment_size, Math.floor(max_size / 4)))
    const segmentMs = Math.min(MAX_SEGMENT_MS, max_age === undefined ? Infinity : max_age / 8)
    const segments = new OpenSegments(
      { dir, segmentBytes, segmentMs, epoch },
      { ...parts, random, restore: () => presence.restore() },
      found.nextNumber,
    )
    const presence = new Presence(dir, folder.id, folder.lock, {
      ...parts,
      reader: this.#reader,
      segments,
      onVanished: (vanished) => {
        deps.onVanished?.(vanished)
        // The new folder has no cursor.
        void this.#cursor.store(true)
      },
    })
    const dropOldest = (reason: LossReason): Promise<boolean> => this.#dropOldest(reason)
    this.#limits = new Limits(dir, options, { ...parts, dropOldest })
    const makeRoom = this.#limits.makeRoom.bind(this.#limits)
    this.#syncer = new Syncer(dir, fsync, { ...parts, presence, segments }, found)
    this.#writer = new Writer({ ...parts, fsync, presence, segments, syncer: this.#syncer, makeRoom })
    this.#segments = segments
    this.#presence = presence
  }

  /** If true, the bytes of frames are not read after `append`; else they must not change until they are durable. */
  get releases(): boolean {
    return this.#zstd !== undefined
  }

  /**
   * Appends in order; resolves when written, but not yet durable (see `durable`). Never rejects: a full or failing disk is a result.
   */
  append(frames: readonly SpoolFrame[]): Promise<AppendResult> {
    const zstd = this.#zstd
    if (this.#closed === undefined) {
      if (zstd === undefined) return this.#writer.append(frames)
      const packed = Promise.all(frames.map((frame) => pack(frame, zstd)))
      return this.#packing.run(async () => this.#writer.append(await packed))
    }
    return Promise.resolve({
      status: 'failed',
      error: new ExportError('CLOSED', 'the spool is closed'),
      frames: 0,
      from: 0,
    })
  }

  /** The next frames, at least one, within `maxBytes` of payload and `maxEvents` unless the first alone exceeds them. */
  async next(maxBytes: number, maxEvents: number = Infinity): Promise<ReadResult> {
    if (this.#closed !== undefined) return { status: 'empty' }
    if (this.#limits.ages) await this.#parts.mutex.run(() => this.#limits.expire())
    return this.#reader.next({ bytes: maxBytes, events: maxEvents })
  }

  /** Uses new limits from the next write or read on. The size of its files stays. */
  configure(limits: Pick<SpoolConfig, 'max_size' | 'max_age' | 'min_free'>): void {
    this.#limits.configure(limits)
  }

  /** Marks just appended events as read, because the caller still has them; undefined if they are not the next to read. */
  claim(from: number, to: number): Token | undefined {
    return this.#reader.claim(from, to)
  }

  /** Settles the events of a token: they will not be read again. */
  ack(token: Token): void {
    this.#reader.ack(token)
  }

  /** Makes all appended events durable, regardless of `fsync`. Returns a failure, which is retried later. */
  sync(): Promise<Error | undefined> {
    return this.#syncer.sync()
  }

  /** Stores the cursor now. Returns a failure, which is retried automatically. */
  storeCursor(): Promise<Error | undefined> {
    return this.#cursor.store(true)
  }

  stats(): SpoolStats {
    const { catalog, tally } = this.#parts
    const { outEvents } = this.#reader
    const events = this.#reader.unread + outEvents
    const lost = tally.lost.corrupt + tally.lost.expired + tally.lost.spool_full
    return {
      ...tally.read(),
      events,
      outEvents,
      bytes: catalog.bytes,
      segments: catalog.segments.length,
      durable: this.#syncer.durable,
      settled: this.#cursor.seq,
      end: catalog.end,
      oldestMs: catalog.segments[0]?.header.createdMs,
      recovered: this.#recovered,
      tornBytes: this.recovery.tornBytes,
      quarantinedFiles: this.recovery.quarantined.length,
      imbalance: this.#recovered + tally.appended - tally.acked - lost - events,
    }
  }

  /** Writes pending events, syncs, stores the cursor and releases the folder. A second call does nothing. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    await this.#packing.run(() => Promise.resolve())
    await this.#writer.idle()
    await this.#syncer.close()
    await this.#segments.close()
    await this.#cursor.close()
    await this.#reader.close()
    await ignoring(this.#presence.release())
  }

  /** Runs under the mutex of the parts. */
  async #dropOldest(reason: LossReason): Promise<boolean> {
    const { catalog, files, tally } = this.#parts
    const [segment] = catalog.segments
    if (segment === undefined) return false
    this.#dropped = catalog.limit(0)
    // Events that the caller still has would be lost with this process: the next start must know that they existed.
    if (this.#reader.outEvents > 0 && (await this.#cursor.store(true)) !== undefined) return false
    const { base } = segment.header
    // A stored cursor may have removed it meanwhile. No await from here until it is out of the catalog: a running read would return
    // its frames uncounted.
    if (catalog.segments[0] !== segment) return true
    const to = catalog.limit(0)
    // Missing events before it count as corrupt, not as dropped.
    this.#reader.pass(base)
    const from = Math.max(base, this.#reader.seq)
    const marks = marksOf(segment, catalog.segments[1])
    const events = this.#reader.uncounted(from, to)
    catalog.remove([segment])
    this.#reader.skip(to)
    tally.lose({ reason, events, from, to, marks })
    await this.#segments.forget(segment)
    // Else the next start counts dropped events as missing. Goes on if it fails, because space is needed.
    await this.#cursor.store()
    await ignoring(files.unlink(segment.path))
    return true
  }

  async #removeSpent(seq: number, error: Error | undefined): Promise<void> {
    const { catalog, files, mutex, tally } = this.#parts
    if (error === undefined) tally.worked('cursor')
    else tally.failed('cursor', error)
    if (errnoOf(error) === 'ENOENT') void mutex.run(() => this.#presence.restore())
    const current = this.#segments.current?.segment
    const spent = catalog.segments.filter((segment, i) => catalog.limit(i) <= seq && segment !== current)
    catalog.remove(spent)
    for (const segment of spent) {
      await this.#segments.forget(segment)
      await ignoring(files.unlink(segment.path))
    }
  }
}
