/**
 * The wanted paths of all selectors of a function as one tree of components (bpf/base/components.h): an edge is a component, a node has the
 * selectors that a path may match if it ends there or continues. Components that all paths begin with stand above the tree. A second, flat tree has the
 * ends of paths.
 */
import { EDGE_OPEN, EDGE_OPEN_MAX, PREFIX_PARTS, SHARED_MAX } from '../../wire/wire.ts'
import { hash } from '../files/entries.ts'
import type { Demand, Part, Prefix } from './screen.ts'
import type { Component, EdgeTarget, SetTable, Tables } from './tables.ts'

interface Node {
  readonly id: number
  /** Selectors, one bit each, whose value ends here, or continues below. */
  here: bigint
  below: bigint
  open: number
  readonly edges: Map<string, Component & { readonly to: Node }>
}

/** The constants of the screen of a path. */
export interface PathTree {
  /** The components that all values begin with, from the root of paths to that of the tree. */
  readonly shared: readonly Component[]
  readonly root: EdgeTarget
  readonly suffix: number
  readonly suffixOpen: number
  /** Bits of the root's edges, see `may_begin` in bpf/base/components.h. */
  readonly first: readonly [bigint, bigint]
}

const ALL_BITS = 0xffff_ffff_ffff_ffffn

/** Adds the edges to `tables`. `demands`: the demand of each selector, by its bit. */
export function writePathTree(demands: ReadonlyMap<number, Demand>, tables: Tables): PathTree {
  const node = (): Node => ({ id: ++tables.lastNode, here: 0n, below: 0n, open: 0, edges: new Map() })
  let root = node()
  const ends = node()
  for (const [selector, { prefixes, suffixes }] of demands) {
    const bit = 1n << BigInt(selector)
    for (const prefix of prefixes) addPrefix(root, prefix, bit, node)
    for (const { bytes, exact } of suffixes) {
      const word = wordOf(bytes, true)
      if (exact) child(ends, word, bytes.length, node).here |= bit
      else addOpen(ends, bytes, true, node).here |= bit
    }
  }
  const shared: Component[] = []
  for (let only = onlyEdge(root); only !== undefined && shared.length < SHARED_MAX; only = onlyEdge(root)) {
    shared.push(only)
    root = only.to
  }
  writeEdges(root, 0n, tables)
  writeEdges(ends, 0n, tables)
  return {
    shared,
    root: target(root, 0n, tables.sets),
    suffix: ends.id,
    suffixOpen: ends.open,
    first: firstBits(root),
  }
}

function addPrefix(root: Node, { parts, whole }: Prefix, bit: bigint, make: () => Node): void {
  let at = root
  // The exact filter checks components after the seventh.
  for (const { bytes, open } of parts.slice(0, PREFIX_PARTS)) {
    if (open) {
      addOpen(at, bytes, false, make).here |= bit
      return
    }
    at = child(at, wordOf(bytes, false), bytes.length, make)
  }
  if (whole && parts.length <= PREFIX_PARTS) at.here |= bit
  else at.below |= bit
}

function child(at: Node, word: bigint, len: number, make: () => Node): Node {
  const key = `${word} ${len}`
  const known = at.edges.get(key)
  if (known !== undefined) return known.to
  const to = make()
  at.edges.set(key, { word, len, to })
  return to
}

/** A name that only begins (or ends) with the bytes. */
function addOpen(at: Node, bytes: Part['bytes'], end: boolean, make: () => Node): Node {
  const n = Math.min(bytes.length, EDGE_OPEN_MAX)
  at.open |= 1 << (n - 1)
  const word = wordOf(bytes, end)
  return child(at, end ? word >> BigInt(8 * (EDGE_OPEN_MAX - n)) : word, EDGE_OPEN + n, make)
}

/** The first up to 8 bytes as a number; from the end the last ones, in its upper end. */
function wordOf(bytes: Buffer, end: boolean): bigint {
  const length = Math.min(bytes.length, 8)
  const word = Buffer.alloc(8)
  if (end) bytes.copy(word, 8 - length, bytes.length - length)
  else bytes.copy(word, 0, 0, length)
  return word.readBigUInt64LE()
}

/** `above`: selectors that the way to the node already lets continue. */
function target(node: Node, above: bigint, sets: SetTable): EdgeTarget {
  const id = node.edges.size === 0 ? 0 : node.id
  return { id, here: sets.id(node.here | above), below: sets.id(node.below | above), open: node.open }
}

function writeEdges(from: Node, above: bigint, tables: Tables): void {
  const below = from.below | above
  for (const { word, len, to } of from.edges.values()) {
    tables.edges.push({ word, node: from.id, len, to: target(to, below, tables.sets) })
    writeEdges(to, below, tables)
  }
}

/** The edge with which everything that begins at this node goes on. */
function onlyEdge(node: Node): (Component & { readonly to: Node }) | undefined {
  const ends = node.here !== 0n || node.below !== 0n || node.open !== 0
  return ends || node.edges.size !== 1 ? undefined : node.edges.values().next().value
}

function firstBits(root: Node): [bigint, bigint] {
  if (root.below !== 0n || root.open !== 0) return [ALL_BITS, ALL_BITS]
  const hashes = [...root.edges.values()].map(({ word, len }) => hash(word + BigInt(len)))
  const bits = (shift: bigint): bigint => hashes.reduce((all, each) => all | (1n << ((each >> shift) & 63n)), 0n)
  return [bits(58n), bits(52n)]
}
