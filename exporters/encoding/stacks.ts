/** Stack traces: in records, and as lines for people. */
import type { HookEvent, StackFrame } from '../contract/event.ts'
import { printable } from '../../config/base/quoting.ts'
import type { ByteWriter } from '../runtime/byte-writer.ts'

const END = 0x5d

/** Writes the frames of a list that `start` begins. As in all records, members that are 0 or empty are left out, and 64 bits are a text. */
export function writeStack(out: ByteWriter, start: Uint8Array, frames: readonly StackFrame[]): void {
  out.bytes(start)
  out.utf8(frames.map(frameJson).join())
  out.byte(END)
}

function frameJson({ address, offset, symbol, module }: StackFrame): string {
  return JSON.stringify({
    ...(address === 0n ? {} : { address: String(address) }),
    ...(offset === 0 ? {} : { offset: String(offset) }),
    ...(symbol === '' ? {} : { symbol: symbol.toWellFormed() }),
    ...(module === '' ? {} : { module: module.toWellFormed() }),
  })
}

export type Paint = (part: 'address' | 'symbol' | 'offset', text: string) => string

/** Lines behind that of the event, as Tetragon's client prints them; '' without stacks. */
export function stackLines({ kernelStack = [], userStack = [] }: HookEvent, paint: Paint): string {
  return linesOf('Kernel', kernelStack, kernelFrame, paint) + linesOf('User', userStack, userFrame, paint)
}

function linesOf(
  title: string,
  frames: readonly StackFrame[],
  text: (frame: StackFrame, paint: Paint) => string,
  paint: Paint,
): string {
  if (frames.length === 0) return ''
  const lines = frames.map(
    (frame) => `\n   ${paint('address', `0x${frame.address.toString(16)}:`)}${text(frame, paint)}`,
  )
  return `\n${title}:${lines.join('')}`
}

function kernelFrame({ symbol, offset }: StackFrame, paint: Paint): string {
  return ` ${paint('symbol', printable(symbol))}+${paint('offset', hex(offset))}`
}

function userFrame({ symbol, module, offset }: StackFrame, paint: Paint): string {
  const name = symbol === '' ? '' : ` ${paint('symbol', printable(symbol))}`
  return `${name} (${printable(module)}+${paint('offset', hex(offset))})`
}

const hex = (offset: number): string => `0x${offset.toString(16)}`
