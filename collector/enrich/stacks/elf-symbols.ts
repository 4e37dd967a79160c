/**
 * The functions at offsets in an ELF file. A watched program may have written anything into the file: all
 * reads are bounded, and a malformed file gives no symbols. 64 bits, little endian.
 */
import type { FileHandle } from 'node:fs/promises'

const HEADER_BYTES = 64
const SEGMENT_BYTES = 56
const SECTION_BYTES = 64
const SYMBOL_BYTES = 24
const MAGIC = 0x464c_457f
/** ELFCLASS64, ELFDATA2LSB */
const CLASS_AND_DATA = 0x0102
const PT_LOAD = 1
const SHT_SYMTAB = 2
const SHT_DYNSYM = 11
const STT_FUNC = 2
const STT_GNU_IFUNC = 10
const MAX_SEGMENTS = 128
const MAX_SECTIONS = 4096
/** 700,000 symbols: more than browsers and Node have. */
const MAX_TABLE_BYTES = 16 << 20
/** Read and searched in one turn of the event loop. */
const SLICE_BYTES = SYMBOL_BYTES * 8192
const MAX_NAME_BYTES = 255

interface Section {
  readonly type: number
  readonly offset: number
  readonly size: number
  readonly link: number
}

interface Found {
  readonly value: number
  readonly end: number
  readonly name: number
}

/** Names by offset, without offsets that are in no function with a name. */
export async function symbolsAt(file: FileHandle, offsets: readonly number[]): Promise<Map<number, string>> {
  const names = new Map<number, string>()
  const header = await read(file, 0, HEADER_BYTES)
  if (header.length < HEADER_BYTES || header.readUInt32LE(0) !== MAGIC || header.readUInt16LE(4) !== CLASS_AND_DATA)
    return names
  const addresses = await addressesOf(file, header, offsets)
  const sections = await sectionsOf(file, header)
  const table = sections.find(({ type }) => type === SHT_SYMTAB) ?? sections.find(({ type }) => type === SHT_DYNSYM)
  const texts = sections[table?.link ?? -1]
  if (table === undefined || texts === undefined) return names
  const best = await searchTable(file, table, [...new Set(addresses.values())])
  for (const [offset, address] of addresses) {
    const symbol = best.get(address)
    if (symbol === undefined || symbol.name >= texts.size) continue
    const bytes = await read(file, texts.offset + symbol.name, MAX_NAME_BYTES)
    const end = bytes.indexOf(0)
    names.set(offset, bytes.toString('utf8', 0, end < 0 ? bytes.length : end))
  }
  return names
}

/** The addresses of these offsets of the file in the loaded program. */
async function addressesOf(file: FileHandle, header: Buffer, offsets: readonly number[]): Promise<Map<number, number>> {
  const found = new Map<number, number>()
  const count = Math.min(header.readUInt16LE(56), MAX_SEGMENTS)
  if (header.readUInt16LE(54) !== SEGMENT_BYTES) return found
  const bytes = await read(file, wide(header, 32), count * SEGMENT_BYTES)
  for (let at = 0; at + SEGMENT_BYTES <= bytes.length; at += SEGMENT_BYTES) {
    if (bytes.readUInt32LE(at) !== PT_LOAD) continue
    const start = wide(bytes, at + 8)
    const end = start + wide(bytes, at + 32)
    const address = wide(bytes, at + 16)
    for (const offset of offsets) if (offset >= start && offset < end) found.set(offset, offset - start + address)
  }
  return found
}

async function sectionsOf(file: FileHandle, header: Buffer): Promise<Section[]> {
  const count = Math.min(header.readUInt16LE(60), MAX_SECTIONS)
  if (header.readUInt16LE(58) !== SECTION_BYTES) return []
  const bytes = await read(file, wide(header, 40), count * SECTION_BYTES)
  return Array.from({ length: Math.floor(bytes.length / SECTION_BYTES) }, (_, i) => {
    const at = i * SECTION_BYTES
    return {
      type: bytes.readUInt32LE(at + 4),
      offset: wide(bytes, at + 24),
      size: wide(bytes, at + 32),
      link: bytes.readUInt32LE(at + 40),
    }
  })
}

/**
 * The function of each address. If there are several, such as aliases: the one that begins last, and the first of these. All functions of a
 * hostile file may contain all addresses, so they are not compared one by one.
 */
async function searchTable(
  file: FileHandle,
  table: Section,
  addresses: readonly number[],
): Promise<Map<number, Found>> {
  const best = new Map<number, Found>()
  const sorted = addresses.toSorted((a, b) => a - b)
  const least = sorted[0]
  const most = sorted.at(-1)
  if (least === undefined || most === undefined) return best
  const size = Math.min(table.size, MAX_TABLE_BYTES)
  for (let from = 0; from < size; from += SLICE_BYTES) {
    const bytes = await read(file, table.offset + from, Math.min(SLICE_BYTES, size - from))
    const functions = functionsIn(bytes, least, most)
    // Functions that begin before the address and may contain it, the last one on top.
    const open: Found[] = []
    for (const address of sorted) {
      while ((functions.at(-1)?.value ?? Infinity) <= address) open.push(...functions.splice(-1))
      while ((open.at(-1)?.end ?? Infinity) <= address) open.pop()
      const found = open.at(-1)
      if (found !== undefined && found.value > (best.get(address)?.value ?? -1)) best.set(address, found)
    }
    if (bytes.length < SLICE_BYTES) break
  }
  return best
}

/** Functions of a slice that may contain an address from `least` to `most`: the last first, of aliases the first first. */
function functionsIn(bytes: Buffer, least: number, most: number): Found[] {
  const functions: Found[] = []
  for (let at = 0; at + SYMBOL_BYTES <= bytes.length; at += SYMBOL_BYTES) {
    const type = (bytes[at + 4] ?? 0) & 0xf
    if ((type !== STT_FUNC && type !== STT_GNU_IFUNC) || bytes.readUInt16LE(at + 6) === 0) continue
    const value = wide(bytes, at + 8)
    const end = value + wide(bytes, at + 16)
    if (value <= most && end > least) functions.push({ value, end, name: bytes.readUInt32LE(at) })
  }
  return functions.toSorted((a, b) => b.value - a.value)
}

/** A number of 64 bits. One beyond the integers of JavaScript is no offset in a file. */
const wide = (bytes: Buffer, at: number): number => bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * 0x1_0000_0000

/** Returns less at the end of the file, and nothing at an offset that no file has. */
async function read(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length)
  if (!Number.isSafeInteger(position + length)) return bytes.subarray(0, 0)
  let have = 0
  while (have < length) {
    const { bytesRead } = await file.read(bytes, have, length - have, position + have)
    if (bytesRead === 0) break
    have += bytesRead
  }
  return bytes.subarray(0, have)
}
