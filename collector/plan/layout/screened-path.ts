/** Writes the screen of a path (`struct path_screen` of bpf/base/components.h). */
import type { ArgumentFilter } from '../../../config/policy/policy.ts'
import { ARG_TYPES, HOOK, NODE, NO_ARG, PATH_SCREEN, SHARED_COMPONENT } from '../../wire/wire.ts'
import { structBytes } from '../map-entries.ts'
import { automaton } from './automaton.ts'
import { writePathTree } from './path-tree.ts'
import { demandOf } from './screen.ts'
import type { Demand } from './screen.ts'
import { bitsOf, sameValue } from './selector.ts'
import type { Row, Value } from './selector.ts'
import type { Tables } from './tables.ts'

/** The demands of the selectors on a path, by bit. */
function demandsOn(value: Value, rows: readonly Row[]): Map<number, Demand> {
  const demands = new Map<number, Demand>()
  rows.forEach(({ hook, selector }, i) => {
    for (const [position, arg] of hook.spec.args.entries()) {
      const demand = sameValue(value, arg) ? demandOf(selector, position) : undefined
      if (demand !== undefined) demands.set(i, demand)
    }
  })
  return demands
}

export interface ScreenedPath {
  readonly value: Value
  readonly demands: ReadonlyMap<number, Demand>
}

/** The path that most selectors restrict. */
export const screenedPath = (values: readonly Value[], rows: readonly Row[]): ScreenedPath | undefined =>
  values
    .filter(({ places, read }) => places === undefined && read !== 'sockaddrUn')
    .map((value) => ({ value, demands: demandsOn(value, rows) }))
    .filter(({ demands }) => demands.size > 0)
    .toSorted((a, b) => b.demands.size - a.demands.size)[0]

/** Screens a path. Returns the filters that this decides. */
export function writePath(
  bytes: Buffer,
  screened: ScreenedPath | undefined,
  rows: readonly Row[],
  tables: Tables,
): ArgumentFilter[] {
  const at = HOOK.path
  if (screened === undefined) {
    bytes[at + PATH_SCREEN.param] = NO_ARG
    return []
  }
  const { value, demands } = screened
  const tree = writePathTree(demands, tables)
  const putSet = (place: number, holds: (demand: Demand | undefined) => boolean): void => {
    const set = bitsOf(rows, (_, bit) => holds(demands.get(bit)))
    bytes.writeUInt32LE(tables.sets.id(set), at + place)
  }
  bytes[at + PATH_SCREEN.param] = value.param
  bytes[at + PATH_SCREEN.type] = ARG_TYPES[value.read]
  putSet(PATH_SCREEN.all, (demand) => demand !== undefined)
  putSet(PATH_SCREEN.others, (demand) => demand === undefined)
  putSet(PATH_SCREEN.suffixes, (demand) => (demand?.suffixes.length ?? 0) > 0)
  putSet(PATH_SCREEN.parts, (demand) => (demand?.parts.length ?? 0) > 0)
  const parts = [...demands.values()].flatMap((demand) => demand.parts)
  if (parts.length > 0) {
    bytes.writeUInt32LE(tables.automaton.length, at + PATH_SCREEN.automaton)
    const ignoreCase = [...demands.values()].some((demand) => demand.ignoreCase)
    tables.automaton.push(...automaton(parts, ignoreCase, tables.automaton.length))
  }
  bytes.writeUInt32LE(tree.suffix, at + PATH_SCREEN.suffix)
  bytes.writeUInt16LE(tree.suffixOpen, at + PATH_SCREEN.suffixOpen)
  tree.first.forEach((bits, i) => bytes.writeBigUInt64LE(bits, at + PATH_SCREEN.first + 8 * i))
  structBytes(NODE, tree.root).copy(bytes, at + PATH_SCREEN.root)
  bytes.writeUInt32LE(tree.shared.length, at + PATH_SCREEN.nshared)
  for (const [i, { word, len }] of tree.shared.toReversed().entries()) {
    const component = at + PATH_SCREEN.shared + i * SHARED_COMPONENT.bytes
    bytes.writeBigUInt64LE(word, component + SHARED_COMPONENT.word)
    bytes.writeUInt32LE(len, component + SHARED_COMPONENT.len)
    bytes.fill(0xff, component + SHARED_COMPONENT.mask, component + SHARED_COMPONENT.mask + Math.min(len, 8))
  }
  return [...demands.values()].flatMap(({ decides }) => (decides === undefined ? [] : [decides]))
}
