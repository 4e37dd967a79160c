/** Writes one `struct hook` (bpf/hook.h): the constants that specialize the program of a hook. */
import type { Operator } from '../../config/policy/operators.ts'
import type { ArgumentFilter, HookSpec, NumberFilter } from '../../config/policy/policy.ts'
import {
  ARG_TYPES,
  CLASSES,
  FILTER,
  PREFIX,
  HOOK,
  FILTER_NUMBERS,
  PREFIX_PARTS,
  NO_ARG,
  OPS,
  PART,
  PATH_SCREEN,
  SELECTOR,
  SUFFIX,
} from './wire.ts'
import { screenOf } from './screen.ts'
import type { Prefix, Screen, Suffix } from './screen.ts'

/** A number of a filter with more numbers than fit into its constants. */
export interface NumberEntry {
  readonly filter: number
  readonly number: bigint
}

/** A value of a text filter, for the map `texts`, or reversed for `suffixes`. */
export interface TextEntry {
  readonly filter: number
  readonly bytes: Buffer
}

/** The map entries of a policy. */
export interface FilterSets {
  readonly numbers: NumberEntry[]
  readonly texts: TextEntry[]
  readonly suffixes: TextEntry[]
  /** Number of the last filter, from 1 on. */
  lastFilter: number
}

export const emptySets = (): FilterSets => ({ numbers: [], texts: [], suffixes: [], lastFilter: 0 })

/**
 * The struct's bytes. Adds values that are kept in maps to `sets`. The spec is valid (config/), so its counts fit.
 */
export function hookBytes(id: number, spec: HookSpec, sets: FilterSets): Buffer {
  const bytes = Buffer.alloc(HOOK.bytes)
  bytes.writeUInt32LE(id, HOOK.id)
  bytes[HOOK.nargs] = spec.args.length
  bytes[HOOK.syscall] = spec.syscall ? 1 : 0
  bytes[HOOK.returnType] =
    spec.return && spec.returnArg !== undefined ? ARG_TYPES[spec.returnArg.type.read] : ARG_TYPES.nop
  bytes[HOOK.nselectors] = spec.selectors.length
  spec.args.forEach((arg, i) => {
    bytes[HOOK.argIndex + i] = arg.index
    bytes[HOOK.argType + i] = ARG_TYPES[arg.type.read]
  })
  spec.selectors.forEach((selector, s) => {
    const at = HOOK.selectors + s * SELECTOR.bytes
    bytes.writeUInt32LE(selector.matchArgs.length, at + SELECTOR.count)
    selector.matchArgs.forEach((filter, f) =>
      writeFilter(bytes, at + SELECTOR.filters + f * FILTER.bytes, filter, sets),
    )
  })
  writeScreen(bytes, HOOK.screen, screenOf(spec))
  return bytes
}

function writeFilter(bytes: Buffer, at: number, filter: ArgumentFilter, sets: FilterSets): void {
  const id = ++sets.lastFilter
  bytes[at + FILTER.arg] = filter.arg
  bytes[at + FILTER.class] = CLASSES[filter.class]
  bytes[at + FILTER.op] = OPS[filter.operator]
  bytes.writeUInt32LE(id, at + FILTER.id)
  if (filter.class !== 'number') {
    for (const value of filter.values) addText(id, filter.operator, value, sets)
    return
  }
  const wanted = wantedOf(filter).map((value) => BigInt.asUintN(64, value))
  if (wanted.length > FILTER_NUMBERS) {
    for (const number of wanted) sets.numbers.push({ filter: id, number })
    return
  }
  bytes[at + FILTER.count] = wanted.length
  wanted.forEach((number, i) => bytes.writeBigUInt64LE(number, at + FILTER.numbers + 8 * i))
}

/** The numbers to compare with: masks and bounds are merged into one equivalent value. */
function wantedOf({ operator, values }: NumberFilter): readonly bigint[] {
  switch (operator) {
    case 'Mask':
      return [values.reduce((all, one) => all | one, 0n)]
    case 'GreaterThan':
      return [values.reduce((least, one) => (one < least ? one : least))]
    case 'LessThan':
      return [values.reduce((most, one) => (one > most ? one : most))]
    default:
      return values
  }
}

function addText(filter: number, operator: Operator, value: string, sets: FilterSets): void {
  const bytes = Buffer.from(value)
  if (operator === 'Postfix' || operator === 'NotPostfix')
    sets.suffixes.push({ filter, bytes: Buffer.from(bytes.toReversed()) })
  else sets.texts.push({ filter, bytes })
}

/** The first (for a suffix: last) up to 8 bytes as a number, and the mask of its used bits. */
function word(bytes: Buffer, fromEnd: boolean): { word: bigint; mask: bigint } {
  const length = Math.min(bytes.length, 8)
  const shift = fromEnd ? 8 - length : 0
  const text = Buffer.alloc(8)
  const mask = Buffer.alloc(8)
  bytes.copy(text, shift, fromEnd ? bytes.length - length : 0, fromEnd ? bytes.length : length)
  mask.fill(0xff, shift, shift + length)
  return { word: text.readBigUInt64LE(), mask: mask.readBigUInt64LE() }
}

function writeScreen(bytes: Buffer, at: number, screen: Screen | undefined): void {
  bytes[at + PATH_SCREEN.arg] = screen?.arg ?? NO_ARG
  bytes[at + PATH_SCREEN.nprefixes] = screen?.prefixes.length ?? 0
  bytes[at + PATH_SCREEN.nsuffixes] = screen?.suffixes.length ?? 0
  screen?.prefixes.forEach((prefix, i) => writePrefix(bytes, at + PATH_SCREEN.prefixes + i * PREFIX.bytes, prefix))
  screen?.suffixes.forEach((suffix, i) => writeSuffix(bytes, at + PATH_SCREEN.suffixes + i * SUFFIX.bytes, suffix))
}

function writePrefix(bytes: Buffer, at: number, prefix: Prefix): void {
  // The exact filter checks components after the seventh.
  const parts = prefix.parts.slice(0, PREFIX_PARTS)
  bytes.writeUInt16LE(parts.length, at + PREFIX.parts)
  bytes.writeUInt16LE(prefix.depthMin, at + PREFIX.depthMin)
  bytes.writeUInt32LE(prefix.depthMax, at + PREFIX.depthMax)
  parts.forEach((part, i) => {
    const to = at + PREFIX.part + i * PART.bytes
    const first = word(part.bytes, false)
    bytes.writeBigUInt64LE(first.word, to + PART.word)
    bytes.writeBigUInt64LE(first.mask, to + PART.mask)
    bytes.writeUInt32LE(part.bytes.length, to + PART.len)
    bytes.writeUInt32LE(part.open ? 1 : 0, to + PART.open)
  })
}

function writeSuffix(bytes: Buffer, at: number, suffix: Suffix): void {
  const last = word(suffix.bytes, true)
  bytes.writeBigUInt64LE(last.word, at + SUFFIX.word)
  bytes.writeBigUInt64LE(last.mask, at + SUFFIX.mask)
  bytes.writeUInt32LE(suffix.bytes.length, at + SUFFIX.len)
  bytes.writeUInt32LE(suffix.exact ? 1 : 0, at + SUFFIX.exact)
}
