/** Kernel bytes → the texts of a record (docs/reference/records.md). Pure functions. */
import { posix } from 'node:path'
import { PROCESS_FLAGS } from './flags.ts'

/** U+FFFD as its UTF-8 bytes, one character each. */
const REPLACEMENT = '\xef\xbf\xbd'

/** Go's ToValidUTF8: each run of invalid bytes becomes one U+FFFD. `raw` is set if there was one. */
export function decodeText(bytes: Buffer, from = 0, to = bytes.length): { text: string; raw: Buffer | undefined } {
  const text = bytes.toString('utf8', from, to)
  if (!text.includes('\uFFFD')) return { text, raw: undefined }
  const raw = Buffer.from(bytes.subarray(from, to))
  // A real U+FFFD in the input is valid and is not merged with a neighbouring run.
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
 * A copy of the text with its own memory. V8's slices keep the whole source text alive, and concatenations keep their parts; then the size
 * estimate of a process would be wrong.
 */
export function own(text: string): string {
  return text.length < SHORTEST_PART ? text : Buffer.from(text).toString()
}

/** V8 copies shorter texts anyway (SlicedString::kMinLength, ConsString::kMinLength). */
const SHORTEST_PART = 13

/**
 * The binary of an exec. `filename`: the name given to execve; `path`: the file as the kernel resolved it, '' if unknown.
 *
 * A name that cannot mislead is used, cleaned, with its symlinks: absolute, without `..` (after a symlink it leads elsewhere than the text),
 * no descriptor. For others `path` is used; also for relative names, because a process that shares the working directory may have changed it
 * meanwhile. If `path` is unknown, the name stays as spelled, so that it cannot be taken for another file.
 */
export function binaryPath(filename: string, path: string): string {
  const clean = posix.normalize(filename)
  const misleads = !filename.startsWith('/') || clean.startsWith('/dev/fd/') || /\/\.\.(?:\/|$)/.test(filename)
  if (!misleads) return clean
  return path === '' ? filename : path
}

/**
 * `arguments`: argv[1..] joined by spaces; an element with a space is quoted, without escapes. `argv`: argv[0] alone if the others follow
 * from `arguments`, to save memory, else all with NUL between.
 */
export function readArguments(bytes: Buffer): { readonly argv: string; readonly arguments: string } {
  if (bytes.length === 0) return { argv: '', arguments: '' }
  const { text } = decodeText(bytes.at(-1) === 0 ? bytes.subarray(0, -1) : bytes)
  const words = text.split('\0').slice(1)
  const quoted = words.map((word) => (word.includes(' ') ? `"${word}"` : word))
  const isExact = quoted.every((word, i) => word === words[i]) && (words.length !== 1 || words[0] !== '')
  const first = text.slice(0, Math.max(0, text.indexOf('\0')))
  // A quoted element has a space before it, also if it is the first.
  return {
    argv: words.length === 0 || !isExact ? text : own(first),
    arguments: own((words[0]?.includes(' ') === true ? ' ' : '') + quoted.join(' ')),
  }
}

const FLAG_WORDS = Object.entries(PROCESS_FLAGS)

/** Cache by flags: nearly all processes have one of five combinations. */
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

/** Standard base64 of `<node>:<ktime>:<pid>` (docs/reference/records.md). */
export function execId(node: string, startNs: bigint, pid: number): string {
  return Buffer.from(`${node}:${startNs}:${pid}`).toString('base64')
}

/** Start time and pid of an `exec_id`; undefined for another text. */
export function parseExecId(id: string): { readonly startNs: bigint; readonly pid: number } | undefined {
  const [, startNs, pid] = /:(\d{1,20}):(\d{1,10})$/.exec(Buffer.from(id, 'base64').toString()) ?? []
  return startNs === undefined ? undefined : { startNs: BigInt(startNs), pid: Number(pid) }
}
