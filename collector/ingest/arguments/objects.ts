/** Members of kernel structs (`struct object_info` of bpf/event.h) and named numbers, as Tetragon's records have them. */
import type { ArgumentType, Named } from '../../../config/policy/arguments.ts'
import {
  BPF_COMMANDS,
  CAPABILITY_NAMES,
  MAP_TYPES,
  PERF_TYPES,
  PROGRAM_TYPES,
  SECURE_BITS,
  TAINTS,
} from '../../../config/policy/types/names.ts'
import type { ObjectMember, Show } from '../../../config/policy/types/objects.ts'
import type { Argument, MemberValue, StructArgument } from '../../../exporters/contract/event.ts'
import { bitsOf } from '../../process/detail/details.ts'
import { OBJECT_INFO } from '../../wire/wire.ts'

/** `at`: of the struct object_info. It lacks values that could not be read, and values of 0 that JSON leaves out. */
export function objectArgument(
  { field, object }: ArgumentType,
  bytes: Buffer,
  at: number,
  end: number,
): StructArgument {
  const isWhole = end - at >= OBJECT_INFO.bytes
  const failed = isWhole ? bytes.readBigUInt64LE(at + OBJECT_INFO.failed) : 0n
  const members: Array<[string, MemberValue]> = []
  let next = at + OBJECT_INFO.bytes
  for (const [i, member] of (object?.members ?? []).entries()) {
    const from = next
    next += ((member.textBytes ?? 0) + 7) & ~7 || 8
    if (next > end) break
    if (((failed >> BigInt(i)) & 1n) === 1n) continue
    const path = member.key.split('.')
    const value = shown(member, bytes, from)
    if (value !== undefined) put(members, path, value)
    else if (member.show === 'capabilities') putEmpty(members, path)
  }
  const text = (object?.text ?? []).map((key) => textOf(members, key.split('.'))).filter(Boolean)
  return { kind: 'struct', field, members, text: text.join(' ') }
}

type Members = Array<[string, MemberValue]>

function put(members: Members, [key = '', ...rest]: readonly string[], value: MemberValue): void {
  if (rest.length === 0) {
    members.push([key, value])
    return
  }
  const known = members.find(([name]) => name === key)?.[1]
  const inner: Members = known instanceof Map ? [...known] : []
  put(inner, rest, value)
  const nested = new Map(inner)
  const place = members.findIndex(([name]) => name === key)
  if (place < 0) members.push([key, nested])
  else members[place] = [key, nested]
}

/** An empty set has no key, but the message of the sets is present, as in Tetragon: `caps: {}` differs from capabilities that could not be read. */
function putEmpty(members: Members, [key = '']: readonly string[]): void {
  if (!members.some(([name]) => name === key)) members.push([key, new Map()])
}

function textOf(members: Iterable<readonly [string, MemberValue]>, [key, ...rest]: readonly string[]): string {
  for (const [name, value] of members) {
    if (name !== key) continue
    if (value instanceof Map) return textOf(value, rest)
    return typeof value === 'object' ? '' : String(value)
  }
  return ''
}

function shown({ show, textBytes = 0 }: ObjectMember, bytes: Buffer, at: number): MemberValue | undefined {
  if (show === 'text') {
    const text = bytes.toString('utf8', at, at + textBytes).replace(/\0.*$/su, '')
    return text === '' ? undefined : text
  }
  const number = bytes.readBigUInt64LE(at)
  return SHOWN[show](number)
}

const small = (number: bigint): number => Number(BigInt.asUintN(32, number))
const one =
  (names: readonly string[]) =>
  (number: bigint): string =>
    names[Number(number)] ?? number.toString()

const bits =
  (names: readonly string[]) =>
  (number: bigint): readonly string[] | undefined => {
    const set = bitsOf(names, number)
    return set.length === 0 ? undefined : set
  }

const SHOWN: Readonly<Record<Exclude<Show, 'text'>, (number: bigint) => MemberValue | undefined>> = {
  value: small,
  number: (number) => small(number) || undefined,
  wide: (number) => number || undefined,
  flag: (number) => number !== 0n,
  initial: (number) => number === 0n || undefined,
  capabilities: bits(CAPABILITY_NAMES),
  secureBits: bits(SECURE_BITS),
  taints: bits(TAINTS),
  programType: one(PROGRAM_TYPES),
  mapType: one(MAP_TYPES),
  perfType: one(PERF_TYPES),
}

const HEX_DIGITS = 16

/** `number`: as the policy's type reads it. */
export function namedArgument(field: string, named: Named, number: bigint): Argument {
  const value = Number(BigInt.asIntN(32, number))
  switch (named) {
    case 'capability': {
      const name = CAPABILITY_NAMES[value] ?? ''
      const members: Members = [['value', value]]
      if (name !== '') members.push(['name', name])
      return { kind: 'struct', field, members, text: name || String(value) }
    }
    case 'capabilitySet': {
      const text = number.toString(16).padStart(HEX_DIGITS, '0')
      return { kind: 'string', field, value: text, raw: undefined, truncated: false }
    }
    case 'bpfCommand': {
      const name = BPF_COMMANDS[value]
      if (name === undefined) return { kind: 'number', field, value }
      return { kind: 'string', field, value: name, raw: undefined, truncated: false }
    }
  }
}
