/** The durable record of how far the sink has taken everything. */
import { isNoSpace } from '../../contract/errors.ts'
import type { Clock } from '../../runtime/clock.ts'
import { ignoring } from './files/file-access.ts'
import type { SpoolFiles } from './files/files.ts'
import { encodeCursor } from './format/format.ts'
import type { Cursor } from './format/format.ts'

/** Stores are at least this far apart: an ack must not cost a sync. A crash repeats at most what was acked in between. */
const STORE_EVERY_MS = 200

export interface CursorDeps {
  readonly files: SpoolFiles
  readonly clock: Clock
  /** How much is durable. */
  readonly safe: () => number
  /** Called after each store: what lies before `seq` may go. */
  readonly stored: (seq: number, error: Error | undefined) => Promise<void>
}

export class CursorKeeper {
  readonly #dir: string
  readonly #deps: CursorDeps
  #cursor: Cursor
  #durable: number
  #storing: Promise<Error | undefined> | undefined
  #cancelTimer: (() => void) | undefined
  #closed = false

  constructor(dir: string, deps: CursorDeps, cursor: Cursor) {
    this.#dir = dir
    this.#deps = deps
    this.#cursor = cursor
    this.#durable = cursor.seq
  }

  /** Everything before this position is settled and will not be read again after a crash. */
  get durable(): number {
    return this.#durable
  }

  get seq(): number {
    return this.#cursor.seq
  }

  /** Moves on, and sees to it that this becomes durable soon. */
  move(cursor: Cursor): void {
    this.#cursor = cursor
    if (this.#closed || this.#cancelTimer !== undefined) return
    this.#cancelTimer = this.#deps.clock.after(STORE_EVERY_MS, () => {
      this.#cancelTimer = undefined
      void this.store()
    })
  }

  /** Makes the cursor durable now; without `always`, unless it is. Returns what failed; tried again by itself. */
  async store(always = false): Promise<Error | undefined> {
    await this.#storing
    if (this.#cursor.seq === this.#durable && !always) return undefined
    return (this.#storing ??= this.#store().finally(() => (this.#storing = undefined)))
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#cancelTimer?.()
    // Also when it has not moved: for the durable end.
    await this.store(true)
  }

  async #store(): Promise<Error | undefined> {
    const cursor = this.#cursor
    let failed: Error | undefined
    try {
      await this.#write(encodeCursor({ ...cursor, durable: this.#deps.safe() }))
      this.#durable = cursor.seq
    } catch (error) {
      failed = error instanceof Error ? error : new Error(String(error))
      // Tried again by and by: what is acked later must not be the only occasion.
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
      // A spool that has filled its disk would keep what is spent, and with it the disk full, for ever. The old cursor has
      // its block: torn by a power cut it counts as damaged, and everything is sent again.
      await ignoring(this.#deps.files.unlink(`${path}.tmp`))
      return await this.#fill(path, 'write', bytes)
    }
    await this.#deps.files.rename(`${path}.tmp`, path)
    await this.#deps.files.syncFolder(this.#dir)
  }

  async #fill(path: string, how: 'replace' | 'write', bytes: Buffer): Promise<void> {
    const file = await this.#deps.files.open(path, how)
    try {
      for (let at = 0; at < bytes.length;) {
        const written = await file.write([bytes.subarray(at)], at)
        if (written === 0) throw new Error('a write of several bytes wrote none')
        at += written
      }
      await file.sync()
    } finally {
      await file.close()
    }
  }
}
