/** Faults that the YAML library finds, as sentences: one for a mistake, at the character to change. */
import { CST } from 'yaml'
import type { YAMLParseError, YAMLWarning } from 'yaml'
import { show } from './problems.ts'

type Token = CST.Token
type Fault = Pick<YAMLParseError | YAMLWarning, 'code' | 'message' | 'pos'>

export interface SyntaxFault {
  readonly offset: number
  readonly message: string
}

// The library quotes unexpected text at any length.
const MAX_QUOTED = 160
/** `[section]` alone on a line, near the beginning: TOML, as for Vector, or the classic format of Fluent Bit. */
const SECTION = /^\[{1,2}[A-Za-z][\w.-]*\]{1,2}[ \t]*\r?$/m
const NEAR_BEGINNING = 4096
/** Further faults are not checked for tabs, because each may be in a line of a megabyte. */
const MOST_FAULTS = 100

/**
 * The first fault, as a sentence: the others are mostly consequences of it. All lines with tabs are counted, because each must be changed.
 * `faults` is not empty.
 */
export function syntaxFault(faults: readonly Fault[], tokens: readonly Token[], text: string): SyntaxFault {
  const [first] = faults.toSorted((a, b) => a.pos[0] - b.pos[0])
  if (first === undefined) return { offset: 0, message: 'YAML syntax error' }
  const section = SECTION.exec(text.slice(0, NEAR_BEGINNING))
  if (section !== null) {
    return {
      offset: section.index,
      message: 'expected YAML, got a [section] as in TOML or INI: write "key: value"',
    }
  }
  const offset = first.pos[0]
  if (/\r(?!\n)/.test(text) && !text.includes('\n'))
    return { offset, message: 'expected lines that end with LF, got CR alone: convert it, such as with tr "\\r" "\\n"' }
  if (/^[ \t]*\/[/*]/.test(text.slice(text.lastIndexOf('\n', offset - 1) + 1)))
    return { offset, message: 'expected # before a comment, got // or /*' }
  const found = indentation(first, text) ?? missingColon(first, text) ?? { offset, message: inPlainWords(first, text) }
  const tab = tabAt(text, found.offset)
  if (tab === undefined) return unclosed(first, tokens) ?? found
  const tabs = faults.slice(0, MOST_FAULTS).map(({ pos }) => tabAt(text, pos[0]))
  const more = new Set(tabs.filter((at) => at !== undefined && at !== tab)).size
  const also = more === 0 ? '' : ` (also on ${more} more line${more === 1 ? '' : 's'})`
  return { offset: tab, message: `tab used for indentation: YAML allows only spaces${also}` }
}

/** The white space at the beginning of the line of `offset`. */
function indentOf(text: string, offset: number): { readonly offset: number; readonly text: string } {
  const start = text.lastIndexOf('\n', offset - 1) + 1
  return { offset: start, text: /^[ \t]*/.exec(text.slice(start, start + MAX_QUOTED))?.[0] ?? '' }
}

/** Where a tab is in the indentation of the line of `offset`. */
function tabAt(text: string, offset: number): number | undefined {
  const indent = indentOf(text, offset)
  const tab = indent.text.indexOf('\t')
  return tab < 0 ? undefined : indent.offset + tab
}

/** A quote or bracket that is not closed is noticed at the end of the file, or where the next key begins. */
function unclosed({ code, message, pos }: Fault, tokens: readonly Token[]): SyntaxFault | undefined {
  const quote = /^Missing closing (["'])quote/.exec(message)?.[1]
  if (quote !== undefined) {
    const open = around(pos[0], tokens, ({ type }) => type.endsWith('-quoted-scalar'))
    return open && { offset: open.offset, message: `the quote ${quote} that opens here is never closed` }
  }
  const bracket = /\bend with a? ?([\]}])/.exec(message)?.[1]
  if (bracket === undefined || (code !== 'BAD_INDENT' && code !== 'MISSING_CHAR')) return undefined
  const open = around(pos[0], tokens, (token) => token.type === 'flow-collection' && !isClosed(token))
  const start = bracket === ']' ? '[' : '{'
  return open && { offset: open.offset, message: `the bracket ${start} that opens here is never closed` }
}

function isClosed(token: CST.FlowCollection): boolean {
  return token.end.some(({ type }) => type === 'flow-map-end' || type === 'flow-seq-end')
}

/** The innermost token of a kind that begins before `offset`, looked for from the end. */
function around(offset: number, tokens: readonly Token[], is: (token: Token) => boolean): Token | undefined {
  let found: Token | undefined
  const look = (token: Token | null | undefined): void => {
    if (token !== null && token !== undefined && token.offset <= offset && is(token)) found = token
  }
  for (const token of tokens) {
    if (token.type !== 'document') continue
    look(token.value)
    CST.visit(token, ({ key, value }) => {
      look(key)
      look(value)
    })
  }
  return found
}

/** Entries of one mapping or list that do not begin at the same column, and a line below a finished value. */
function indentation({ code, message, pos }: Fault, text: string): SyntaxFault | undefined {
  const offset = pos[0]
  if (message === 'Sequence item without - indicator') {
    return { offset, message: 'expected "- " before each item of this list, or less indentation' }
  }
  if (code === 'BAD_INDENT' && message.startsWith('All ')) {
    const what = message.startsWith('All sequence') ? 'items of this list' : 'keys of this mapping'
    const { offset: start, text: spaces } = indentOf(text, offset)
    return { offset: start + spaces.length, message: `wrong indentation: all ${what} must begin at the same column` }
  }
  if (code !== 'BLOCK_AS_IMPLICIT_KEY') return undefined
  const value = text.slice(offset).split(/:(?:\s|$)/, 1)[0] ?? ''
  const lastLine = value.lastIndexOf('\n')
  if (lastLine < 0) {
    return { offset, message: `a second ": " on one line: put the value in quotes, or the key on a line of its own` }
  }
  const column = value.length - lastLine - value.slice(lastLine).trimStart().length
  return {
    offset: offset + lastLine + column,
    message: 'wrong indentation: the key on the line above already has a value, so no keys can follow below it',
  }
}

/** A line without colon among keys. */
function missingColon({ code, pos }: Fault, text: string): SyntaxFault | undefined {
  if (code !== 'MULTILINE_IMPLICIT_KEY' && code !== 'MISSING_CHAR') return undefined
  const line = /^[^\r\n]*/.exec(text.slice(pos[0]))?.[0].trimEnd() ?? ''
  if (!/^[\w.-]+(?:[ \t=:]\S.*)?$/.test(line)) return undefined
  const [key = '', rest = ''] = line.split(/[ \t=:]+(.*)/, 2)
  return {
    offset: pos[0],
    message: `expected "key: value", got ${show(line)}: write ${show(`${key}: ${rest}`.trim())}`,
  }
}

/** The other faults. If we have no words for one, those of the library are used, on one line, without position. */
function inPlainWords({ code, message, pos }: Fault, text: string): string {
  const line = (message.split(/[\r\n]/)[0] ?? '').replace(/ at line \d+, column \d+:?$/, '').slice(0, MAX_QUOTED)
  const words = line.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '?').replace(/[\s:.]+$/, '')
  if (code === 'TAG_RESOLVE_FAILED') return `YAML tag is not supported: ${words.replace(/^Unresolved tag: /, '')}`
  if (words.includes('header includes extra characters: >')) return 'a text cannot begin with >: put it in quotes'
  if (code === 'BAD_SCALAR_START') return `a text cannot begin with ${text.charAt(pos[0])}: put it in quotes`
  if (code === 'BAD_DQ_ESCAPE') {
    const escape = words.replace(/^Invalid escape sequence /, '')
    return `${escape} has no meaning in double quotes: write \\${escape}, or use single quotes`
  }
  if (words === 'Unexpected scalar at node end') return 'text after the end of a value: put the whole value in quotes'
  if (words.startsWith('Unexpected flow-')) return 'one bracket too many here: remove it'
  return `YAML syntax: ${words}`
}
