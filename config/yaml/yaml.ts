/**
 * YAML with positions: text in, a small tree out, where every node has its line and column.
 *
 * Bounds for hostile files: those of LIMITS, 64 levels, 100 aliases.
 * YAML 1.2 core: `yes` and `on` are texts, `0600` is the decimal 600. No merge keys, no tags of our own.
 */
import { Composer, LineCounter, Lexer, Parser } from 'yaml'
import type { Document } from 'yaml'
import { MAX_DEPTH, toTree } from './tree.ts'
import type { MapNode } from './tree.ts'
import type { Position } from './problems.ts'
import { Problems, show } from './problems.ts'
import { syntaxFault } from './syntax.ts'

/** Size of a policy or config file; the biggest known sample policy has 30 KiB. */
export const MAX_FILE_BYTES = 1024 * 1024
/**
 * Policies are parsed while the agent reads the ring, so the cost is bounded by tokens: 2 us each, 50 ms in total. That is 3,000 values; the
 * biggest sample policy has 5,000 tokens. A config is parsed before anything runs.
 */
const LIMITS = {
  policy: { bytes: 256 * 1024, tokens: 16_000, nodes: 16_000 },
  config: { bytes: MAX_FILE_BYTES, tokens: 400_000, nodes: 200_000 },
} as const

export type YamlKind = keyof typeof LIMITS

/**
 * Parses one YAML document whose root is a mapping; anything else is a problem. `what` names the file's kind in
 * messages (`policy`, `config`). Returns undefined after adding at least one problem. Never throws.
 */
export function parseYaml(text: string, what: YamlKind, problems: Problems): MapNode | undefined {
  const start = { line: 1, col: 1 }
  const limits = LIMITS[what]
  const bytes = Buffer.byteLength(text)
  if (bytes > limits.bytes) {
    problems.add(start, `${what} is too large: expected at most ${limits.bytes} bytes, got ${bytes}`)
    return undefined
  }
  const lines = new LineCounter()
  // Parser.parse would do this, but the parser is fed token by token here.
  lines.addNewLine(0)
  const position = (offset: number): Position => {
    const { line, col } = lines.linePos(Math.min(offset, text.length))
    return { line: Math.max(1, line), col: Math.max(1, col) }
  }
  if (!onlyPrintable(text, problems)) return undefined
  const doc = compose(text, lines, position, limits.tokens, problems)
  if (doc === undefined) return undefined
  const root = toTree(doc, position, limits.nodes, problems)
  if (root === undefined) return undefined
  if (root.kind === 'map') return root
  if (root.kind === 'scalar' && root.value === null) {
    problems.add(start, `${what} file is empty: expected a YAML mapping`)
  } else {
    const got = root.kind === 'list' ? 'a list' : `the text ${show(root.source)}`
    problems.add(root.at, `${what} file: expected a YAML mapping, got ${got}`)
  }
  return undefined
}

/** The document, if it is the only one, has no fault and is in bounds of tokens and depth; else a problem is added. */
function compose(
  text: string,
  lines: LineCounter,
  position: (offset: number) => Position,
  maxTokens: number,
  problems: Problems,
): Document.Parsed | undefined {
  const parser = new Parser(lines.addNewLine)
  const tokens = []
  let lexemes = 0
  for (const lexeme of new Lexer().lex(text)) {
    for (const token of parser.next(lexeme)) tokens.push(token)
    // The composer is recursive: check here, so that a million brackets cannot overflow its stack.
    if (parser.stack.length > MAX_DEPTH * 2) {
      problems.add(position(parser.offset), `YAML is nested deeper than ${MAX_DEPTH} levels`)
      return undefined
    }
    if (++lexemes > maxTokens) {
      problems.add(position(parser.offset), `YAML has more than ${maxTokens} tokens: split the file`)
      return undefined
    }
  }
  for (const token of parser.end()) tokens.push(token)
  // Duplicate keys are found in toTree: the library's own check is quadratic.
  const composer = new Composer({ version: '1.2', schema: 'core', merge: false, uniqueKeys: false, strict: true })
  // In garbage each token can be a mistake, and the library makes an Error for each: without (unused) stacks this takes a third of the time.
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  try {
    const [first, second] = composer.compose(tokens, true, text.length)
    const faults = [first, second].flatMap((each) => (each === undefined ? [] : [...each.errors, ...each.warnings]))
    if (faults.length > 0) {
      const { offset, message } = syntaxFault(faults, tokens, text)
      problems.add(position(offset), message)
      return undefined
    }
    const sentence = 'expected one YAML document a file, got a second one: move it to another file'
    if (second !== undefined) problems.add(position(second.range[0]), sentence)
    return first
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}

/** YAML allows no control characters but tab and line ends; binary files stop here, at the first of them. */
function onlyPrintable(text: string, problems: Problems): boolean {
  // Cc: control characters; Cs: half a surrogate pair.
  const bad = /[^\P{Cc}\t\n\r\u0085]|\p{Cs}/u.exec(text)
  if (bad === null) return true
  const head = text.slice(0, bad.index)
  const at = { line: head.split('\n').length, col: bad.index - head.lastIndexOf('\n') }
  const code = text.charCodeAt(bad.index).toString(16).toUpperCase().padStart(4, '0')
  problems.add(at, `character U+${code} is not allowed in YAML: expected a text file`)
  return false
}
