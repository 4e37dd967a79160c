/** Single fields of messages, by the numbers of their descriptors. */
import type { DescMessage } from '@bufbuild/protobuf'
import { WireType } from '@bufbuild/protobuf/wire'
import type { BinaryWriter } from '@bufbuild/protobuf/wire'
import type { Timestamp } from '../../../exporters/contract/event.ts'

/** Number of the field of wrapper messages, and of the seconds of a Timestamp. */
const FIRST = 1
const NANOS = 2

export type Numbers = Readonly<Record<string, number>>

/** Numbers of the fields by their names in the .proto file. */
export function numbersOf({ fields }: DescMessage): Numbers {
  return Object.fromEntries(fields.map((each) => [each.name, each.number]))
}

export function known(field: number | undefined): number {
  if (field === undefined) throw new Error('a field of the event is not in the .proto file')
  return field
}

/** Begins an embedded message; `join` ends it. */
export function open(out: BinaryWriter, field: number | undefined): void {
  out.tag(known(field), WireType.LengthDelimited).fork()
}

export function text(out: BinaryWriter, field: number | undefined, content: string): void {
  if (content !== '') out.tag(known(field), WireType.LengthDelimited).string(content)
}

/** A UInt32Value or BoolValue. */
export function wrapped(out: BinaryWriter, field: number | undefined, content: number | undefined): void {
  if (content === undefined) return
  open(out, field)
  if (content !== 0) out.tag(FIRST, WireType.Varint).uint32(content)
  out.join()
}

export function time(out: BinaryWriter, field: number | undefined, { sec, nsec }: Timestamp): void {
  open(out, field)
  if (sec !== 0) out.tag(FIRST, WireType.Varint).int64(sec)
  if (nsec !== 0) out.tag(NANOS, WireType.Varint).int32(nsec)
  out.join()
}
