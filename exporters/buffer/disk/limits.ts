/** How much the spool may take and how long it keeps. At a limit the oldest segment goes, or nothing more is let in. */
import type { SpoolConfig } from '../../../config/agent/schema.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Catalog } from './catalog.ts'
import type { SpoolFiles } from './files/files.ts'
import type { LossReason } from './losses.ts'
import type { FullReason } from './writer.ts'

export interface LimitConfig extends Pick<SpoolConfig, 'max_size' | 'max_age' | 'min_free'> {
  readonly dir: string
}

/** Others use the disk too, yet asking it before each write would cost more than the write. */
const FREE_EVERY_MS = 1000

export class Limits {
  readonly #config: LimitConfig
  readonly #catalog: Catalog
  readonly #files: SpoolFiles
  readonly #clock: Clock
  readonly #dropOldest: (reason: LossReason) => Promise<boolean>
  #free = Infinity
  #askedMs = -Infinity

  /**
   * `dropOldest` takes away the first segment of the catalog and counts what was still to be read in it; false when the
   * disk is in no state for that.
   */
  constructor(
    config: LimitConfig,
    deps: { catalog: Catalog; files: SpoolFiles; clock: Clock; dropOldest: (reason: LossReason) => Promise<boolean> },
  ) {
    this.#config = config
    this.#catalog = deps.catalog
    this.#files = deps.files
    this.#clock = deps.clock
    this.#dropOldest = deps.dropOldest
  }

  /** Drops what is too old, then as much as `bytes` more need. Returns why they do not fit even so. */
  async makeRoom(bytes: number): Promise<FullReason | undefined> {
    await this.expire()
    const { max_size, min_free } = this.#config
    if (bytes > max_size) return 'max_bytes'
    while (this.#catalog.bytes + bytes > max_size) if (!(await this.#dropOldest('spool_full'))) return 'max_bytes'
    await this.#askFree()
    // Old events are given up only when that brings the disk back above its reserve, not because others have filled it.
    const missing = min_free + bytes - this.#free
    if (missing > this.#catalog.bytes) return 'min_free'
    const goal = this.#catalog.bytes - Math.max(0, missing)
    while (this.#catalog.bytes > goal) {
      const before = this.#catalog.bytes
      if (!(await this.#dropOldest('spool_full'))) return 'min_free'
      this.#free += before - this.#catalog.bytes
    }
    this.#free -= bytes
    return undefined
  }

  /** Drops the segments whose newest event is older than the limit. */
  async expire(): Promise<void> {
    const { max_age } = this.#config
    if (max_age === undefined) return
    const oldest = this.#clock.wallMs() - max_age
    for (;;) {
      const [first, second] = this.#catalog.segments
      // The next one's creation bounds it too, for a file's time changes when somebody copies it.
      if (first === undefined || Math.min(first.writtenMs, second?.header.createdMs ?? Infinity) >= oldest) return
      if (!(await this.#dropOldest('expired'))) return
    }
  }

  async #askFree(): Promise<void> {
    const now = this.#clock.nowMs()
    if (this.#config.min_free === 0 || now - this.#askedMs < FREE_EVERY_MS) return
    this.#askedMs = now
    try {
      this.#free = await this.#files.free(this.#config.dir)
    } catch {
      // Not known: the write itself will say whether there is room.
      this.#free = Infinity
    }
  }
}
