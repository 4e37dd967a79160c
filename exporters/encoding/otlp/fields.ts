/** Reads protobuf messages field by field: records of a spool, requests in Kafka, replies of a sink. */

export interface Field {
  readonly number: number
  /** 0 for a field with bytes. */
  readonly value: bigint
  /** Present for wire type 2 only. */
  readonly bytes: Buffer | undefined
}

const NONE = Buffer.alloc(0)

/**
 * Returns the top-level fields of a message; empty if it is absent. Throws RangeError if it is truncated or not protobuf. If it `isCut`, the bytes of
 * the last field may be incomplete.
 */
export function fieldsOf(message: Uint8Array = NONE, isCut: boolean = false): Field[] {
  const buffer = Buffer.from(message.buffer, message.byteOffset, message.length)
  const found: Field[] = []
  let at = 0
  const varint = (): bigint => {
    let value = 0n
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = buffer.readUInt8(at++)
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
    throw new RangeError('expected a varint of at most 10 bytes')
  }
  while (at < buffer.length) {
    const tag = varint()
    const number = Number(tag >> 3n)
    const wire = Number(tag & 7n)
    let value = 0n
    let bytes: Buffer | undefined
    if (wire === 0) value = varint()
    else if (wire === 1) {
      value = buffer.readBigUInt64LE(at)
      at += 8
    } else if (wire === 2) {
      const length = Number(varint())
      if (at + length > buffer.length && !isCut) throw new RangeError(`expected ${length} bytes in field ${number}`)
      bytes = buffer.subarray(at, at + length)
      at += length
    } else if (wire === 5) {
      value = BigInt(buffer.readUInt32LE(at))
      at += 4
    } else throw new RangeError(`expected a field of wire type 0, 1, 2 or 5, got ${wire}`)
    found.push({ number, value, bytes })
  }
  return found
}

/** The first field of this number. */
export function one(fields: readonly Field[], number: number): Field | undefined {
  return fields.find((field) => field.number === number)
}

/** The bytes of a field as text; '' without. */
export function textOf(field: Field | undefined): string {
  return field?.bytes?.toString('utf8') ?? ''
}
