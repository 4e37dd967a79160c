/** Kernel bytes → the texts of a record (tetragon.md §3.2, §3.3, §3.7). Pure functions. */
import { posix } from 'node:path'
import { PROCESS_FLAGS } from '../wire.ts'

/** U+FFFD as its UTF-8 bytes, one character each. */
const REPLACEMENT = '\xef\xbf\xbd'

/** As Go's ToValidUTF8: each run of bytes that are no UTF-8 becomes one U+FFFD. `raw` is set when something was lost. */
export function decodeText(bytes: Buffer, from = 0, to = bytes.length): { text: string; raw: Buffer | undefined } {
  const text = bytes.toString('utf8', from, to)
  if (!text.includes('\uFFFD')) return { text, raw: undefined }
  const raw = Buffer.from(bytes.subarray(from, to))
  // A name may hold a real U+FFFD: then nothing was lost, and it is no part of a run beside it.
  if (Buffer.from(text).equals(raw)) return { text, raw: undefined }
  const pieces = raw.toString('latin1').split(REPLACEMENT)
  const runs = pieces.map((piece) =>
    Buffer.from(piece, 'latin1')
      .toString('utf8')
      .replace(/\uFFFD+/g, '\uFFFD'),
  )
  return { text: runs.join('\uFFFD'), raw }
}

/** The name given to execve, made absolute and clean, symlinks left alone. */
export function binaryPath(filename: string, cwd: string): string {
  if (filename === '') return ''
  const joined = filename.startsWith('/') ? filename : `${cwd === '' ? '/' : cwd}/${filename}`
  return posix.normalize(joined)
}

/** argv[1..] joined by spaces; an element with a space stands in quotes, unescaped. */
export function joinArguments(argv: Buffer): string {
  if (argv.length === 0) return ''
  const ended = argv[argv.length - 1] === 0 ? argv.subarray(0, -1) : argv
  const words = decodeText(ended).text.split('\0')
  let text = ''
  for (const [i, word] of words.slice(1).entries()) {
    const spaced = word.includes(' ')
    if (i > 0 || spaced) text += ' '
    text += spaced ? `"${word}"` : word
  }
  return text
}

const FLAG_WORDS = Object.entries(PROCESS_FLAGS)

/** Flag bits → Tetragon's words in Tetragon's order. */
export function flagWords(flags: number): string {
  const words: string[] = []
  for (const [word, bit] of FLAG_WORDS) if ((flags & bit) !== 0) words.push(word)
  return words.join(' ')
}

/** First 31 characters of the container id in the last component of a cgroup path; '' for none. */
export function containerId(cgroup: string): string {
  const name = cgroup.slice(cgroup.lastIndexOf('/') + 1)
  if (name.endsWith('.service')) return ''
  const afterColon = name.slice(name.lastIndexOf(':') + 1)
  const id = afterColon.slice(afterColon.lastIndexOf('-') + 1)
  return id.length >= 64 ? id.slice(0, 31) : ''
}

/** Standard base64 of `<node>:<ktime>:<pid>` (tetragon.md §3.1). */
export function execId(node: string, startNs: bigint, pid: number): string {
  return Buffer.from(`${node}:${startNs}:${pid}`).toString('base64')
}
