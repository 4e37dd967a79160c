/** Reads one mapping of a policy: allowed keys, required keys, types of values. */
import { booleanHint, listHint } from '../yaml/suggest.ts'
import { describe } from '../yaml/tree.ts'
import type { MapNode, TreeNode } from '../yaml/tree.ts'
import { show } from '../yaml/problems.ts'
import type { Position, Problems } from '../yaml/problems.ts'
import { keyHint, meantKey } from './tables.ts'
import type { KeyTable } from './tables.ts'

/** A value, its path such as `spec.kprobes[0].call`, and where its problems go. */
export class Place {
  readonly node: TreeNode
  readonly path: string
  readonly problems: Problems

  constructor(node: TreeNode, path: string, problems: Problems) {
    this.node = node
    this.path = path
    this.problems = problems
  }

  /** The value of a scalar; undefined for another node. */
  get scalar(): unknown {
    return this.node.kind === 'scalar' ? this.node.value : undefined
  }

  /** The value as a text; '' for another value. */
  get text(): string {
    return typeof this.scalar === 'string' ? this.scalar : ''
  }

  /** Whether it is a list without items. */
  get isEmptyList(): boolean {
    return this.node.kind === 'list' && this.node.items.length === 0
  }

  /** Adds a problem; `sentence`: expected, got, hint. `at`: another position. Returns the missing value. */
  refuse(sentence: string, at: Position = this.node.at): undefined {
    this.problems.add(at, `${this.path}: ${sentence}`)
  }

  /** A valid part that most likely has another effect than it seems to have. */
  warn(sentence: string): void {
    this.problems.warn(this.node.at, `${this.path}: ${sentence}`)
  }
}

/** `Tetragon field "x" is not supported by this version of ktrail` */
export function notSupported(what: string, name: string, owner = 'Tetragon'): string {
  return `${owner} ${what} ${show(name)} is not supported by this version of ktrail`
}

/** One mapping at `path`; adds a problem for each key that is not in the table. */
export class Fields {
  readonly at: Position
  readonly path: string
  readonly problems: Problems
  readonly #node: MapNode
  /** Keys that hints name: they are not reported as missing. */
  readonly #meant: ReadonlySet<string>

  private constructor(node: MapNode, { path, problems }: Place, meant: ReadonlySet<string>) {
    this.at = node.at
    this.path = path
    this.problems = problems
    this.#node = node
    this.#meant = meant
  }

  /** Returns undefined and adds a problem when `place` is not a mapping. */
  static of(place: Place, table: KeyTable): Fields | undefined {
    const { node, path, problems } = place
    if (node.kind !== 'map')
      return place.refuse(`expected a mapping with ${table.own.join(', ')}, got ${describe(node)}${spaceHint(place)}`)
    const meant = new Set<string>()
    for (const [key, { keyAt }] of node.entries) {
      if (table.own.includes(key) || table.ours?.includes(key) === true) continue
      const where = path === '' ? '' : `${path}: `
      if (table.later?.includes(key)) {
        const instead = meantKey(key, table)
        const hint = instead === undefined ? '' : `; ${instead}`
        problems.add(keyAt, where + notSupported('field', key, table.owner) + hint)
        continue
      }
      const hint = keyHint(key, table)
      if (!hint.startsWith('; expected')) for (const word of hint.match(/\w+/g) ?? []) meant.add(word)
      problems.add(keyAt, `${where}unknown key ${show(key)}${hint}`)
    }
    return new Fields(node, place, meant)
  }

  /** Whether another key was written, but most likely for this one. */
  isMeant(key: string): boolean {
    return this.#meant.has(key)
  }

  pathOf(key: string): string {
    return this.path === '' ? key : `${this.path}.${key}`
  }

  get(key: string): Place | undefined {
    const entry = this.#node.entries.get(key)
    return entry === undefined ? undefined : new Place(entry.value, this.pathOf(key), this.problems)
  }

  /** Position of the key, else of the mapping. */
  keyAt(key: string): Position {
    return this.#node.entries.get(key)?.keyAt ?? this.at
  }

  /** Adds a problem of the key, at its position. Returns the missing value. */
  refuse(key: string, sentence: string): undefined {
    this.problems.add(this.keyAt(key), `${this.pathOf(key)}: ${sentence}`)
  }

  warn(key: string, sentence: string): void {
    this.problems.warn(this.keyAt(key), `${this.pathOf(key)}: ${sentence}`)
  }

  /** Like `get`, but a missing key is a problem; `expected` is for its message. */
  need(key: string, expected: string): Place | undefined {
    const place = this.get(key)
    if (place === undefined && !this.#meant.has(key))
      this.problems.add(this.at, `${this.pathOf(key)}: missing; expected ${expected}`)
    return place
  }

  /** The place of the text at `key`; undefined when absent. Anything else is a problem. */
  textAt(key: string): Place | undefined {
    return withText(this.get(key))
  }

  /** Like `textAt`, but a missing key is a problem; `expected` is for its message. */
  needText(key: string, expected: string): Place | undefined {
    return withText(this.need(key, expected))
  }

  /** The items of the list at `key`, of which it must have one; `expected` is for the message when it is missing. */
  needList(key: string, expected: string, max: number, item = 'value'): Place[] {
    const place = this.need(key, expected)
    if (place === undefined) return []
    if (place.isEmptyList) place.refuse(`expected at least one ${item}, got an empty list`)
    return asList(place, max)
  }

  /** `otherwise` ends the message on a text that is no boolean. */
  flag(key: string, fallback: boolean, otherwise = ''): boolean {
    const place = this.get(key)
    if (place === undefined) return fallback
    const { node } = place
    if (node.kind === 'scalar' && typeof node.value === 'boolean') return node.value
    const hint = (node.kind === 'scalar' && booleanHint(node.source.replaceAll(/["']/g, ''))) || otherwise
    place.refuse(`expected true or false, got ${describe(node)}${hint}`)
    return fallback
  }

  /** The items of the list at `key`; empty when absent. More than `max` items is a problem. */
  list(key: string, max: number): Place[] {
    const place = this.get(key)
    return place === undefined ? [] : asList(place, max)
  }
}

const withText = (place: Place | undefined): Place | undefined =>
  place && asText(place) === undefined ? undefined : place

export function asText(place: Place): string | undefined {
  const { node, scalar } = place
  if (typeof scalar === 'string') return scalar
  const hint = node.kind === 'scalar' && node.value !== null ? `; put it in quotes: ${JSON.stringify(node.source)}` : ''
  return place.refuse(`expected a text, got ${describe(node)}${hint}`)
}

export function asInteger(place: Place, min: number, max: number): number | undefined {
  const value = place.scalar
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value
  const hint = typeof value === 'string' && /^\d+$/.test(value) ? '; write it without quotes' : ''
  return place.refuse(`expected a whole number from ${min} to ${max}, got ${describe(place.node)}${hint}`)
}

export function asList(place: Place, max: number): Place[] {
  const { node, path, problems } = place
  if (node.kind !== 'list') {
    let hint = node.kind === 'map' ? '; begin each item with "- "' : ''
    if (node.kind === 'scalar' && node.value !== null) hint = listHint(String(node.value), true)
    place.refuse(`expected a list, got ${describe(node)}${hint}`)
    return []
  }
  if (node.items.length > max) {
    place.refuse(`expected at most ${max} items, got ${node.items.length}`, node.items[max]?.at)
  }
  return node.items.slice(0, max).map((item, i) => new Place(item, `${path}[${i}]`, problems))
}

/** `call:f`: YAML reads a text where the space is missing. */
function spaceHint({ text }: Place): string {
  return /^\w+:\S/.test(text) ? '; write a space after the colon' : ''
}
