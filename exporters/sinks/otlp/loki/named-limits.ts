/** Reads limits from the text of Loki's 400. Source: pkg/validation/validate.go of Loki 3. */

export interface NamedLimit {
  readonly limit: number
  /** The value of the largest refused entry. */
  readonly largest: number
}

/** The limits in a 400. Values are unchecked. */
export interface NamedLimits {
  readonly lineBytes?: number
  readonly metadataBytes?: NamedLimit
  readonly metadataEntries?: NamedLimit
  /** Older entries are refused; to the second, rounded down. Milliseconds since 1970. */
  readonly oldestMs?: number
  /** The oldest entry refused as too new. */
  readonly newestMs?: number
}

const LINE = /max entry size '(\d{1,12})' bytes exceeded/gi
const METADATA_BYTES = /structured metadata too large: '(\d{1,12})' bytes, limit: '(\d{1,12})'/gi
const METADATA_ENTRIES = /too many structured metadata labels: '(\d{1,12})', limit: '(\d{1,12})'/gi
const TIME = String.raw`(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d))`
const TOO_OLD = new RegExp(`timestamp too old: ${TIME}, oldest acceptable timestamp is: ${TIME}`, 'gi')
const TOO_NEW = new RegExp(`timestamp too new: ${TIME}`, 'gi')

/** The limits in a text, the strictest value of each; undefined for none. */
export function namedLimits(text: string): NamedLimits | undefined {
  const lines = groups(text, LINE, 1)
  const metadataBytes = named(text, METADATA_BYTES)
  const metadataEntries = named(text, METADATA_ENTRIES)
  const oldest = times(text, TOO_OLD, 2)
  const newest = times(text, TOO_NEW, 1)
  const found: NamedLimits = {
    ...(lines.length === 0 ? {} : { lineBytes: least(lines) }),
    ...(metadataBytes === undefined ? {} : { metadataBytes }),
    ...(metadataEntries === undefined ? {} : { metadataEntries }),
    ...(oldest.length === 0 ? {} : { oldestMs: most(oldest) }),
    ...(newest.length === 0 ? {} : { newestMs: least(newest) }),
  }
  return Object.keys(found).length === 0 ? undefined : found
}

function named(text: string, pattern: RegExp): NamedLimit | undefined {
  const limits = groups(text, pattern, 2)
  return limits.length === 0 ? undefined : { limit: least(limits), largest: most(groups(text, pattern, 1)) }
}

function groups(text: string, pattern: RegExp, group: number): number[] {
  return [...text.matchAll(pattern)].map((match) => Number(match[group]))
}

function times(text: string, pattern: RegExp, group: number): number[] {
  return [...text.matchAll(pattern)].map((match) => Date.parse(match[group] ?? '')).filter((ms) => !Number.isNaN(ms))
}

function least(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => Math.min(a, b))
}

function most(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => Math.max(a, b))
}
