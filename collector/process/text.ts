/** Kernel bytes → the texts of a record (docs/reference/records.md). Pure functions. */
import { posix } from 'node:path'
import { PROCESS_FLAGS } from './flags.ts'

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

/**
 * The same text with memory of its own. A part of a text keeps all of it alive, and one put together of parts keeps them, and
 * some bytes of tree for each: the estimate of a process must match what its texts weigh.
 */
export function own(text: string): string {
  return text.length < SHORTEST_PART ? text : Buffer.from(text).toString()
}

/** V8 copies shorter parts (SlicedString::kMinLength, ConsString::kMinLength). */
const SHORTEST_PART = 13

/**
 * What an exec ran. `filename` is the name given to execve, `path` the file that it led to as the kernel resolved it, ''
 * when not known.
 *
 * A name is kept, made clean and symlinks left alone, where no text can mislead: absolute, without `..` (behind a symlink
 * it leads elsewhere than in the text), and no descriptor. A relative one is none: who shares the working folder with the
 * process may have changed it meanwhile. Without a path they stay as they were spelled, so that they look like no other.
 */
export function binaryPath(filename: string, path: string): string {
  const clean = posix.normalize(filename)
  const misleads = !filename.startsWith('/') || clean.startsWith('/dev/fd/') || /\/\.\.(?:\/|$)/.test(filename)
  if (!misleads) return clean
  return path === '' ? filename : path
}

/** argv[1..] joined by spaces; an element with a space stands in quotes, unescaped. */
export function joinArguments(argv: Buffer): string {
  if (argv.length === 0) return ''
  const ended = argv[argv.length - 1] === 0 ? argv.subarray(0, -1) : argv
  const words = decodeText(ended).text.split('\0').slice(1)
  const quoted = words.map((word) => (word.includes(' ') ? `"${word}"` : word))
  // An element in quotes has a space before it, also as the first.
  return own((words[0]?.includes(' ') === true ? ' ' : '') + quoted.join(' '))
}

const FLAG_WORDS = Object.entries(PROCESS_FLAGS)

/** Texts of combinations that were seen: there are few, and nearly all processes have one of five. */
const known = new Map<number, string>()
const MAX_KNOWN = 1024

/** Flag bits → Tetragon's words in Tetragon's order. */
export function flagWords(flags: number): string {
  let text = known.get(flags)
  if (text !== undefined) return text
  text = FLAG_WORDS.filter(([, bit]) => (flags & bit) !== 0)
    .map(([word]) => word)
    .join(' ')
  if (known.size < MAX_KNOWN) known.set(flags, text)
  return text
}

/** First 31 characters of the container id in the last component of a cgroup path; '' for none. */
export function containerId(cgroup: string): string {
  const name = cgroup.slice(cgroup.lastIndexOf('/') + 1)
  if (name.endsWith('.service')) return ''
  const afterColon = name.slice(name.lastIndexOf(':') + 1)
  const id = afterColon.slice(afterColon.lastIndexOf('-') + 1)
  return id.length >= 64 ? own(id.slice(0, 31)) : ''
}

/** Standard base64 of `<node>:<ktime>:<pid>` (docs/reference/records.md). */
export function execId(node: string, startNs: bigint, pid: number): string {
  return Buffer.from(`${node}:${startNs}:${pid}`).toString('base64')
}
