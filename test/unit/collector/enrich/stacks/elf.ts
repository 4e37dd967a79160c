/** Makes small ELF files of 64 bits: one loaded segment, symbols, and their names. */

export interface ElfSymbol {
  readonly name: string
  readonly value: number
  readonly size: number
  /** STT_FUNC by default. */
  readonly type?: number
  readonly section?: number
}

const SECTION_BYTES = 64
const SEGMENT_BYTES = 56
const SYMBOL_BYTES = 24
const HEADER_BYTES = 64
const FUNC = 2

/** The segment: `offset` in the file is `address` when it is loaded. `table`: SHT_SYMTAB or SHT_DYNSYM. */
export function elfFile(
  symbols: readonly ElfSymbol[],
  { offset = 0x1000, address = 0x2000, bytes = 0x8000, table = 2 } = {},
): Buffer {
  const names = Buffer.from(`\0${symbols.map(({ name }) => `${name}\0`).join('')}`)
  const entries = Buffer.alloc(SYMBOL_BYTES * symbols.length)
  let nameAt = 1
  symbols.forEach(({ name, value, size, type = FUNC, section = 1 }, i) => {
    const at = i * SYMBOL_BYTES
    entries.writeUInt32LE(nameAt, at)
    entries[at + 4] = 0x10 | type
    entries.writeUInt16LE(section, at + 6)
    entries.writeBigUInt64LE(BigInt(value), at + 8)
    entries.writeBigUInt64LE(BigInt(size), at + 16)
    nameAt += Buffer.byteLength(name) + 1
  })
  const segment = Buffer.alloc(SEGMENT_BYTES)
  segment.writeUInt32LE(1, 0)
  segment.writeBigUInt64LE(BigInt(offset), 8)
  segment.writeBigUInt64LE(BigInt(address), 16)
  segment.writeBigUInt64LE(BigInt(bytes), 32)
  const entriesAt = HEADER_BYTES + SEGMENT_BYTES
  const namesAt = entriesAt + entries.length
  const sectionsAt = namesAt + names.length
  const header = Buffer.alloc(HEADER_BYTES)
  header.write('\x7fELF\x02\x01\x01', 'latin1')
  header.writeBigUInt64LE(BigInt(HEADER_BYTES), 32)
  header.writeBigUInt64LE(BigInt(sectionsAt), 40)
  header.writeUInt16LE(SEGMENT_BYTES, 54)
  header.writeUInt16LE(1, 56)
  header.writeUInt16LE(SECTION_BYTES, 58)
  header.writeUInt16LE(3, 60)
  const section = (type: number, at: number, size: number, link: number): Buffer => {
    const made = Buffer.alloc(SECTION_BYTES)
    made.writeUInt32LE(type, 4)
    made.writeBigUInt64LE(BigInt(at), 24)
    made.writeBigUInt64LE(BigInt(size), 32)
    made.writeUInt32LE(link, 40)
    return made
  }
  return Buffer.concat([
    header,
    segment,
    entries,
    names,
    section(0, 0, 0, 0),
    section(table, entriesAt, entries.length, 2),
    section(3, namesAt, names.length, 0),
  ])
}
