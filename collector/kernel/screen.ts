/**
 * The first pass of a path filter, as data: the first and last components of the wanted paths, so that the kernel can reject by pointers and
 * lengths. It may pass paths that the exact filters then reject, but never rejects a wanted path.
 */
import type { ArgumentFilter, HookSpec, TextFilter } from '../../config/policy/policy.ts'
import { PREFIXES_MAX, PREFIX_PARTS, SUFFIXES_MAX } from './wire.ts'

/** A path component; `open`: the name may continue after `bytes`. */
export interface Part {
  readonly bytes: Buffer
  readonly open: boolean
}

export interface Prefix {
  readonly parts: readonly Part[]
  readonly depthMin: number
  readonly depthMax: number
}

export interface Suffix {
  readonly bytes: Buffer
  readonly exact: boolean
}

export interface Screen {
  /** Position in the hook's args. */
  readonly arg: number
  readonly prefixes: readonly Prefix[]
  readonly suffixes: readonly Suffix[]
}

const ANY_DEPTH = 0xffff_ffff
const DELETED = ' (deleted)'

/** `text` without an end that could be the start of the mark of an unlinked file. */
function withoutMark(text: string): { text: string; cut: boolean } {
  for (let n = DELETED.length; n > 0; n--) {
    if (text.endsWith(DELETED.slice(0, n))) return { text: text.slice(0, -n), cut: true }
  }
  return { text, cut: false }
}

/** undefined: no path can start like that. */
function prefixOf(value: string, whole: boolean): Prefix | undefined {
  if (!value.startsWith('/')) return undefined
  const names = value.slice(1).split('/')
  const last = names.pop() ?? ''
  if (names.includes('') || (whole && last === '')) return undefined
  const parts: Part[] = names.map((name) => ({ bytes: Buffer.from(name), open: false }))
  const depth = names.length + 1
  const stem = withoutMark(last)
  if (stem.text !== '') parts.push({ bytes: Buffer.from(stem.text), open: !whole || stem.cut })
  return { parts, depthMin: depth, depthMax: whole ? depth : ANY_DEPTH }
}

const key = (prefix: Prefix): string =>
  `${prefix.depthMin}-${prefix.depthMax}:${prefix.parts.map((part) => part.bytes.toString('hex') + String(part.open)).join('/')}`

/** Keeps at most `levels` parts: shorter prefixes pass more, and many values share few prefixes. */
function shortened(prefixes: readonly Prefix[], levels: number): Prefix[] {
  const distinct = new Map<string, Prefix>()
  for (const prefix of prefixes) {
    const short =
      prefix.parts.length <= levels
        ? prefix
        : { parts: prefix.parts.slice(0, levels), depthMin: prefix.depthMin, depthMax: ANY_DEPTH }
    const merged = prefix.parts.length <= levels ? short : { ...short, depthMin: levels + 1 }
    distinct.set(key(merged), merged)
  }
  return [...distinct.values()]
}

function fitted(prefixes: readonly Prefix[]): Prefix[] | undefined {
  for (let levels: number = PREFIX_PARTS; levels > 0; levels--) {
    const short = shortened(prefixes, levels)
    if (short.length <= PREFIXES_MAX) return short
  }
  return undefined
}

/** undefined: the value could match the mark of an unlinked file, which is not part of a name. */
function suffixOf(value: string): Suffix | undefined {
  if (DELETED.endsWith(value) || value.endsWith(DELETED)) return undefined
  const slash = value.lastIndexOf('/')
  return { bytes: Buffer.from(value.slice(slash + 1)), exact: slash >= 0 }
}

/** Whether the filter restricts the path at a position. */
const demands = (filter: ArgumentFilter, position: number): filter is TextFilter =>
  filter.arg === position &&
  filter.class === 'path' &&
  (filter.operator === 'Equal' || filter.operator === 'Prefix' || filter.operator === 'Postfix')

/**
 * The screen of a hook, or undefined when none is sound: every selector must restrict the same path.
 */
export function screenOf(spec: HookSpec): Screen | undefined {
  if (spec.selectors.length === 0) return undefined
  const arg = spec.args.findIndex((_, position) =>
    spec.selectors.every((selector) => selector.matchArgs.some((filter) => demands(filter, position))),
  )
  if (arg < 0) return undefined
  const prefixes: Prefix[] = []
  const suffixes: Suffix[] = []
  for (const selector of spec.selectors) {
    const [filter] = selector.matchArgs
      .filter((each) => demands(each, arg))
      .toSorted((a, b) => a.values.length - b.values.length)
    for (const value of filter?.values ?? []) {
      if (filter?.operator === 'Postfix') {
        const suffix = suffixOf(value)
        if (suffix === undefined) return undefined
        if (suffix.bytes.length > 0) suffixes.push(suffix)
      } else {
        const prefix = prefixOf(value, filter?.operator !== 'Prefix')
        if (prefix !== undefined) prefixes.push(prefix)
      }
    }
  }
  const short = fitted(prefixes)
  if (short === undefined || suffixes.length > SUFFIXES_MAX) return undefined
  return { arg, prefixes: short, suffixes }
}
