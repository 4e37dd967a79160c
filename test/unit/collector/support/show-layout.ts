/** Tables as lines that a reviewer of a golden file can follow with wire.ts. */
import { EDGE_OPEN } from '../../../../collector/wire/wire.ts'
import type { Component, EdgeTarget, Tables } from '../../../../collector/plan/layout/tables.ts'
import { members, setIn } from './layout.ts'

/** Eight bytes a line, without zeroes. */
export function dump(bytes: Buffer): string[] {
  const lines: string[] = []
  for (let at = 0; at < bytes.length; at += 8) {
    const eight = bytes.subarray(at, at + 8)
    if (eight.some((byte) => byte !== 0)) lines.push(`${String(at).padStart(5)}: ${eight.toString('hex')}`)
  }
  return lines
}

/** The bytes of an edge: of an open one with `…`, of a longer name with its length. */
export function showWord({ word, len }: Component): string {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(word)
  // The bytes of an end are the upper ones.
  const text = bytes.toString('utf8').replaceAll('\0', '')
  const length = len >= EDGE_OPEN ? len - EDGE_OPEN : len
  return text + (len >= EDGE_OPEN ? '…' : length > 8 ? ` of ${length}` : '')
}

function showNode({ id, here, below, open }: EdgeTarget, tables: Tables): string {
  const sets = `here {${members(setIn(tables, here))}} below {${members(setIn(tables, below))}}`
  return `${id} ${sets}${open === 0 ? '' : ` open ${open.toString(2)}`}`
}

export const showEdges = (tables: Tables): string[] =>
  tables.edges.map((edge) => `${edge.node} "${showWord(edge)}" → ${showNode(edge.to, tables)}`)

/** Neighbours with one set as `0-3 {1}`. */
function showNumberSets(tables: Tables): string[] {
  const runs: Array<{ from: number; to: number; id: number }> = []
  tables.numberSets.forEach((id, i) => {
    const last = runs.at(-1)
    if (last?.id === id) last.to = i
    else runs.push({ from: i, to: i, id })
  })
  return runs.map(({ from, to, id }) => `${from}-${to} {${members(setIn(tables, id))}}`)
}

/** All map entries. */
export function showTables(tables: Tables): string[] {
  return [
    ...tables.selectors.flatMap((selector, i) => [`selectors ${i}`, ...dump(selector)]),
    ...tables.sets.sets.map((set, i) => `sets ${i} {${members(set)}}`),
    ...showNumberSets(tables).map((line) => `number_sets ${line}`),
    ...tables.numbers.map(({ filter, number }) => `numbers ${filter} ${number}`),
    ...tables.texts.map(({ filter, bytes }) => `texts ${filter} ${JSON.stringify(bytes.toString())}`),
    ...tables.suffixes.map(({ filter, bytes }) => `suffixes ${filter} ${JSON.stringify(bytes.toString())}`),
    ...showEdges(tables).map((line) => `edges ${line}`),
  ]
}
