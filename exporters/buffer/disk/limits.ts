/** Limits of size and age. At a limit the oldest segment is dropped, or new events are refused. */
import type { SpoolConfig } from '../../../config/agent/schema.ts'
import type { SpoolParts } from './parts.ts'
import type { LossReason } from './tally.ts'
import type { FullReason } from './writer.ts'

export type LimitConfig = Pick<SpoolConfig, 'max_size' | 'max_age' | 'min_free'>

export interface LimitDeps extends SpoolParts {
  /** Removes the first segment and counts its unread events; false if the disk fails. */
  readonly dropOldest: (reason: LossReason) => Promise<boolean>
}

/** Interval of checks of the free disk space: a check before each write would cost more than the write. */
const FREE_EVERY_MS = 1000

export class Limits {
  readonly #dir: string
  #config: LimitConfig
  readonly #deps: LimitDeps
  #free = Infinity
  #askedMs = -Infinity

  constructor(dir: string, config: LimitConfig, deps: LimitDeps) {
    this.#dir = dir
    this.#config = config
    this.#deps = deps
  }

  configure(config: LimitConfig): void {
    this.#config = config
    this.#free = Infinity
    this.#askedMs = -Infinity
  }

  /** Old events expire. */
  get ages(): boolean {
    return this.#config.max_age !== undefined
  }

  /** Drops segments that are too old, then as many as `bytes` more need. Returns why they still do not fit. */
  async makeRoom(bytes: number): Promise<FullReason | undefined> {
    await this.expire()
    const { max_size, min_free } = this.#config
    if (bytes > max_size) return 'max_bytes'
    while (this.#deps.catalog.bytes + bytes > max_size)
      if (!(await this.#deps.dropOldest('spool_full'))) return 'max_bytes'
    await this.#askFree()
    // Only drop old events if that restores the disk's reserve; other programs may have filled the disk.
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
      // A copy has a newer time: the next segment's creation limits it.
      if (first === undefined || Math.min(first.writtenMs, second?.header.createdMs ?? Infinity) >= oldest) return
      if (!(await this.#deps.dropOldest('expired'))) return
    }
  }

  async #askFree(): Promise<void> {
    const now = this.#deps.clock.nowMs()
    if (this.#config.min_free === 0 || now - this.#askedMs < FREE_EVERY_MS) return
    this.#askedMs = now
    try {
      this.#free = await this.#deps.files.free(this.#dir)
    } catch {
      // Unknown: the write itself fails if the disk is full.
      this.#free = Infinity
    }
  }
}
