/** How much the spool may take and how long it keeps. At a limit the oldest segment goes, or nothing more is let in. */
import type { SpoolConfig } from '../../../config/agent/schema.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Catalog } from './catalog.ts'
import type { SpoolFiles } from './files/files.ts'
import type { LossReason } from './tally.ts'
import type { FullReason } from './writer.ts'

export interface LimitConfig extends Pick<SpoolConfig, 'max_size' | 'max_age' | 'min_free'> {
  readonly dir: string
}

export interface LimitDeps {
  readonly catalog: Catalog
  readonly files: SpoolFiles
  readonly clock: Clock
  /** Takes away the first segment and counts what was still to be read in it; false when the disk is in no state for that. */
  readonly dropOldest: (reason: LossReason) => Promise<boolean>
}

/** Others use the disk too, yet asking it before each write would cost more than the write. */
const FREE_EVERY_MS = 1000

export class Limits {
  readonly #config: LimitConfig
  readonly #deps: LimitDeps
  #free = Infinity
  #askedMs = -Infinity

  constructor(config: LimitConfig, deps: LimitDeps) {
    this.#config = config
    this.#deps = deps
  }

  /** Drops what is too old, then as much as `bytes` more need. Returns why they do not fit even so. */
  async makeRoom(bytes: number): Promise<FullReason | undefined> {
    await this.expire()
    const { max_size, min_free } = this.#config
    if (bytes > max_size) return 'max_bytes'
    while (this.#deps.catalog.bytes + bytes > max_size)
      if (!(await this.#deps.dropOldest('spool_full'))) return 'max_bytes'
    await this.#askFree()
    // Old events are given up only when that brings the disk back above its reserve, not because others have filled it.
    const missing = min_free + bytes - this.#free
    if (missing > this.#deps.catalog.bytes) return 'min_free'
    const goal = this.#deps.catalog.bytes - Math.max(0, missing)
    while (this.#deps.catalog.bytes > goal) {
      const before = this.#deps.catalog.bytes
      if (!(await this.#deps.dropOldest('spool_full'))) return 'min_free'
      this.#free += before - this.#deps.catalog.bytes
    }
    this.#free -= bytes
    return undefined
  }

  /** Drops the segments whose newest event is older than the limit. */
  async expire(): Promise<void> {
    const { max_age } = this.#config
    if (max_age === undefined) return
    const oldest = this.#deps.clock.wallMs() - max_age
    for (;;) {
      const [first, second] = this.#deps.catalog.segments
      // The next one's creation bounds it too, for a file's time changes when somebody copies it.
      if (first === undefined || Math.min(first.writtenMs, second?.header.createdMs ?? Infinity) >= oldest) return
      if (!(await this.#deps.dropOldest('expired'))) return
    }
  }

  async #askFree(): Promise<void> {
    const now = this.#deps.clock.nowMs()
    if (this.#config.min_free === 0 || now - this.#askedMs < FREE_EVERY_MS) return
    this.#askedMs = now
    try {
      this.#free = await this.#deps.files.free(this.#config.dir)
    } catch {
      // Not known: the write itself will say whether there is room.
      this.#free = Infinity
    }
  }
}
