/** Records of files of JSON lines, also compressed ones (.gz), and of standard input (`-`). */
import { createReadStream } from 'node:fs'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { ExportError, textOf } from '../contract/errors.ts'
import { readLine } from './envelope.ts'
import type { Source } from './source.ts'

/** Longer than any line that an agent writes. */
const MAX_LINE_BYTES = 64 << 20
const LINE_FEED = 0x0a

/** Throws ExportError IO for a file that cannot be read. */
export function fileSource(path: string, stdin: Readable): Source {
  return async function* records() {
    const input = path === '-' ? stdin : createReadStream(path)
    try {
      const bytes = path.endsWith('.gz') ? unzipped(input) : input
      for await (const line of linesOf(bytes)) {
        if (line.length === 0) continue
        yield parse(line, path)
      }
    } catch (error) {
      if (error instanceof ExportError) throw error
      throw new ExportError('IO', `cannot read "${path}": ${textOf(error)}`, error)
    }
  }
}

function parse(line: Buffer, path: string): ReturnType<typeof readLine> | 'unreadable' {
  try {
    return readLine(line.toString('utf8'), path)
  } catch {
    return 'unreadable'
  }
}

function unzipped(input: Readable): Readable {
  const gunzip = createGunzip()
  // A failure of the source ends the loop over `gunzip`, which reports it.
  pipeline(input, gunzip).catch(() => undefined)
  return gunzip
}

async function* linesOf(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let rest: Buffer[] = []
  let length = 0
  for await (const chunk of chunks) {
    let from = 0
    for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, from)) {
      yield Buffer.concat([...rest, chunk.subarray(from, end)])
      rest = []
      length = 0
      from = end + 1
    }
    rest.push(chunk.subarray(from))
    length += chunk.length - from
    if (length > MAX_LINE_BYTES) throw new Error(`expected lines of at most ${MAX_LINE_BYTES} bytes`)
  }
  if (length > 0) yield Buffer.concat(rest)
}
