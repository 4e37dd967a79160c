import type { z } from 'zod'
import { absolute } from '../../base/paths.ts'
import { show } from '../../yaml/problems.ts'
import type { Position, Problems } from '../../yaml/problems.ts'
import { pathKey, pathText } from './explain.ts'
import type { Path } from './explain.ts'
import { meantType } from './meant.ts'
import { keyNotBuilt } from './not-built.ts'
import { mayBeSecret } from './secret-keys.ts'
import { childSchema, knownKeys, placeHoldsAt, retyped, typesWithKey } from './schema-walk.ts'
import { substitute } from './substitute.ts'
import type { Environment, ReadText } from './substitute.ts'
import type { MapNode, ScalarNode, TreeNode } from '../../yaml/tree.ts'

/** The origin of a value. `secret`: from a `${file:}`, never printed. */
export interface Origin {
  readonly from: 'file' | 'env' | 'secret'
  readonly at: Position
  /** Used environment variables. */
  readonly variables: readonly string[]
}

/** The first use of a file with a secret. */
export interface SecretFile {
  /** The key as a path, such as `exporters.bus.sasl.password_file`. */
  readonly key: string
  readonly at: Position
}

type Schema = z.core.$ZodType

/** Marks a value as already reported: it is left out, and nothing below its path is reported again. */
const DROPPED = Symbol('dropped')

/**
 * A config tree as the plain object for the schema: references replaced, planned keys refused and left out; and the position of every path in
 * the file.
 */
export class PlainValue {
  readonly value: unknown
  readonly origins: Map<string, Origin> = new Map<string, Origin>()
  readonly secretFiles: Map<string, SecretFile> = new Map<string, SecretFile>()
  readonly #root: Schema
  readonly #env: Environment
  readonly #read: ReadText
  readonly #problems: Problems
  readonly #positions = new Map<string, Position>()
  readonly #keys = new Map<string, Position>()
  readonly #reported = new Set<string>()
  /** Numbers as typed: 0600 is 600 for YAML. */
  readonly #numbers = new Map<string, string>()

  constructor(root: MapNode, schema: Schema, env: Environment, read: ReadText, problems: Problems) {
    this.#root = schema
    this.#env = env
    this.#read = read
    this.#problems = problems
    this.value = this.#convert(root, schema, [])
  }

  /** Position of the value at `path`, or of the nearest enclosing value in the file. */
  position(path: readonly PropertyKey[]): Position {
    return nearest(this.#positions, path)
  }

  keyPosition(path: readonly PropertyKey[]): Position {
    return this.#keys.get(pathKey(path)) ?? nearest(this.#positions, path)
  }

  isReported(path: readonly PropertyKey[]): boolean {
    for (let length = path.length; length > 0; length--) {
      if (this.#reported.has(pathKey(path.slice(0, length)))) return true
    }
    return false
  }

  /** Nothing more is reported at `path` or below. */
  markReported(path: readonly PropertyKey[]): void {
    this.#reported.add(pathKey(path))
  }

  /** The number at `path` as typed; undefined for other values. */
  typedNumber(path: readonly PropertyKey[]): string | undefined {
    return this.#numbers.get(pathKey(path))
  }

  valueAt(path: readonly PropertyKey[]): unknown {
    let value = this.value
    for (const part of path) {
      if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined
      value = Reflect.get(value, part)
    }
    return value
  }

  typeAt(path: readonly PropertyKey[]): unknown {
    return this.valueAt([...path, 'type'])
  }

  schemaAt(path: readonly PropertyKey[]): Schema | undefined {
    let schema: Schema | undefined = this.#root
    for (let i = 0; i < path.length; i++) {
      const part = path[i]
      if (part === undefined || typeof part === 'symbol') return undefined
      schema = childSchema(schema, part, this.typeAt(path.slice(0, i)))
    }
    return schema
  }

  /** The keys of the mapping that the schema has at `path`; empty for other values. */
  keysAt(path: readonly PropertyKey[]): readonly string[] {
    return knownKeys(this.schemaAt(path), this.typeAt(path))
  }

  /** The other types of exporters that have the key at the end of `path`. */
  typesWith(path: readonly PropertyKey[]): readonly string[] {
    const mapping = path.slice(0, -1)
    return mapping.length === 2 ? typesWithKey(this.schemaAt(mapping), String(path.at(-1))) : []
  }

  #convert(node: TreeNode, schema: Schema | undefined, path: Path): unknown {
    this.#positions.set(pathKey(path), node.at)
    if (node.kind === 'scalar') return this.#scalar(node, schema, path)
    if (node.kind === 'list') {
      const items = node.items.map((item, i) => this.#convert(item, childSchema(schema, i, undefined), [...path, i]))
      return items.map((item) => (item === DROPPED ? '' : item))
    }
    return this.#map(node, schema, path)
  }

  #map(node: MapNode, schema: Schema | undefined, path: Path): unknown {
    // First, because it determines the allowed keys.
    const typeNode = node.entries.get('type')?.value
    const type = typeNode === undefined ? undefined : this.#type(typeNode, [...path, 'type'])
    if (type === DROPPED && path.length > 0) return this.#drop(path)
    const entries: Array<[string, unknown]> = []
    for (const [key, { keyAt, value }] of node.entries) {
      const below = [...path, key]
      this.#keys.set(pathKey(below), keyAt)
      if (keyNotBuilt(below)) {
        this.#problems.add(
          keyAt,
          `${pathText(below)}: known key ${show(key)} is not built in this version of ktrail yet`,
        )
        continue
      }
      const child = key === 'type' ? type : this.#convert(value, childSchema(schema, key, type), below)
      if (child !== DROPPED) entries.push([key, child])
    }
    // Creates own properties for any key, also `__proto__`.
    return Object.fromEntries(entries)
  }

  /** The value of a `type`; another program's name is reported, and replaced by ours, so that the other keys are checked. */
  #type(node: TreeNode, path: Path): unknown {
    const type = this.#convert(node, undefined, path)
    const meant = path.length === 3 && typeof type === 'string' ? meantType(type) : undefined
    if (meant === undefined) return type
    this.#problems.add(node.at, `${pathText(path)}: unknown type ${show(String(type))}; ${meant.write}`)
    return meant.type ?? DROPPED
  }

  #scalar(node: ScalarNode, schema: Schema | undefined, path: Path): unknown {
    const where = pathText(path)
    let value = node.value
    let origin: Origin = { from: 'file', at: node.at, variables: [] }
    if (typeof value === 'string' && value.includes('$')) {
      const found = substitute(value, this.#env, this.#read, this.#problems.file)
      if ('problem' in found) {
        this.#problems.add(node.at, `${where}: ${found.problem}`)
        return this.#drop(path)
      }
      const { files, variables, text } = found
      const [, bare, name = bare] = /(?<!\$)(?:\$\$)*\$(?:([A-Z_][A-Z0-9_]*)|\(([\w-]+)\))/.exec(value) ?? []
      if (name !== undefined) this.#warnOfBare(path, bare === undefined ? `(${name})` : name, name, node.at)
      for (const file of files) this.#noteSecret(file, where, node.at)
      if (files.length > 0) origin = { ...origin, from: 'secret' }
      else if (variables.length > 0) origin = { ...origin, from: 'env', variables }
      value = origin.from === 'file' ? text : retyped(schema, text)
    }
    if (typeof value === 'number') this.#numbers.set(pathKey(path), node.source)
    const holds = placeHoldsAt(schema)
    if (typeof value === 'string') this.#warnOfText(value, path, holds !== undefined, node.at)
    if (typeof value === 'string' && value !== '' && holds !== undefined) {
      value = absolute(value, this.#problems.file)
      if (holds === 'secret') this.#noteSecret(value, where, node.at)
    }
    this.origins.set(pathKey(path), origin)
    return value
  }

  #warnOfBare(path: Path, written: string, name: string, at: Position): void {
    const got = mayBeSecret(path) ? '"$" without braces' : show(`$${written}`)
    const expected = `\${env:${mayBeSecret(path) ? 'NAME' : name}}`
    this.#problems.warn(
      at,
      `${pathText(path)}: ${got} stays as it is; write ${expected} for the variable, $$ for a plain $`,
    )
  }

  /** Texts that only other programs replace. */
  #warnOfText(value: string, path: Path, isFile: boolean, at: Position): void {
    const warn = (sentence: string): void => this.#problems.warn(at, `${pathText(path)}: ${sentence}`)
    if (/\{\{[^{}]*\}\}/.test(value))
      warn('"{{ ... }}" stays as it is; replace it first, or write ${env:NAME} for a variable')
    if (value.includes(' // ')) warn('"//" begins no comment, so it is part of the value; write # for a comment')
    if (isFile && value.startsWith('~')) warn('"~" stays as it is; write the path of the home folder')
  }

  #noteSecret(file: string, key: string, at: Position): void {
    if (!this.secretFiles.has(file)) this.secretFiles.set(file, { key, at })
  }

  #drop(path: Path): typeof DROPPED {
    this.markReported(path)
    return DROPPED
  }
}

function nearest(positions: ReadonlyMap<string, Position>, path: readonly PropertyKey[]): Position {
  for (let length = path.length; length >= 0; length--) {
    const found = positions.get(pathKey(path.slice(0, length)))
    if (found !== undefined) return found
  }
  return { line: 1, col: 1 }
}
