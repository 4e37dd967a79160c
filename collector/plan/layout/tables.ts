/**
 * The contents of the maps of one object, collected while its hooks are laid out. Numbers of filters, nodes, sets and selectors count over all
 * hooks of the object.
 */
import type { BpfMap, BpfObject } from '../../../native/types.ts'
import type { Place } from '../../../config/policy/types/places.ts'
import type { Turns } from '../../host/turns.ts'
import { bitWords, u32 } from '../../wire/bytes.ts'
import { structBytes } from '../map-entries.ts'
import type { Entry } from '../map-entries.ts'
import type { TextEntry } from './texts.ts'
import {
  AUTOMATON_ROW,
  EDGE,
  EMPTY_SET,
  NODE,
  NUMBER_KEY,
  PLACE_ENTRY,
  SET,
  SOCKET_ENTRY,
  SUFFIX_ENTRY,
  TEXT_ENTRY,
  TEXT_VALUE,
} from '../../wire/wire.ts'

/** A number of a filter that has more of them than fit into the filter itself. */
export interface NumberEntry {
  readonly filter: number
  readonly number: bigint
}

/** A value of a Postfix filter, reversed. */
export interface SuffixEntry {
  readonly filter: number
  readonly bytes: Buffer
}

/** A value of a filter on a socket (bpf/match/socket.h). */
export interface SocketEntry {
  readonly filter: number
  readonly bits: number
  readonly bytes: readonly number[]
}

/** A component of a path by its first 8 bytes and its length. */
export interface Component {
  readonly word: bigint
  readonly len: number
}

/** An edge of the tree of path components and the node that it leads to (bpf/base/components.h). */
export interface Edge extends Component {
  readonly node: number
  readonly to: EdgeTarget
}

export interface EdgeTarget {
  /** 0: no edge begins here. */
  readonly id: number
  /** Sets. */
  readonly here: number
  readonly below: number
  /** Bit n - 1: there are edges for the first n bytes of the next component. */
  readonly open: number
}

/** Sets of selectors as numbers with one bit each; equal ones are stored once. */
export class SetTable {
  readonly sets: bigint[] = [0n]
  readonly #ids = new Map<bigint, number>([[0n, EMPTY_SET]])

  id(bits: bigint): number {
    const known = this.#ids.get(bits)
    if (known !== undefined) return known
    this.#ids.set(bits, this.sets.length)
    return this.sets.push(bits) - 1
  }
}

export class Tables {
  readonly selectors: Buffer[] = []
  readonly sets: SetTable = new SetTable()
  /** Sets by number, see bpf/match/number.h. */
  readonly numberSets: number[] = []
  readonly numbers: NumberEntry[] = []
  readonly texts: TextEntry[] = []
  readonly suffixes: SuffixEntry[] = []
  readonly edges: Edge[] = []
  readonly sockets: SocketEntry[] = []
  readonly places: Place[] = []
  /** Rows by state, of all SubString filters (automaton.ts). */
  readonly automaton: Uint16Array[] = []
  /** The last filter's and the last node's number, from 1 on. */
  lastFilter = 0
  lastNode = 0
}

interface MapContent {
  readonly count: number
  /** Made when iterated. */
  readonly entries: Iterable<Entry>
}

const content = <T>(values: readonly T[], entryOf: (value: T, i: number) => Entry): MapContent => ({
  count: values.length,
  entries: values.values().map(entryOf),
})

const indexed = <T>(values: readonly T[], bytesOf: (value: T) => Buffer): MapContent =>
  content(values, (value, i) => [u32(i), bytesOf(value)])

/** By map. */
function contentsOf(tables: Tables) {
  return {
    selectors: indexed(tables.selectors, (bytes) => bytes),
    sets: indexed(tables.sets.sets, (bits) => bitWords(bits, SET.bytes)),
    number_sets: indexed(tables.numberSets, u32),
    numbers: content(tables.numbers, (entry) => [structBytes(NUMBER_KEY, entry), Buffer.from([1])]),
    texts: content(tables.texts, (entry) => {
      const { len, next } = entry
      return [textKey(entry, TEXT_ENTRY), structBytes(TEXT_VALUE, { len, next })]
    }),
    suffixes: content(tables.suffixes, (entry) => [textKey(entry, SUFFIX_ENTRY), u32(entry.bytes.length)]),
    edges: content(tables.edges, ({ to, ...key }) => [structBytes(EDGE, key), structBytes(NODE, to)]),
    socket_values: content(tables.sockets, (entry) => [socketKey(entry), Buffer.from([1])]),
    places: indexed(tables.places, placeBytes),
    automata: indexed(tables.automaton, rowBytes),
  }
}

/** The sizes that the maps need, by name: at least one, because the kernel makes no empty map. */
export function mapSizes(tables: Tables): Record<string, number> {
  return Object.fromEntries(Object.entries(contentsOf(tables)).map(([name, { count }]) => [name, Math.max(1, count)]))
}

/**
 * Fills the maps and freezes them: nothing can change a policy's filters while its programs run. In turns, because hundreds of policies
 * take thousands of system calls. Rejects with NativeError.
 */
export async function fillMaps(object: Pick<BpfObject, 'map'>, tables: Tables, turns: Turns): Promise<void> {
  for (const [name, { entries }] of Object.entries(contentsOf(tables))) {
    using map: BpfMap = object.map(name)
    for (const [key, value] of entries) {
      map.update(key, value)
      if (turns.over) await turns.rest()
    }
    map.freeze()
  }
  // Has the programs' call counts.
  using scratch = object.map('scratch')
  scratch.freeze()
}

function socketKey({ filter, bits, bytes }: SocketEntry): Buffer {
  const prefix = 8 * (SOCKET_ENTRY.value - SOCKET_ENTRY.filter) + bits
  return structBytes(SOCKET_ENTRY, { bits: prefix, filter, value: Uint8Array.from(bytes) })
}

/** struct automaton_row */
function rowBytes(row: Uint16Array): Buffer {
  const bytes = Buffer.alloc(AUTOMATON_ROW.bytes)
  row.forEach((state, byte) => bytes.writeUInt16LE(state, 2 * byte))
  return bytes
}

/** struct place_entry */
function placeBytes({ steps, last, sizeBytes, signed, bit, bits, textBytes, user, at }: Place): Buffer {
  const bytes = Buffer.alloc(PLACE_ENTRY.bytes)
  steps.forEach((offset, i) => bytes.writeUInt32LE(offset, PLACE_ENTRY.offsets + 4 * i))
  bytes.writeUInt32LE(last, PLACE_ENTRY.last)
  bytes.writeUInt16LE(at, PLACE_ENTRY.at)
  bytes[PLACE_ENTRY.steps] = steps.length
  bytes[PLACE_ENTRY.size] = sizeBytes
  bytes[PLACE_ENTRY.isSigned] = signed ? 1 : 0
  bytes[PLACE_ENTRY.bit] = bit
  bytes[PLACE_ENTRY.bits] = bits
  bytes[PLACE_ENTRY.text] = textBytes
  bytes[PLACE_ENTRY.user] = user ? 1 : 0
  return bytes
}

function textKey({ filter, bytes }: SuffixEntry, layout: typeof TEXT_ENTRY | typeof SUFFIX_ENTRY): Buffer {
  // Prefix length in bits, of everything after this field.
  const bits = 8 * (layout.text - layout.filter + bytes.length)
  return structBytes(layout, { bits, filter, text: bytes })
}
