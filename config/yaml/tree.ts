import { isAlias, isMap, isScalar, isSeq } from 'yaml'
import type { Document, ParsedNode } from 'yaml'
import { show, showNumber } from './problems.ts'
import type { Position, Problems } from './problems.ts'

/** A YAML file as a tree: aliases resolved, keys are unique texts, each node has its position. */
export type TreeNode = MapNode | ListNode | ScalarNode

export interface MapNode {
  readonly kind: 'map'
  readonly at: Position
  readonly entries: ReadonlyMap<string, MapEntry>
}

export interface MapEntry {
  readonly keyAt: Position
  readonly value: TreeNode
}

export interface ListNode {
  readonly kind: 'list'
  readonly at: Position
  readonly items: readonly TreeNode[]
}

export interface ScalarNode {
  readonly kind: 'scalar'
  readonly at: Position
  readonly value: string | number | boolean | null
  /** As written, for hints such as `put it in quotes`. */
  readonly source: string
}

const MAX_ALIASES = 100
export const MAX_DEPTH = 64

/**
 * Turns a composed document into a tree. Adds a problem for each duplicate key and key that is not a text, and leaves it out. Adds one for a
 * dangling alias, and for expansion beyond the bounds (the "billion laughs"), and returns undefined.
 */
export function toTree(
  doc: Document.Parsed,
  position: (offset: number) => Position,
  maxNodes: number,
  problems: Problems,
): TreeNode | undefined {
  let nodes = 0
  let aliases = 0
  /** Above zero inside an alias. */
  let expanding = 0
  const anchors = new Map<string, ParsedNode>()
  let stopped = false

  const stop = (at: Position, message: string): void => {
    if (!stopped) problems.add(at, message)
    stopped = true
  }

  /** The library's own lookup walks the whole document for each alias. An anchor is valid from its position on. */
  const note = (node: ParsedNode): void => {
    if (!isAlias(node) && node.anchor !== undefined && expanding === 0) anchors.set(node.anchor, node)
  }

  const convert = (node: ParsedNode | null, at: Position, depth: number): TreeNode => {
    if (stopped || node === null) return empty(at)
    const here = position(node.range[0])
    if (depth > MAX_DEPTH) stop(here, `YAML is nested deeper than ${MAX_DEPTH} levels`)
    if (++nodes > maxNodes) stop(here, `YAML expands to more than ${maxNodes} values`)
    if (stopped) return empty(here)
    if (isAlias(node)) {
      if (++aliases > MAX_ALIASES) stop(here, `more than ${MAX_ALIASES} YAML aliases`)
      const target = stopped ? undefined : anchors.get(node.source)
      if (target === undefined) {
        const quoted = show(`*${node.source}`)
        stop(here, `YAML alias ${quoted} has no anchor before it; if it is a text, put it in quotes`)
        return empty(here)
      }
      expanding++
      const resolved = convert(target, here, depth + 1)
      expanding--
      return { ...resolved, at: here }
    }
    note(node)
    if (isScalar(node)) return scalar(node.value, node.source, here)
    if (isSeq(node)) {
      const items = node.items.map((item) => convert(item, here, depth + 1))
      return { kind: 'list', at: here, items }
    }
    const entries = new Map<string, MapEntry>()
    for (const pair of isMap(node) ? node.items : []) {
      if (stopped) break
      const keyAt = position(pair.key.range[0])
      note(pair.key)
      const key = isScalar(pair.key) ? pair.key.value : undefined
      const value = convert(pair.value, keyAt, depth + 1)
      if (typeof key !== 'string') {
        if (isScalar(pair.key)) problems.add(keyAt, keySentence(pair.key))
        else stop(keyAt, keySentence(pair.key))
      } else if (key === '<<') {
        stop(keyAt, 'YAML merge keys (<<) are not supported: write the keys of the other mapping here')
      } else if (key === '__proto__') {
        // Validators skip this key silently, but nothing in a file may be ignored.
        problems.add(keyAt, 'the key "__proto__" is not allowed')
      } else if (entries.has(key)) {
        const first = entries.get(key)?.keyAt.line ?? 0
        problems.add(keyAt, `duplicate key ${show(key)}: it is already on line ${first}`)
      } else {
        entries.set(key, { keyAt, value })
      }
    }
    return { kind: 'map', at: here, entries }
  }

  const root = convert(doc.contents, { line: 1, col: 1 }, 0)
  return stopped ? undefined : root
}

function keySentence(key: ParsedNode): string {
  if (isScalar(key)) return `expected a text as key, got ${key.source}: put it in quotes if it is a text`
  if (isMap(key)) return 'expected a text as key, got a mapping: templates such as {{ name }} are not replaced'
  return 'expected a text as key, got a list'
}

function empty(at: Position): ScalarNode {
  return { kind: 'scalar', at, value: null, source: '' }
}

function scalar(value: unknown, source: string | undefined, at: Position): ScalarNode {
  const known =
    typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' || value === null
      ? value
      : String(value)
  return { kind: 'scalar', at, value: known, source: source ?? String(known) }
}

/** `a list`, `the number 5`, `"text"`, `nothing`: describes a node for the "got" of a message. */
export function describe(node: TreeNode): string {
  if (node.kind === 'map') return 'a mapping'
  if (node.kind === 'list') return 'a list'
  if (node.value === null) return 'nothing'
  if (typeof node.value === 'string') return show(node.value)
  return typeof node.value === 'number' ? `the number ${showNumber(node.source)}` : `the word ${node.source}`
}
