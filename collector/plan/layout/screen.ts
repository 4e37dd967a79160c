/**
 * The beginning or end of a path that matches a value, in components, so that the kernel can reject by pointers and lengths. It may pass
 * paths that the exact filters then reject, but never rejects a wanted path.
 */
import type { ArgumentFilter, Selector, TextFilter } from '../../../config/policy/policy.ts'
import { PREFIX_PARTS } from '../../wire/wire.ts'

/** A path component; `open`: the name may continue after `bytes`. */
export interface Part {
  readonly bytes: Buffer
  readonly open: boolean
}

/** `whole`: the path has no component behind the last part. */
export interface Prefix {
  readonly parts: readonly Part[]
  readonly whole: boolean
}

/** `exact`: the last component is `bytes`, and does not just end with them. */
export interface Suffix {
  readonly bytes: Buffer
  readonly exact: boolean
}

/** A selector requires one of these of a path. */
export interface Demand {
  readonly prefixes: readonly Prefix[]
  readonly suffixes: readonly Suffix[]
  /** It contains one of these; without regard to case if `ignoreCase`. */
  readonly parts: readonly Buffer[]
  readonly ignoreCase: boolean
  /** The filter, if one of these is not only necessary but enough. */
  readonly decides: TextFilter | undefined
}

/** Bytes of the values of a SubString that is screened: each takes a row of 512 bytes, beside that of the filter. */
const PARTS_MAX = 64

/** Bytes of a component that the kernel compares. */
const WORD_BYTES = 8

const DELETED = ' (deleted)'

/** `name` without an end that could be the start of the mark of an unlinked file. The mark follows a name, so one byte at least stays. */
function withoutMark(name: string): { text: string; cut: boolean } {
  for (let n = Math.min(DELETED.length, name.length - 1); n > 0; n--) {
    if (name.endsWith(DELETED.slice(0, n))) return { text: name.slice(0, -n), cut: true }
  }
  return { text: name, cut: false }
}

/** undefined: no path can start like that. */
function prefixOf(value: string, whole: boolean): Prefix | undefined {
  if (!value.startsWith('/')) return undefined
  const names = value.slice(1).split('/')
  const last = names.pop() ?? ''
  if (names.includes('') || (whole && last === '')) return undefined
  const parts: Part[] = names.map((name) => ({ bytes: Buffer.from(name), open: false }))
  if (last === '') return { parts, whole: false }
  const stem = withoutMark(last)
  parts.push({ bytes: Buffer.from(stem.text), open: !whole || stem.cut })
  return { parts, whole }
}

/** undefined: the value could match the mark of an unlinked file, which is not part of a name. */
function suffixOf(value: string): Suffix | undefined {
  if (DELETED.endsWith(value) || value.endsWith(DELETED)) return undefined
  const slash = value.lastIndexOf('/')
  return { bytes: Buffer.from(value.slice(slash + 1)), exact: slash >= 0 }
}

const isSubString = ({ operator }: ArgumentFilter): boolean =>
  operator === 'SubString' || operator === 'SubStringIgnCase'

/** Whether the filter restricts the path at a position. */
const restricts = (filter: ArgumentFilter, position: number): filter is TextFilter =>
  filter.arg === position &&
  filter.class === 'path' &&
  (filter.operator === 'Equal' || filter.operator === 'Prefix' || filter.operator === 'Postfix' || isSubString(filter))

/** Whether comparing components compares all: folders with short names, and not too many. */
function isExact({ parts, whole }: Prefix): boolean {
  const closed = parts.every(({ bytes, open }) => !open && bytes.length <= WORD_BYTES)
  return closed && !whole && parts.length <= PREFIX_PARTS
}

/** The selector's demand on the path at a position of the policy's args; undefined: nothing can be screened. */
export function demandOf(selector: Selector, position: number): Demand | undefined {
  // Any of several filters is sound; the one with the fewest values rejects most. A search takes longest.
  const [filter] = selector.matchArgs
    .filter((each) => restricts(each, position))
    .toSorted((a, b) => Number(isSubString(a)) - Number(isSubString(b)) || a.values.length - b.values.length)
  if (filter === undefined) return undefined
  if (isSubString(filter)) {
    const parts = filter.values.map((value) => Buffer.from(value))
    const bytes = parts.reduce((sum, { length }) => sum + length, 0)
    const ignoreCase = filter.operator === 'SubStringIgnCase'
    return bytes > PARTS_MAX ? undefined : { prefixes: [], suffixes: [], parts, ignoreCase, decides: undefined }
  }
  const prefixes: Prefix[] = []
  const suffixes: Suffix[] = []
  for (const value of filter.values) {
    if (filter.operator === 'Postfix') {
      const suffix = suffixOf(value)
      if (suffix === undefined) return undefined
      if (suffix.bytes.length > 0) suffixes.push(suffix)
    } else {
      const prefix = prefixOf(value, filter.operator === 'Equal')
      if (prefix !== undefined) prefixes.push(prefix)
    }
  }
  const decides = filter.operator === 'Prefix' && prefixes.every(isExact) ? filter : undefined
  return { prefixes, suffixes, parts: [], ignoreCase: false, decides }
}
