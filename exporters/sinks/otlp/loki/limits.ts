/**
 * Checks Loki's limits on single entries before sending: Loki answers 400 to a request with a bad entry although it stores the
 * others, and rarely names the bad one (docs/reference/exporters/loki.md).
 */
import type { LokiLimits } from '../../../../config/agent/exporters/otlp.ts'
import type { Encoded } from '../../../contract/exporter.ts'
import { endOf } from '../../../contract/encoded.ts'
import { Measure, timeMs } from './measure.ts'
import type { Measured } from './measure.ts'

/** No limits, for sinks not known to be Loki. */
export const NO_LIMITS: LokiLimits = {
  max_line_size: Infinity,
  max_metadata_size: Infinity,
  max_metadata_entries: Infinity,
  max_age: Infinity,
  max_ahead: Infinity,
}

/** Attributes of resource and scope that Loki copies into the metadata of each entry. */
export interface Copied {
  readonly entries: number
  readonly bytes: number
}

/** Name and version of the scope. */
const SCOPE_ENTRIES = 2
const SCOPE_BYTES = 150
/** Entries that Loki makes of the fields of a record. */
const OWN_ENTRIES = 3
const OWN_BYTES = 150
/** The smallest attribute takes 9 bytes. */
const ATTRIBUTE_BYTES = 9

/** An upper bound: Loki turns some resource attributes into labels instead. */
export function copiedAtMost(resource: Readonly<Record<string, string>>): Copied {
  const pairs = Object.entries(resource)
  const bytes = pairs.reduce((sum, [name, value]) => sum + Buffer.byteLength(name + value), 0)
  return { entries: pairs.length + SCOPE_ENTRIES, bytes: bytes + SCOPE_BYTES }
}

/** Why Loki would refuse a record. */
export type LimitReason = 'too_large' | 'metadata_too_large' | 'too_old' | 'too_new'

/** Checks records against limits. */
export class LimitCheck {
  readonly limits: LokiLimits
  readonly #copied: Copied
  readonly #measure = new Measure()
  /** Records up to this size cannot break a limit of size: an integer takes at most 9 bytes more as text. */
  readonly #surelyFine: number

  constructor(limits: LokiLimits, copied: Copied) {
    this.limits = limits
    this.#copied = copied
    const smallest = Math.min(limits.max_line_size, limits.max_metadata_size)
    const attributes = limits.max_metadata_entries - copied.entries - OWN_ENTRIES
    this.#surelyFine = Math.min(
      Math.floor((smallest - copied.bytes - OWN_BYTES) / 2),
      Math.max(0, attributes * ATTRIBUTE_BYTES),
    )
  }

  /** Reasons by index of the record; undefined if all records pass. */
  refusals(part: Encoded, nowMs: number): Map<number, LimitReason> | undefined {
    let found: Map<number, LimitReason> | undefined
    for (let i = 0; i < part.count; i++) {
      const start = endOf(part, i)
      const reason =
        part.encoding === 'otlp' && endOf(part, i + 1) - start <= this.#surelyFine
          ? this.#byAge(timeMs(part.bytes, start), nowMs)
          : this.#reason(this.#measure.at(part, i), nowMs)
      if (reason !== undefined) (found ??= new Map()).set(i, reason)
    }
    return found
  }

  #reason(record: Readonly<Measured>, nowMs: number): LimitReason | undefined {
    const { max_line_size, max_metadata_size, max_metadata_entries } = this.limits
    if (record.lineBytes > max_line_size) return 'too_large'
    const entries = record.metadataEntries + this.#copied.entries
    if (record.metadataBytes + this.#copied.bytes > max_metadata_size || entries > max_metadata_entries) {
      return 'metadata_too_large'
    }
    return this.#byAge(record.timeMs, nowMs)
  }

  #byAge(atMs: number, nowMs: number): LimitReason | undefined {
    if (nowMs - atMs > this.limits.max_age) return 'too_old'
    return atMs - nowMs > this.limits.max_ahead ? 'too_new' : undefined
  }
}

/** A reason of `LimitCheck` as a sentence. */
export function explainLimit(reason: LimitReason, limits: LokiLimits): string {
  switch (reason) {
    case 'too_large':
      return `expected a body of at most ${limits.max_line_size} bytes`
    case 'metadata_too_large':
      return `expected at most ${limits.max_metadata_entries} attributes with ${limits.max_metadata_size} bytes in all`
    case 'too_old':
      return `expected an event of the last ${limits.max_age / 1000} s`
    case 'too_new':
      return `expected an event at most ${limits.max_ahead / 1000} s ahead of the clock`
  }
}
