/** Laid out hooks, read back by wire.ts. */
import type { HookSpec } from '../../../../config/policy/policy.ts'
import { hookBytes } from '../../../../collector/plan/layout/hook.ts'
import { Tables } from '../../../../collector/plan/layout/tables.ts'
import type { Component, EdgeTarget } from '../../../../collector/plan/layout/tables.ts'
import {
  ARG_TYPES,
  SHARED_COMPONENT,
  FILTER,
  HOOK,
  NODE,
  PATH_SCREEN,
  SCREENED_NUMBER,
  SELECTOR,
  SMALL_NUMBERS,
  WANTED_VALUE,
} from '../../../../collector/wire/wire.ts'

export interface LaidOut {
  readonly bytes: Buffer
  readonly tables: Tables
}

/** One hook of each of several policies on one function, with the ids 1, 2, … */
export const laidOut = (...specs: readonly HookSpec[]): LaidOut => laidOutAs({}, ...specs)

/** `laidOut`, attached by `way`. */
export function laidOutAs(way: Parameters<typeof hookBytes>[4], ...specs: readonly HookSpec[]): LaidOut {
  const tables = new Tables()
  const hooks = specs.map((spec, i) => ({ id: i + 1, spec }))
  return { bytes: hookBytes(7, hooks, tables, undefined, way), tables }
}

const TYPE_NAMES = new Map<number | undefined, string>(Object.entries(ARG_TYPES).map(([name, code]) => [code, name]))

export const typeName = (code: number | undefined): string => TYPE_NAMES.get(code) ?? `type ${code}`

/** The values of its records, as `0 file`. */
export function valuesIn({ bytes }: LaidOut): string[] {
  return Array.from({ length: bytes[HOOK.nvalues] ?? 0 }, (_, i) => {
    const at = HOOK.values + i * WANTED_VALUE.bytes
    return `${bytes[at + WANTED_VALUE.param]} ${typeName(bytes[at + WANTED_VALUE.type])}`
  })
}

export interface FilterRead {
  /** As in `valuesIn`. */
  readonly value: string | undefined
  readonly class: number | undefined
  readonly op: number | undefined
  readonly id: number
  readonly count: number | undefined
  readonly numbers: readonly bigint[]
}

export interface SelectorRead {
  readonly policyHook: number
  readonly index: number | undefined
  /** Number of the first filters, which the screen does not decide in full. */
  readonly undecided: number | undefined
  /** Number of the first filters, which are tested before the record's values are read. */
  readonly early: number
  readonly returnType: string
  readonly filters: readonly FilterRead[]
}

export function selectorsIn(laid: LaidOut): SelectorRead[] {
  const { bytes, tables } = laid
  const from = bytes.readUInt32LE(HOOK.selectors)
  return tables.selectors.slice(from, from + bytes.readUInt32LE(HOOK.nselectors)).map((selector) => ({
    policyHook: selector.readUInt32LE(SELECTOR.policyHook),
    index: selector[SELECTOR.index],
    undecided: selector[SELECTOR.undecided],
    early: selector.readUInt16LE(SELECTOR.early),
    returnType: typeName(selector[SELECTOR.returnType]),
    filters: Array.from({ length: selector[SELECTOR.count] ?? 0 }, (_, i) => {
      const filter = selector.subarray(SELECTOR.filters + i * FILTER.bytes, SELECTOR.filters + (i + 1) * FILTER.bytes)
      return {
        value: valuesIn(laid)[filter[FILTER.value] ?? -1],
        class: filter[FILTER.class],
        op: filter[FILTER.op],
        id: filter.readUInt32LE(FILTER.id),
        count: filter[FILTER.count],
        numbers: Array.from({ length: filter[FILTER.count] ?? 0 }, (__, n) =>
          filter.readBigUInt64LE(FILTER.numbers + 8 * n),
        ),
      }
    }),
  }))
}

export interface NumberRead {
  readonly param: number
  readonly type: string
  /** By number, the last for all others. */
  readonly sets: readonly bigint[]
}

export function numbersIn({ bytes, tables }: LaidOut): NumberRead[] {
  return Array.from({ length: bytes[HOOK.nnumbers] ?? 0 }, (_, i) => {
    const at = HOOK.numbers + i * SCREENED_NUMBER.bytes
    const from = bytes.readUInt32LE(at + SCREENED_NUMBER.sets)
    return {
      param: bytes[at + SCREENED_NUMBER.param] ?? -1,
      type: typeName(bytes[at + SCREENED_NUMBER.type]),
      sets: tables.numberSets.slice(from, from + SMALL_NUMBERS + 1).map((id) => setIn(tables, id)),
    }
  })
}

export function setIn(tables: Tables, id: number): bigint {
  const set = tables.sets.sets[id]
  if (set === undefined) throw new RangeError(`no set ${id}`)
  return set
}

export interface PathRead {
  readonly param: number
  readonly type: string
  readonly first: readonly [bigint, bigint]
  readonly all: bigint
  readonly others: bigint
  readonly suffixes: bigint
  readonly parts: bigint
  /** State. */
  readonly automaton: number
  /** Node. */
  readonly suffix: number
  readonly suffixOpen: number
  readonly root: EdgeTarget
  readonly shared: readonly Component[]
}

const nodeIn = (bytes: Buffer): EdgeTarget => ({
  id: bytes.readUInt32LE(NODE.id),
  here: bytes.readUInt32LE(NODE.here),
  below: bytes.readUInt32LE(NODE.below),
  open: bytes.readUInt32LE(NODE.open),
})

export function pathIn({ bytes, tables }: LaidOut): PathRead {
  const path = bytes.subarray(HOOK.path, HOOK.path + PATH_SCREEN.bytes)
  const shared = Array.from({ length: path.readUInt32LE(PATH_SCREEN.nshared) }, (_, i) => {
    const component = path.subarray(PATH_SCREEN.shared + i * SHARED_COMPONENT.bytes)
    return { word: component.readBigUInt64LE(SHARED_COMPONENT.word), len: component.readUInt32LE(SHARED_COMPONENT.len) }
  }).toReversed()
  return {
    param: path[PATH_SCREEN.param] ?? -1,
    type: typeName(path[PATH_SCREEN.type]),
    first: [path.readBigUInt64LE(PATH_SCREEN.first), path.readBigUInt64LE(PATH_SCREEN.first + 8)],
    all: setIn(tables, path.readUInt32LE(PATH_SCREEN.all)),
    others: setIn(tables, path.readUInt32LE(PATH_SCREEN.others)),
    suffixes: setIn(tables, path.readUInt32LE(PATH_SCREEN.suffixes)),
    parts: setIn(tables, path.readUInt32LE(PATH_SCREEN.parts)),
    automaton: path.readUInt32LE(PATH_SCREEN.automaton),
    suffix: path.readUInt32LE(PATH_SCREEN.suffix),
    suffixOpen: path.readUInt16LE(PATH_SCREEN.suffixOpen),
    root: nodeIn(path.subarray(PATH_SCREEN.root)),
    shared,
  }
}

/** Members of a set, as `0 2`. */
export function members(set: bigint): string {
  return [...set.toString(2)]
    .toReversed()
    .flatMap((bit, i) => (bit === '1' ? [String(i)] : []))
    .join(' ')
}
