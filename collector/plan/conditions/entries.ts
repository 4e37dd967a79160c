/** The map entries of one generation of conditions (bpf/process/conditions.h). */
import { bitWords, u32 } from '../../wire/bytes.ts'
import {
  CONDITIONS,
  CONDITION_INNER_PID,
  CONDITION_KINDS,
  CONDITION_SET,
  FOLLOWING_MAX,
  GENERATIONS_AT_ONCE,
  PID_KEY,
  PROGRAM_END,
  PROGRAM_END_KEY,
  PROGRAM_KEY,
  PROGRAM_VALUE,
} from '../../wire/wire.ts'
import { structBytes } from '../map-entries.ts'
import type { Entry } from '../map-entries.ts'
import type { Condition } from './table.ts'

/** Maps whose keys name the generation, and `conditions`. */
export type ConditionMap = 'program_starts' | 'program_ends' | 'condition_pids' | 'conditions'

/** Entries of `conditions` and of the tables of a generation. */
export function conditionEntries(all: readonly Condition[], generation: number): Record<ConditionMap, Entry[]> {
  const at = generation % GENERATIONS_AT_ONCE
  const found: Record<ConditionMap, Entry[]> = {
    program_starts: [],
    program_ends: [],
    condition_pids: [],
    conditions: [conditionsEntry(all, generation)],
  }
  for (let kind = 0; kind < CONDITION_KINDS; kind++) {
    const table = at * CONDITION_KINDS + kind
    const of = (test: Condition['test']): Map<string, bigint> =>
      bitsByValue(all.filter((each) => each.kind === kind && each.test === test))
    found.program_starts.push(...startEntries(table, of('is'), of('begins')))
    found.program_ends.push(...endEntries(table, of('ends')))
    for (const [pid, bits] of of('pid'))
      found.condition_pids.push([structBytes(PID_KEY, { table, pid: Number(pid) }), setBytes(bits)])
  }
  return found
}

/** The entry of `conditions` alone. */
export function conditionsEntry(all: readonly Condition[], generation: number): Entry {
  return [u32(generation % GENERATIONS_AT_ONCE), conditionsBytes(all)]
}

/** Bits of the conditions that have each value. */
function bitsByValue(conditions: readonly Condition[]): Map<string, bigint> {
  const found = new Map<string, bigint>()
  for (const { bit, values } of conditions) {
    for (const value of values) found.set(value, (found.get(value) ?? 0n) | (1n << BigInt(bit)))
  }
  return found
}

/** Conditions whose value begins the text. */
function beginning(text: string, values: ReadonlyMap<string, bigint>): bigint {
  let bits = 0n
  if (values.size > 0) for (let n = 1; n <= text.length; n++) bits |= values.get(text.slice(0, n)) ?? 0n
  return bits
}

/** A look-up finds only the longest value, so each value also has the conditions of its prefixes. */
function startEntries(table: number, is: Map<string, bigint>, begins: Map<string, bigint>): Entry[] {
  return [...new Set([...is.keys(), ...begins.keys()])].map((text): Entry => {
    const bytes = Buffer.from(text, 'latin1')
    const bits = 8 * (PROGRAM_KEY.text - PROGRAM_KEY.table + bytes.length)
    const key = structBytes(PROGRAM_KEY, { bits, table: Buffer.from([table]), text: bytes })
    const value = {
      len: bytes.length,
      begins: setBytes(beginning(text, begins)),
      is: setBytes(is.get(text) ?? 0n),
    }
    return [key, structBytes(PROGRAM_VALUE, value)]
  })
}

function endEntries(table: number, ends: Map<string, bigint>): Entry[] {
  const reversed = new Map([...ends].map(([text, bits]) => [[...text].toReversed().join(''), bits] as const))
  return [...reversed.keys()].map((text): Entry => {
    const bytes = Buffer.from(text, 'latin1').subarray(0, PROGRAM_END)
    const bits = 8 * (PROGRAM_END_KEY.text - PROGRAM_END_KEY.table + bytes.length)
    return [structBytes(PROGRAM_END_KEY, { bits, table, text: bytes }), setBytes(beginning(text, reversed))]
  })
}

const follows = ({ bit }: Condition): boolean => bit < FOLLOWING_MAX

function conditionsBytes(all: readonly Condition[]): Buffer {
  const bytes = Buffer.alloc(CONDITIONS.bytes)
  const bitsOf = (holds: (each: Condition) => boolean): bigint =>
    all.reduce((bits, each) => (holds(each) ? bits | (1n << BigInt(each.bit)) : bits), 0n)
  setBytes(bitsOf(({ negated }) => negated)).copy(bytes, CONDITIONS.negated)
  for (let kind = 0; kind < CONDITION_KINDS; kind++) {
    setBytes(bitsOf((each) => each.kind === kind)).copy(bytes, CONDITIONS.kinds + kind * CONDITION_SET.bytes)
  }
  bytes.writeBigUInt64LE(bitsOf(follows), CONDITIONS.following)
  for (const { bit, since } of all.filter(follows)) bytes.writeUInt32LE(since, CONDITIONS.since + 4 * bit)
  const inner = all.some((each) => follows(each) && each.kind === CONDITION_INNER_PID)
  bytes.writeUInt32LE(inner ? 1 : 0, CONDITIONS.inner)
  return bytes
}

/** `struct condition_set` */
export const setBytes = (bits: bigint): Buffer => bitWords(bits, CONDITION_SET.bytes)
