/**
 * Prints arguments. A new kind of `Argument` needs a case in each function, and in `redactArgument`; a new type of a known kind needs nothing.
 */
import type { Aggregate, Argument, BytesArgument, FileArgument, MemberValue } from '../contract/event.ts'
import { bytesText } from '../filtering/redact-argument.ts'
import type { ByteWriter } from '../runtime/byte-writer.ts'
import { permission } from './files/permission.ts'

const ascii = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'latin1'))
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
const OPEN = 0x7b
const CLOSE = 0x7d
const COMMA = 0x2c
const COLON = 0x3a

/** By mode: the `permission` of a file and the end of its object. */
const PERMISSIONS = new Map<number, Uint8Array>()

/** An argument as JSON up to its value. It only depends on the field, and on whether a file has a name. */
export function openingOf(argument: Argument): string {
  const { kind, field } = argument
  if (kind === 'file') return `{"${field}":{${isNamed(argument) ? '"path":' : ''}`
  const isObject = kind === 'struct' || kind === 'error' || field === 'truncated_bytes_arg'
  return `{"${field}":${isObject ? '{' : ''}`
}

/** Whether a file has a path; false for other arguments. */
export function isNamed(argument: Argument): boolean {
  if (argument.kind !== 'file') return false
  const { utf8 } = argument
  return utf8 === undefined ? argument.path !== '' : utf8.to > utf8.from
}

/** Writes an argument as JSON after its opening, without its last `}`, so that a label can follow. */
export function writeValue(out: ByteWriter, argument: Argument): void {
  switch (argument.kind) {
    case 'file':
      writeFile(out, argument)
      return
    case 'number':
      out.integer(argument.value)
      return
    case 'wide':
    case 'string':
      out.json(argument.value.toString())
      return
    case 'bytes':
      writeBytes(out, argument)
      return
    case 'struct':
      writeMembers(out, argument.members)
      out.byte(CLOSE)
      return
    case 'error':
      if (argument.message !== '') {
        out.bytes(MESSAGE)
        out.json(argument.message)
      }
      out.byte(CLOSE)
      return
    default:
      argument satisfies never
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
    out.json(base64)
    return
  }
  if (base64 !== '') {
    out.bytes(BYTES)
    out.json(base64)
    out.byte(COMMA)
  }
  out.bytes(ORIGINAL_SIZE)
  out.json(size.toString())
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

function writeFile(out: ByteWriter, file: FileArgument): void {
  const { utf8, unresolved, unstable, mode } = file
  const permissions = permissionOf(mode & 0xffff)
  const flags = unresolved || unstable ? (FLAGS[(unresolved ? 1 : 0) + (unstable ? 2 : 0)] ?? NO_FLAGS) : NO_FLAGS
  if (isNamed(file)) {
    if (utf8 === undefined || !out.plainJson(utf8.bytes, utf8.from, utf8.to)) out.json(file.path)
    if (flags !== NO_FLAGS) out.bytes(flags)
    out.bytes(permissions)
    return
  }
  if (flags !== NO_FLAGS) out.bytes(flags.subarray(1))
  out.bytes(flags !== NO_FLAGS ? permissions : permissions.subarray(1))
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
