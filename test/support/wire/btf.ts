/**
 * Reads the BTF section of a BPF object file: structs with their members, enums, variables; only the parts that a comparison of layouts needs.
 * Format: the kernel's Documentation/bpf/btf.rst; little endian only.
 */
import { readFileSync } from 'node:fs'

export interface BtfMember {
  /** Bytes from the start of the struct. */
  readonly offset: number
  readonly sizeBytes: number
  /** Elements of an array member, 1 for others. */
  readonly count: number
}

export interface BtfStruct {
  readonly sizeBytes: number
  readonly members: ReadonlyMap<string, BtfMember>
}

export interface Btf {
  readonly structs: ReadonlyMap<string, BtfStruct>
  /** Names and values in the order of the declaration. */
  readonly enums: ReadonlyMap<string, ReadonlyMap<string, number>>
  readonly variables: ReadonlyMap<string, { readonly sizeBytes: number; readonly count: number }>
}

interface RawType {
  readonly name: string
  readonly kind: number
  readonly count: number
  readonly kindFlag: boolean
  /** Size in bytes, or another type's number. */
  readonly value: number
  /** Offset of the kind-specific data. */
  readonly at: number
}

const INT = 1
const POINTER = 2
const ARRAY = 3
const STRUCT = 4
const UNION = 5
const ENUM = 6
const FORWARD = 7
const TYPEDEF = 8
const VOLATILE = 9
const CONST = 10
const RESTRICT = 11
const FUNC = 12
const FUNC_PROTO = 13
const VAR = 14
const DATASEC = 15
const FLOAT = 16
const DECL_TAG = 17
const TYPE_TAG = 18
const ENUM64 = 19
const SIZED = [INT, STRUCT, UNION, ENUM, ENUM64, FLOAT]
const REFERRING = [TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG, VAR]

function trailer(kind: number, count: number): number {
  switch (kind) {
    case INT:
    case VAR:
    case DECL_TAG:
      return 4
    case ARRAY:
      return 12
    case STRUCT:
    case UNION:
    case DATASEC:
    case ENUM64:
      return 12 * count
    case ENUM:
    case FUNC_PROTO:
      return 8 * count
    case POINTER:
    case FORWARD:
    case FUNC:
    case FLOAT:
    case TYPEDEF:
    case VOLATILE:
    case CONST:
    case RESTRICT:
    case TYPE_TAG:
      return 0
    default:
      throw new Error(`BTF kind ${kind} is not supported by this reader`)
  }
}

const text = (bytes: Buffer, at: number): string => bytes.toString('utf8', at, bytes.indexOf(0, at))

/** The bytes of a section of a 64-bit little-endian ELF file. */
export function elfSection(file: Buffer, name: string): Buffer {
  if (file.toString('latin1', 0, 6) !== '\x7fELF\x02\x01') throw new Error('expected a 64-bit little-endian ELF file')
  const table = Number(file.readBigUInt64LE(0x28))
  const entryBytes = file.readUInt16LE(0x3a)
  const section = (i: number): { name: number; bytes: Buffer } => {
    const at = table + i * entryBytes
    const from = Number(file.readBigUInt64LE(at + 0x18))
    return { name: file.readUInt32LE(at), bytes: file.subarray(from, from + Number(file.readBigUInt64LE(at + 0x20))) }
  }
  const names = section(file.readUInt16LE(0x3e)).bytes
  for (let i = 0; i < file.readUInt16LE(0x3c); i++) {
    const found = section(i)
    if (text(names, found.name) === name) return found.bytes
  }
  throw new Error(`no section ${name}`)
}

/** Throws if the file does not exist: without an object a test must not pass. */
export function readBtf(path: string): Btf {
  let file: Buffer
  try {
    file = readFileSync(path)
  } catch (cause) {
    throw new Error(`cannot read ${path}: expected a built BPF object; run \`make -C bpf\` (make test does)`, { cause })
  }
  return parseBtf(elfSection(file, '.BTF'))
}

export function parseBtf(btf: Buffer): Btf {
  if (btf.readUInt16LE(0) !== 0xeb9f) throw new Error('expected BTF to begin with 0xeb9f')
  const start = btf.readUInt32LE(4)
  const strings = btf.subarray(start + btf.readUInt32LE(16))
  const end = start + btf.readUInt32LE(8) + btf.readUInt32LE(12)
  const types: RawType[] = [{ name: 'void', kind: 0, count: 0, kindFlag: false, value: 0, at: 0 }]
  for (let at = start + btf.readUInt32LE(8); at < end;) {
    const info = btf.readUInt32LE(at + 4)
    const kind = (info >>> 24) & 0x1f
    const count = info & 0xffff
    const name = text(strings, btf.readUInt32LE(at))
    types.push({ name, kind, count, kindFlag: info >>> 31 === 1, value: btf.readUInt32LE(at + 8), at: at + 12 })
    at += 12 + trailer(kind, count)
  }
  return collect(btf, strings, types)
}

function collect(btf: Buffer, strings: Buffer, types: readonly RawType[]): Btf {
  const typeOf = (id: number): RawType => {
    const type = types[id]
    if (type === undefined) throw new Error(`BTF names type ${id}, and has ${types.length}`)
    return type
  }
  const measure = (id: number): { sizeBytes: number; count: number } => {
    const type = typeOf(id)
    if (SIZED.includes(type.kind)) return { sizeBytes: type.value, count: 1 }
    if (type.kind === POINTER) return { sizeBytes: 8, count: 1 }
    if (REFERRING.includes(type.kind)) return measure(type.value)
    if (type.kind !== ARRAY) return { sizeBytes: 0, count: 1 }
    const count = btf.readUInt32LE(type.at + 8)
    return { sizeBytes: measure(btf.readUInt32LE(type.at)).sizeBytes * count, count }
  }
  const structs = new Map<string, BtfStruct>()
  const enums = new Map<string, Map<string, number>>()
  const variables = new Map<string, { sizeBytes: number; count: number }>()
  for (const type of types) {
    const members = (bytes: number): number[] => Array.from({ length: type.count }, (_, i) => type.at + i * bytes)
    if (type.kind === STRUCT && type.name !== '') {
      const entries = members(12).map((at): [string, BtfMember] => {
        const bits = btf.readUInt32LE(at + 8)
        const offset = (type.kindFlag ? bits & 0xff_ffff : bits) / 8
        return [text(strings, btf.readUInt32LE(at)), { offset, ...measure(btf.readUInt32LE(at + 4)) }]
      })
      structs.set(type.name, { sizeBytes: type.value, members: new Map(entries) })
    } else if (type.kind === ENUM) {
      const entries = members(8).map((at): [string, number] => [
        text(strings, btf.readUInt32LE(at)),
        btf.readUInt32LE(at + 4),
      ])
      enums.set(type.name, new Map(entries))
    } else if (type.kind === VAR) {
      variables.set(type.name, measure(type.value))
    }
  }
  return { structs, enums, variables }
}
