/** Stores the position up to which all events are settled. */
import { asError, isNoSpace } from '../../contract/errors.ts'
import { Timer } from '../../../config/base/time/timer.ts'
import { ignoring, writeFully } from './files/file-access.ts'
import { encodeCursor } from './format/format.ts'
import type { Cursor } from './format/format.ts'
import type { SpoolParts } from './parts.ts'

/** Minimum time between stores, so that an ack does not need a sync. After a crash events acked in between are repeated. */
const STORE_EVERY_MS = 200

export interface CursorDeps extends SpoolParts {
  /** Position up to which events are durable. */
  readonly safe: () => number
  /** Called after each store: events before `seq` may be deleted. */
  readonly stored: (seq: number, error: Error | undefined) => Promise<void>
}

export class CursorKeeper {
  readonly #dir: string
  readonly #deps: CursorDeps
  #cursor: Cursor
  /** Everything before this position is settled and will not be read again after a crash. */
  #durable: number
  #storing: Promise<Error | undefined> | undefined
  readonly #timer: Timer
  #closed = false

  constructor(dir: string, deps: CursorDeps, cursor: Cursor) {
    this.#dir = dir
    this.#deps = deps
    this.#timer = new Timer(deps.clock)
    this.#cursor = cursor
    this.#durable = cursor.seq
  }

  get seq(): number {
    return this.#cursor.seq
  }

  /** Advances the cursor and schedules a store. */
  move(cursor: Cursor): void {
    this.#cursor = cursor
    if (!this.#closed && !this.#timer.isSet) this.#timer.set(STORE_EVERY_MS, () => void this.store())
  }

  /** Stores the cursor now; without `always` only if it has changed. Returns a failure, which is retried automatically. */
  async store(always = false): Promise<Error | undefined> {
    await this.#storing
    if (this.#cursor.seq === this.#durable && !always) return undefined
    return (this.#storing ??= this.#store().finally(() => (this.#storing = undefined)))
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#timer.cancel()
    // Even if it has not moved, to store the durable end.
    await this.store(true)
  }

  async #store(): Promise<Error | undefined> {
    const cursor = this.#cursor
    let failed: Error | undefined
    try {
      await this.#write(encodeCursor({ ...cursor, durable: this.#deps.safe() }))
      this.#durable = cursor.seq
    } catch (error) {
      failed = asError(error)
      // Retry even if nothing more is acked.
      this.move(this.#cursor)
    }
    await this.#deps.stored(this.#durable, failed)
    return failed
  }

  async #write(bytes: Buffer): Promise<void> {
    const path = `${this.#dir}/cursor`
    try {
      await this.#fill(`${path}.tmp`, 'replace', bytes)
    } catch (error) {
      if (!isNoSpace(error)) throw error
      // On a full disk, write over the old cursor, so that settled segments can be deleted. If a power cut tears it, it counts as
      // damaged and everything is sent again.
      await ignoring(this.#deps.files.unlink(`${path}.tmp`))
      return await this.#fill(path, 'write', bytes)
    }
    await this.#deps.files.rename(`${path}.tmp`, path)
    await this.#deps.files.syncFolder(this.#dir)
  }

  async #fill(path: string, how: 'replace' | 'write', bytes: Buffer): Promise<void> {
    const file = await this.#deps.files.open(path, how)
    try {
      await writeFully(file, [bytes], 0)
      await file.sync()
    } finally {
      await file.close()
    }
  }
}
