/** Frames of stacks as messages. */
import { WireType } from '@bufbuild/protobuf/wire'
import type { BinaryWriter } from '@bufbuild/protobuf/wire'
import type { StackFrame } from '../../../exporters/contract/event.ts'
import { StackTraceEntrySchema } from '../../proto/tetragon/events_pb.js'

const { address: ADDRESS, offset: OFFSET, symbol: SYMBOL, module: MODULE } = StackTraceEntrySchema.field

/** `field`: undefined for a message without stacks, of which there are no frames. */
export function writeStack(out: BinaryWriter, field: number | undefined, frames: readonly StackFrame[] = []): void {
  if (field === undefined) return
  for (const { address, offset, symbol, module } of frames) {
    out.tag(field, WireType.LengthDelimited).fork()
    if (address !== 0n) out.tag(ADDRESS.number, WireType.Varint).uint64(address)
    if (offset !== 0) out.tag(OFFSET.number, WireType.Varint).uint64(offset)
    if (symbol !== '') out.tag(SYMBOL.number, WireType.LengthDelimited).string(symbol)
    if (module !== '') out.tag(MODULE.number, WireType.LengthDelimited).string(module)
    out.join()
  }
}
