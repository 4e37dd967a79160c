/** bpf/call/screen.h and screened_path.h in TypeScript, over the bytes of a struct hook and the tables that go with it. */
import {
  AUTOMATON_FOUND,
  EDGE_OPEN,
  EDGE_OPEN_MAX,
  HOOK,
  PARAMS_MAX,
  PREFIX_PARTS,
  SMALL_NUMBERS,
} from '../../../../collector/wire/wire.ts'
import type { EdgeTarget } from '../../../../collector/plan/layout/tables.ts'
import { numbersIn, pathIn, setIn } from './layout.ts'
import type { LaidOut, NumberRead, PathRead } from './layout.ts'

/** bpf/base/path.h */
const TOP_MAX = 8

/** A file as seen by the walk. */
export interface RealPath {
  /** Components from the task's root on; none: the root itself, or a pipe. */
  readonly names: readonly string[]
  /** Unlinked: the text gets the mark, the names do not. */
  readonly deleted: boolean
  /** The name of the file's own dentry if the file is the root of a mount; the text has the mount point's. */
  readonly boundFrom: string | undefined
  /** The walk did not finish: too deep, or a rename. */
  readonly unfinished?: boolean
}

/** A parameter: a number of 64 bits as in the register, a file, or no file (a null pointer). */
export type Param = bigint | RealPath | undefined

/** The text for the exact filters. */
export function textOf(path: RealPath): string {
  if (path.names.length === 0) return ''
  return path.names.map((name) => `/${name}`).join('') + (path.deleted ? ' (deleted)' : '')
}

/** `narrowed` of bpf/args/number.h, signed or not as the type is. */
export function narrowed(type: string, raw: bigint): bigint {
  const bits = Number(type.slice(1))
  return type.startsWith('s') ? BigInt.asIntN(bits, raw) : BigInt.asUintN(bits, raw)
}

/** The 8 bytes at a name: after its NUL are older bytes. */
function bytesAt(name: Buffer, from: number): bigint {
  return Buffer.concat([name, Buffer.from([0]), Buffer.alloc(8, 0xa5)]).readBigUInt64LE(from)
}

const firstOf = (word: bigint, n: number): bigint => (n >= 8 ? word : BigInt.asUintN(8 * n, word))

/** `may_begin` of bpf/base/components.h. */
function mayBegin([high, low]: readonly [bigint, bigint], word: bigint, len: number): boolean {
  const hash = BigInt.asUintN(64, (word + BigInt(len)) * 0x9e37_79b9_7f4a_7c15n)
  return ((high >> (hash >> 58n)) & (low >> ((hash >> 52n) & 63n)) & 1n) === 1n
}

export class ScreenModel {
  readonly #laid: LaidOut
  readonly #edges: ReadonlyMap<string, EdgeTarget>
  readonly #numbers: readonly NumberRead[]
  readonly #path: PathRead

  constructor(laid: LaidOut) {
    this.#laid = laid
    const { edges } = laid.tables
    this.#edges = new Map(edges.map(({ node, len, word, to }) => [`${node} ${len} ${word}`, to]))
    if (this.#edges.size < edges.length) throw new Error('two edges have one key')
    this.#numbers = numbersIn(laid)
    this.#path = pathIn(laid)
  }

  #set(id: number): bigint {
    return setIn(this.#laid.tables, id)
  }

  /** The selectors that are left for these parameters, by bit. */
  alive(params: readonly Param[]): bigint {
    const { bytes } = this.#laid
    const words = bytes.readUInt32LE(HOOK.words)
    let alive =
      words === 1
        ? bytes.readBigUInt64LE(HOOK.firstAll)
        : BigInt.asUintN(64 * words, this.#set(bytes.readUInt32LE(HOOK.all)))
    for (const { param, type, sets } of this.#numbers) {
      const raw = params[param]
      if (typeof raw !== 'bigint') throw new TypeError(`parameter ${param} is no number`)
      const number = BigInt.asUintN(64, narrowed(type, raw))
      alive &= sets[number < SMALL_NUMBERS ? Number(number) : SMALL_NUMBERS] ?? 0n
    }
    const { param, others } = this.#path
    if (param >= PARAMS_MAX) return alive
    const path = params[param]
    if (typeof path === 'bigint') throw new TypeError(`parameter ${param} is no path`)
    return alive & (path === undefined ? others : this.#byPath(path))
  }

  #byPath(path: RealPath): bigint {
    const { all, others, suffixes } = this.#path
    if (path.unfinished === true) return all | others
    const names = path.names.map((name) => Buffer.from(name))
    if (names.length === 0) return others
    const found = others | this.#prefixes(names) | this.#parts(path, names)
    return suffixes === 0n ? found : found | this.#suffixes(path, names)
  }

  #parts({ deleted }: RealPath, names: readonly Buffer[]): bigint {
    const { parts, automaton } = this.#path
    if (parts === 0n || names.length > TOP_MAX || deleted) return parts
    let state = automaton
    for (const byte of names.flatMap((name) => [...Buffer.from('/'), ...name])) {
      state = this.#laid.tables.automaton[state]?.[byte] ?? AUTOMATON_FOUND
      if (state === AUTOMATON_FOUND) return parts
    }
    return 0n
  }

  #prefixes(names: readonly Buffer[]): bigint {
    const { shared, first, root } = this.#path
    const words = names.map((name) => firstOf(bytesAt(name, 0), name.length))
    if (!shared.every(({ word, len }, i) => word === words[i] && len === names[i]?.length)) return 0n
    const next = words[shared.length]
    const nextLen = names[shared.length]?.length ?? 0
    if (next !== undefined && root.id !== 0 && !mayBegin(first, next, nextLen)) return 0n
    let node: EdgeTarget = root
    let found = 0n
    let level = shared.length
    for (; level < PREFIX_PARTS && level < names.length; level++) {
      const len = names[level]?.length ?? 0
      const word = words[level] ?? 0n
      if (node.open !== 0) found |= this.#open(node.id, node.open, len, (n) => firstOf(word, n))
      const to = this.#edges.get(`${node.id} ${len} ${word}`)
      if (to === undefined) break
      node = to
    }
    return found | this.#set(level < names.length ? node.below : node.here)
  }

  #suffixes({ boundFrom }: RealPath, names: readonly Buffer[]): bigint {
    const { suffix, suffixOpen, suffixes } = this.#path
    if (boundFrom !== undefined) return suffixes
    const leaf = names.at(-1) ?? Buffer.alloc(0)
    const word =
      leaf.length >= 8
        ? bytesAt(leaf, leaf.length - 8)
        : BigInt.asUintN(64, bytesAt(leaf, 0) << BigInt(64 - 8 * leaf.length))
    const exact = this.#edges.get(`${suffix} ${leaf.length} ${word}`)
    const open = this.#open(suffix, suffixOpen, leaf.length, (n) => word >> BigInt(8 * (EDGE_OPEN_MAX - n)))
    return open | (exact === undefined ? 0n : this.#set(exact.here))
  }

  #open(node: number, open: number, len: number, word: (n: number) => bigint): bigint {
    let found = 0n
    for (let n = 1; n <= EDGE_OPEN_MAX && n <= len; n++) {
      if ((open & (1 << (n - 1))) === 0) continue
      const edge = this.#edges.get(`${node} ${EDGE_OPEN + n} ${word(n)}`)
      if (edge !== undefined) found |= this.#set(edge.here)
    }
    return found
  }
}
