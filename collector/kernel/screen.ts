/**
 * The first pass of a path filter, as data: which first and last components the wanted paths have, so that the kernel
 * rejects by pointers and lengths. It may let through what the exact filters then refuse, never the other way round.
 */
import type { ArgumentFilter, HookSpec, TextFilter } from '../../config/policy/policy.ts'
import { HEADS_MAX, HEAD_PARTS, TAILS_MAX } from './wire.ts'

/** A path component: `open` when the name may go on after `bytes`. */
export interface Part {
  readonly bytes: Buffer
  readonly open: boolean
}

export interface Head {
  readonly parts: readonly Part[]
  readonly depthMin: number
  readonly depthMax: number
}

export interface Tail {
  readonly bytes: Buffer
  readonly exact: boolean
}

export interface Screen {
  /** Position in the hook's args. */
  readonly arg: number
  readonly heads: readonly Head[]
  readonly tails: readonly Tail[]
}

const ANY_DEPTH = 0xffff_ffff
const DELETED = ' (deleted)'

/** `text` without the part that could be the beginning of the mark of an unlinked file. */
function withoutMark(text: string): { text: string; cut: boolean } {
  for (let n = DELETED.length; n > 0; n--) {
    if (text.endsWith(DELETED.slice(0, n))) return { text: text.slice(0, -n), cut: true }
  }
  return { text, cut: false }
}

/** undefined: no path can begin like that. */
function headOf(value: string, whole: boolean): Head | undefined {
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

const key = (head: Head): string =>
  `${head.depthMin}-${head.depthMax}:${head.parts.map((part) => part.bytes.toString('hex') + String(part.open)).join('/')}`

/** Keeps at most `levels` parts: a shorter head lets through more, so that many values share few heads. */
function shortened(heads: readonly Head[], levels: number): Head[] {
  const distinct = new Map<string, Head>()
  for (const head of heads) {
    const short =
      head.parts.length <= levels
        ? head
        : { parts: head.parts.slice(0, levels), depthMin: head.depthMin, depthMax: ANY_DEPTH }
    const merged = head.parts.length <= levels ? short : { ...short, depthMin: levels + 1 }
    distinct.set(key(merged), merged)
  }
  return [...distinct.values()]
}

function fitted(heads: readonly Head[]): Head[] | undefined {
  for (let levels: number = HEAD_PARTS; levels > 0; levels--) {
    const short = shortened(heads, levels)
    if (short.length <= HEADS_MAX) return short
  }
  return undefined
}

/** undefined: the value could match the mark of an unlinked file, which is no part of any name. */
function tailOf(value: string): Tail | undefined {
  if (DELETED.endsWith(value) || value.endsWith(DELETED)) return undefined
  const slash = value.lastIndexOf('/')
  return { bytes: Buffer.from(value.slice(slash + 1)), exact: slash >= 0 }
}

/** Whether the filter demands something of the path at a position. */
const demands = (filter: ArgumentFilter, position: number): filter is TextFilter =>
  filter.arg === position &&
  filter.class === 'path' &&
  (filter.operator === 'Equal' || filter.operator === 'Prefix' || filter.operator === 'Postfix')

/**
 * The screen of a hook, or undefined when none is sound: every selector must demand something of one and the same path.
 */
export function screenOf(spec: HookSpec): Screen | undefined {
  if (spec.selectors.length === 0) return undefined
  const arg = spec.args.findIndex((_, position) =>
    spec.selectors.every((selector) => selector.matchArgs.some((filter) => demands(filter, position))),
  )
  if (arg < 0) return undefined
  const heads: Head[] = []
  const tails: Tail[] = []
  for (const selector of spec.selectors) {
    const [filter] = selector.matchArgs
      .filter((each) => demands(each, arg))
      .toSorted((a, b) => a.values.length - b.values.length)
    for (const value of filter?.values ?? []) {
      if (filter?.operator === 'Postfix') {
        const tail = tailOf(value)
        if (tail === undefined) return undefined
        if (tail.bytes.length > 0) tails.push(tail)
      } else {
        const head = headOf(value, filter?.operator !== 'Prefix')
        if (head !== undefined) heads.push(head)
      }
    }
  }
  const short = fitted(heads)
  if (short === undefined || tails.length > TAILS_MAX) return undefined
  return { arg, heads: short, tails }
}
