/**
 * YAML with positions, for files people write: text in, a small tree out, where every node knows its line and column.
 *
 * Bounds, because the text may be anything: 1 MiB, 400,000 tokens, 64 levels, 100 aliases, 200,000 nodes.
 * YAML 1.2 core: `yes` and `on` are texts, `0600` is the decimal 600. No merge keys, no tags of our own.
 */
import { Composer, LineCounter, Lexer, Parser } from 'yaml'
import type { Document } from 'yaml'
import { toTree } from './loading/tree.ts'
import type { MapNode } from './loading/tree.ts'
import type { Position } from './policy.ts'
import { MAX_PROBLEMS, Problems, show } from './problems.ts'

/** Of a policy or config file, in bytes; the biggest sample policy known has 30 KiB. */
export const MAX_FILE_BYTES = 1024 * 1024
// A 1 MiB list of paths has about 250,000; garbage of one-character tokens would take seconds.
const MAX_TOKENS = 400_000
const MAX_DEPTH = 64
// The library quotes what it did not expect, however long.
const MAX_QUOTED = 160

/**
 * Parses one YAML document whose root is a mapping; anything else is a problem. `what` names the file's kind in
 * messages (`policy`, `config`). Returns undefined after adding at least one problem. Never throws.
 */
export function parseYaml(text: string, what: string, problems: Problems): MapNode | undefined {
  const start = { line: 1, col: 1 }
  if (text.length > MAX_FILE_BYTES) {
    problems.add(start, `${what} is too large: expected at most ${MAX_FILE_BYTES} bytes, got ${text.length}`)
    return undefined
  }
  const lines = new LineCounter()
  // Parser.parse would do it; fed token by token, nobody does.
  lines.addNewLine(0)
  const position = (offset: number): Position => {
    const { line, col } = lines.linePos(Math.min(offset, text.length))
    return { line: Math.max(1, line), col: Math.max(1, col) }
  }
  if (!onlyPrintable(text, problems)) return undefined
  const doc = compose(text, lines, position, problems)
  if (doc === undefined) return undefined
  for (const fault of [...doc.errors, ...doc.warnings].slice(0, MAX_PROBLEMS * 2)) {
    problems.add(position(fault.pos[0]), syntaxSentence(fault.code, fault.message))
  }
  if (problems.count > 0) return undefined
  if (doc.contents === null) {
    problems.add(start, `${what} file is empty: expected a YAML mapping`)
    return undefined
  }
  const root = toTree(doc, position, problems)
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

/** The first document, once tokens, depth and document count are in bounds. */
function compose(
  text: string,
  lines: LineCounter,
  position: (offset: number) => Position,
  problems: Problems,
): Document.Parsed | undefined {
  const parser = new Parser(lines.addNewLine)
  const tokens = []
  let lexemes = 0
  for (const lexeme of new Lexer().lex(text)) {
    for (const token of parser.next(lexeme)) tokens.push(token)
    // The composer is recursive; checked here, a million brackets cannot overflow its stack.
    if (parser.stack.length > MAX_DEPTH * 2) {
      problems.add(position(parser.offset), `YAML is nested deeper than ${MAX_DEPTH} levels`)
      return undefined
    }
    if (++lexemes > MAX_TOKENS) {
      problems.add(
        position(parser.offset),
        `YAML has more than ${MAX_TOKENS} tokens: this does not look like a file ktrail can use`,
      )
      return undefined
    }
  }
  for (const token of parser.end()) tokens.push(token)
  // Duplicate keys are found in toTree: the library's own check is quadratic.
  const composer = new Composer({ version: '1.2', schema: 'core', merge: false, uniqueKeys: false, strict: true })
  let first: Document.Parsed | undefined
  for (const doc of composer.compose(tokens, true, text.length)) {
    if (first === undefined) {
      first = doc
      continue
    }
    problems.add(position(doc.range[0]), 'second YAML document: expected one document a file, split it at the "---"')
    break
  }
  return first
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

/** The library's message as one of ours: its first line, nothing unprintable, no period, no place at its end. */
function syntaxSentence(code: string, message: string): string {
  const line = (message.split(/[\r\n]/)[0] ?? '').replace(/ at line \d+, column \d+:?$/, '').slice(0, MAX_QUOTED)
  const first = line.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '?').replace(/[\s:.]+$/, '')
  if (code === 'TAB_AS_INDENT') return 'tab used for indentation: YAML takes spaces only'
  if (code === 'TAG_RESOLVE_FAILED') return `YAML tag is not supported: ${first}`
  return `YAML syntax: ${first}`
}
