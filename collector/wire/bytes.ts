/** Numbers in the kernel's form for maps and constants: little-endian, of fixed width. */

export function u64(value: bigint | number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}

/** A set of bits in words of 64. */
export function bitWords(bits: bigint, bytes: number): Buffer {
  const words = Buffer.alloc(bytes)
  for (let at = 0; at < bytes; at += 8) words.writeBigUInt64LE(BigInt.asUintN(64, bits >> BigInt(8 * at)), at)
  return words
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
