/** Members of a struct argument as a message of Tetragon's .proto, which is given by its descriptor. */
import { ScalarType } from '@bufbuild/protobuf'
import type { DescEnum, DescMessage } from '@bufbuild/protobuf'
import { WireType } from '@bufbuild/protobuf/wire'
import type { BinaryWriter } from '@bufbuild/protobuf/wire'
import type { MemberValue } from '../../../exporters/contract/event.ts'

/** Number of the field in wrapper messages such as UInt32Value. */
const WRAPPED = 1

const enumNumbers = new WeakMap<DescEnum, ReadonlyMap<string, number>>()

/** The number of a name; 0 for an unknown name. */
export function numberOf(names: DescEnum, name: string): number {
  let numbers = enumNumbers.get(names)
  if (numbers === undefined) {
    enumNumbers.set(names, (numbers = new Map(names.values.map((each) => [each.name, each.number]))))
  }
  return numbers.get(name) ?? 0
}

/** Throws Error for a key that the message does not have. */
export function writeMembers(
  out: BinaryWriter,
  message: DescMessage,
  members: Iterable<readonly [string, MemberValue]>,
): void {
  for (const [key, value] of members) {
    const field = message.fields.find(({ name }) => name === key)
    if (field === undefined) throw new Error(`${message.name}.${key} of an argument is not in the .proto file`)
    if (typeof value === 'object') {
      out.tag(field.number, WireType.LengthDelimited).fork()
      if (value instanceof Map && field.message !== undefined) writeMembers(out, field.message, value)
      else if (field.enum !== undefined)
        for (const name of value.values()) out.int32(numberOf(field.enum, String(name)))
      out.join()
    } else if (typeof value === 'string') {
      out.tag(field.number, WireType.LengthDelimited).string(value)
    } else if (field.message === undefined) {
      out.tag(field.number, WireType.Varint)
      if (typeof value === 'bigint') out.uint64(value)
      else out.uint32(Number(value))
    } else {
      out.tag(field.number, WireType.LengthDelimited).fork()
      if (value) {
        out.tag(WRAPPED, WireType.Varint)
        if (typeof value === 'bigint') out.uint64(value)
        else if (field.message.fields[0]?.scalar === ScalarType.INT32) out.int32(Number(value))
        else out.uint32(Number(value))
      }
      out.join()
    }
  }
}
