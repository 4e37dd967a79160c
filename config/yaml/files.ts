import { isUtf8 } from 'node:buffer'
import { readNamedFile } from '../base/named-file.ts'
import { whyUnreadable } from '../base/unreadable.ts'
import type { Problem } from './problems.ts'
import { MAX_FILE_BYTES } from './yaml.ts'

export type TextResult = { readonly text: string } | { readonly problems: readonly Problem[] }

/**
 * Reads a policy or config file: UTF-8, at most 1 MiB. Returns a failure (no such file, no permission, not a regular file, too large, no answer,
 * not UTF-8) as one problem. Never throws.
 */
export async function readTextFile(file: string): Promise<TextResult> {
  try {
    return textOf(await readNamedFile(file, MAX_FILE_BYTES), file)
  } catch (error) {
    return refused(file, `cannot read the file: ${whyUnreadable(error)}`)
  }
}

/** `readTextFile` of standard input, whose problems name the file `-`. */
export async function readTextInput(input: AsyncIterable<Buffer>): Promise<TextResult> {
  const chunks: Buffer[] = []
  let room = MAX_FILE_BYTES
  for await (const chunk of input) {
    room -= chunk.length
    if (room < 0) return refused(STDIN, `standard input is larger than ${MAX_FILE_BYTES} bytes`)
    chunks.push(chunk)
  }
  return textOf(Buffer.concat(chunks), STDIN)
}

/** The name of standard input in place of a file. */
export const STDIN = '-'

const refused = (file: string, message: string, line = 0, col = 0): TextResult => ({
  problems: [{ file, line, col, message }],
})

function textOf(bytes: Buffer, file: string): TextResult {
  const text = bytes.toString('utf8')
  if (isUtf8(bytes)) return { text }
  const offset = firstInvalid(bytes, text)
  const before = bytes.subarray(0, offset)
  const line = before.toString('latin1').split('\n').length
  const col = before.toString('utf8', before.lastIndexOf(10) + 1).length + 1
  const byte = (bytes[offset] ?? 0).toString(16).toUpperCase().padStart(2, '0')
  return refused(file, `byte 0x${byte} at offset ${offset} is not UTF-8: save the file as UTF-8`, line, col)
}

/** Decoding replaces invalid bytes by U+FFFD, so they begin at the first byte that differs after re-encoding. */
function firstInvalid(bytes: Buffer, decoded: string): number {
  const back = Buffer.from(decoded, 'utf8')
  let offset = 0
  while (offset < bytes.length && bytes[offset] === back[offset]) offset++
  // U+FFFD begins with EF: an invalid sequence with EF differs up to two bytes later.
  while (offset > 0 && (bytes[offset - 1] ?? 0) >= 0x80 && !isUtf8(bytes.subarray(0, offset))) offset--
  return offset
}
