/**
 * Prints arguments. A new kind of `Argument` needs a case in each function, and in `redactArgument`; a new type of a known kind needs nothing.
 */
import type {
  Aggregate,
  Argument,
  BytesArgument,
  FileArgument,
  MemberValue,
  StructArgument,
} from '../contract/event.ts'
import { bytesText } from '../filtering/redact-argument.ts'
import type { ByteWriter } from '../runtime/byte-writer.ts'
import { permission } from './files/permission.ts'

const ascii = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'latin1'))
const PATH = '"path":'
const FILE = `{${PATH}`
/** By unresolved + 2 × unstable. */
const FLAG_WORDS = ['', 'unresolvedPathComponents', 'unstablePath', 'unresolvedPathComponents unstablePath']
/** FLAG_WORDS as JSON; a leading comma is removed. */
const FLAGS = FLAG_WORDS.map((words) => ascii(words === '' ? '' : `,"flags":"${words}"`))
const NO_FLAGS = ascii('')
const MESSAGE = ascii('"Message":')
const BYTES = ascii('"bytes_arg":')
const ORIGINAL_SIZE = ascii('"orig_size":')
const TRUE = ascii('true')
const FALSE = ascii('false')
const QUOTE = 0x22
const OPEN = 0x7b
const CLOSE = 0x7d
const COMMA = 0x2c
const COLON = 0x3a

/** By field: from `{` to where the value begins. */
const OPENINGS = new Map<string, Uint8Array>()
/** By mode: the `permission` of a file and the end of its object. */
const PERMISSIONS = new Map<number, Uint8Array>()

/** Writes an argument as JSON without its last `}`, so that a label can follow. */
export function writeArgument(out: ByteWriter, argument: Argument): void {
  switch (argument.kind) {
    case 'file':
      writeFile(out, argument)
      return
    case 'number':
      out.bytes(opening(argument.field, ''))
      out.integer(argument.value)
      return
    case 'wide':
      out.bytes(opening(argument.field, '"'))
      out.utf8(argument.value.toString())
      out.byte(QUOTE)
      return
    case 'string':
      out.bytes(opening(argument.field, ''))
      out.json(argument.value)
      return
    case 'bytes':
      writeBytes(out, argument)
      return
    case 'struct':
      writeStruct(out, argument)
      return
    case 'error':
      out.bytes(opening(argument.field, '{'))
      if (argument.message !== '') {
        out.bytes(MESSAGE)
        out.json(argument.message)
      }
      out.byte(CLOSE)
  }
}

/** An argument as plain text, for OTLP attributes and compact lines. A file is its path. */
export function argumentText(argument: Argument): string {
  switch (argument.kind) {
    case 'file':
      return argument.path
    case 'error':
      return argument.message
    case 'struct':
      return argument.text
    case 'string':
      return argument.value
    case 'bytes':
      return bytesText(argument.value)
    case 'number':
    case 'wide':
      return argument.value.toString()
  }
}

/** The `flags` of a file: space-separated words, '' for none. */
export function fileFlags({ unresolved, unstable }: Pick<FileArgument, 'unresolved' | 'unstable'>): string {
  return FLAG_WORDS[(unresolved ? 1 : 0) + (unstable ? 2 : 0)] ?? ''
}

function writeBytes(out: ByteWriter, { field, value, size }: BytesArgument): void {
  const base64 = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64')
  if (field === 'bytes_arg') {
    out.bytes(opening(field, ''))
    out.json(base64)
    return
  }
  out.bytes(opening(field, '{'))
  if (base64 !== '') {
    out.bytes(BYTES)
    out.json(base64)
    out.byte(COMMA)
  }
  out.bytes(ORIGINAL_SIZE)
  out.json(size.toString())
  out.byte(CLOSE)
}

function writeStruct(out: ByteWriter, { field, members }: StructArgument): void {
  out.bytes(opening(field, '{'))
  writeMembers(out, members)
  out.byte(CLOSE)
}

/** Writes an object without its braces. */
export function writeMembers(out: ByteWriter, members: Iterable<readonly [string, MemberValue]>): void {
  let comma = false
  for (const [key, value] of members) {
    if (comma) out.byte(COMMA)
    comma = true
    out.json(key)
    out.byte(COLON)
    writeMember(out, value)
  }
}

function writeMember(out: ByteWriter, value: MemberValue): void {
  if (typeof value === 'number') out.integer(value)
  else if (typeof value === 'boolean') out.bytes(value ? TRUE : FALSE)
  else if (typeof value !== 'object') out.json(value.toString())
  else if (value instanceof Map) {
    out.byte(OPEN)
    writeMembers(out, value)
    out.byte(CLOSE)
  } else {
    out.bytes(ascii(JSON.stringify(value)))
  }
}

function writeFile(out: ByteWriter, { field, path, unresolved, unstable, mode }: FileArgument): void {
  const start = opening(field, FILE)
  const permissions = permissionOf(mode & 0xffff)
  const flags = unresolved || unstable ? (FLAGS[(unresolved ? 1 : 0) + (unstable ? 2 : 0)] ?? NO_FLAGS) : NO_FLAGS
  if (path !== '') {
    out.bytes(start)
    out.json(path)
    if (flags !== NO_FLAGS) out.bytes(flags)
    out.bytes(permissions)
    return
  }
  out.bytes(start.subarray(0, -PATH.length))
  if (flags !== NO_FLAGS) out.bytes(flags.subarray(1))
  out.bytes(flags !== NO_FLAGS ? permissions : permissions.subarray(1))
}

/** `after` only depends on the kind, and each field has one kind, so `field` is enough as key. */
function opening(field: string, after: string): Uint8Array {
  let bytes = OPENINGS.get(field)
  if (bytes === undefined) OPENINGS.set(field, (bytes = ascii(`{"${field}":${after}`)))
  return bytes
}

function permissionOf(mode: number): Uint8Array {
  let bytes = PERMISSIONS.get(mode)
  if (bytes === undefined) PERMISSIONS.set(mode, (bytes = ascii(`,"permission":"${permission(mode)}"}`)))
  return bytes
}

/** Summary of equal calls, for people: `(1000 calls)`, `(1000 calls, 4096 bytes)`. */
export function callsText({ count, bytes }: Aggregate): string {
  const calls = `${count} ${count === 1 ? 'call' : 'calls'}`
  return bytes === undefined ? `(${calls})` : `(${calls}, ${bytes} bytes)`
}
