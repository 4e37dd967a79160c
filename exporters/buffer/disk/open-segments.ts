/** The open segment files: the current one and unsynced ones. */
import { asError, errnoOf } from '../../contract/errors.ts'
import type { Random } from '../../../config/base/time/clock.ts'
import type { Segment } from './catalog.ts'
import { ignoring } from './files/file-access.ts'
import type { SpoolFile } from './files/files.ts'
import { FIRST_FRAME } from './format/format.ts'
import { SegmentWriter, sizeOf } from './format/segment.ts'
import type { Placed, SpoolFrame } from './format/segment.ts'
import type { SpoolParts } from './parts.ts'

export interface SegmentOptions {
  readonly dir: string
  readonly segmentBytes: number
  /** Maximum age of the current segment, so that age limits work in small steps. */
  readonly segmentMs: number
  readonly epoch: string
}

export interface SegmentDeps extends SpoolParts {
  readonly random: Random
  /** Restores a removed folder; returns a failure. */
  readonly restore: () => Promise<Error | undefined>
}

/** Maximum frames per write. */
export const GROUP_FRAMES = 256

export class OpenSegments {
  readonly #options: SegmentOptions
  readonly #deps: SegmentDeps
  #nextNumber: number
  /** Oldest first; the last may be the one being appended to. */
  open: SegmentWriter[] = []
  /** More may be appended to it. */
  current: SegmentWriter | undefined

  /** `nextNumber`: no segment of this number or above exists. */
  constructor(options: SegmentOptions, deps: SegmentDeps, nextNumber: number) {
    this.#options = options
    this.#deps = deps
    this.#nextNumber = nextNumber
  }

  /** Forgets a segment whose file is being removed. */
  async forget(segment: Segment): Promise<void> {
    const writer = this.open.find((one) => one.segment === segment)
    if (writer === undefined) return
    if (this.current === writer) this.current = undefined
    this.open = this.open.filter((one) => one !== writer)
    await writer.close()
  }

  /** The open file of a segment that is written, or not yet synced. */
  fileOf(segment: Segment): SpoolFile | undefined {
    return this.open.find((one) => one.segment === segment && !one.gone)?.file
  }

  segments(): readonly Segment[] {
    return this.open.filter(({ gone }) => !gone).map(({ segment }) => segment)
  }

  /** Uses another file with the same content; false if the segment has no open file. */
  async adopt(segment: Segment, file: SpoolFile): Promise<boolean> {
    const writer = this.open.find((one) => one.segment === segment && !one.gone)
    if (writer === undefined) return false
    const old = writer.file
    writer.file = file
    await ignoring(old.close())
    return true
  }

  /** The end of the items from `from` on, at least one, that fit into a segment with `used` bytes. */
  fitting(used: number, all: readonly { frame: SpoolFrame }[], from: number): number {
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

  /** The segment for the next frame: the current one unless it is full or too old. */
  async writerFor(frame: SpoolFrame | undefined): Promise<SegmentWriter | Error> {
    const current = this.current
    if (frame === undefined) return new Error('nothing to write')
    if (current !== undefined && !current.sealed) {
      const { bytes, header } = current.segment
      const age = this.#deps.clock.wallMs() - header.createdMs
      if (bytes + sizeOf(frame) <= this.#options.segmentBytes && age <= this.#options.segmentMs) return current
      current.sealed = true
    }
    this.current = undefined
    return this.create(this.#deps.catalog.end, frame.first, this.#deps.catalog.segments.at(-1))
  }

  async create(base: number, firstMark: number, previous: Segment | undefined): Promise<SegmentWriter | Error> {
    const { dir, epoch } = this.#options
    // If the name exists (such as a folder), use the next number.
    for (let tries = 0; ; tries++) {
      const header = {
        number: this.#nextNumber++,
        createdMs: Math.floor(this.#deps.clock.wallMs()),
        base,
        salt: Math.floor(this.#deps.random() * 0x1_0000_0000),
        firstMark,
        previousMark: previous?.header.epoch === epoch ? previous.lastMark : 0,
        epoch,
      }
      try {
        return await SegmentWriter.create(dir, header, this.#deps.files)
      } catch (error) {
        if (errnoOf(error) === 'EEXIST' && tries < 100) continue
        // The folder was removed.
        const again = errnoOf(error) === 'ENOENT' && tries === 0
        if (again && (await this.#deps.restore()) === undefined) continue
        return asError(error)
      }
    }
  }

  /** Like `put`; if the first write to a new file fails, deletes the file. */
  async put(writer: SegmentWriter, frames: readonly Placed[]): Promise<readonly number[] | Error> {
    const offsets = await writer.put(frames, this.#deps.clock.wallMs())
    if (offsets instanceof Error && writer.segment.bytes === 0) {
      await writer.close()
      await ignoring(this.#deps.files.unlink(writer.segment.path))
    }
    return offsets
  }

  async close(): Promise<void> {
    for (const writer of this.open) await writer.close()
    this.open = []
    this.current = undefined
  }
}
