/** The answers of `ktrail trace`. */
import { oneLine } from '../../../config/base/quoting.ts'
import { dataSize, folded, table } from '../format.ts'
import { newUse } from './tally.ts'
import type { Amount, FileUse, ProcessUse, Tally } from './tally.ts'

const HEAD = ['', 'READS', 'BYTES', 'WRITES', 'BYTES', 'FILE']
const RIGHT = [1, 2, 3, 4]

const letter = (is: boolean, text: string): string => (is ? text : '-')

/** `rwxd`, with a dash for each that did not happen; `+`: other changes. */
export function lettersOf({ read, write, executed, deleted, others }: FileUse): string {
  const [r, w] = [read.calls + read.bytes > 0, write.calls + write.bytes > 0]
  return letter(r, 'r') + letter(w, 'w') + letter(executed, 'x') + letter(deleted, 'd') + letter(others.size > 0, '+')
}

const amount = ({ calls, bytes }: Amount): string[] => [
  calls === 0 ? '' : String(calls),
  bytes === 0 ? '' : dataSize(bytes),
]
const total = (a: Amount, b: Amount): Amount => ({ calls: a.calls + b.calls, bytes: a.bytes + b.bytes })

function rowOf(use: FileUse): { cells: string[] } {
  const { path, read, write, others } = use
  const more = others.size === 0 ? '' : ` (${[...others].join(', ')})`
  return { cells: [lettersOf(use), ...amount(read), ...amount(write), `${path}${more}`] }
}

/** All files, the sums of all processes. */
export function listText({ processes }: Tally, columns?: number): string {
  const files = new Map<string, FileUse>()
  for (const { files: own } of processes.values())
    for (const [path, use] of own) files.set(path, added(files.get(path) ?? newUse(path), use))
  const rows = [...files.values()].toSorted((a, b) => (a.path < b.path ? -1 : 1)).map(rowOf)
  return table(HEAD, rows, RIGHT, columns)
}

function added(sum: FileUse, { read, write, executed, deleted, others }: FileUse): FileUse {
  return {
    path: sum.path,
    read: total(sum.read, read),
    write: total(sum.write, write),
    executed: sum.executed || executed,
    deleted: sum.deleted || deleted,
    others: new Set([...sum.others, ...others]),
  }
}

/** The processes as a tree, each with its files below it. */
export function treeText({ processes }: Tally, columns?: number): string {
  const lines: string[] = []
  const show = ([id, { process, files }]: [number, ProcessUse], depth: number): void => {
    const indent = '  '.repeat(depth)
    lines.push(oneLine(`${indent}${process.binary} ${process.arguments}`.trimEnd()) + `  pid ${process.pid}`)
    const rows = [...files.values()].map(rowOf)
    if (rows.length > 0)
      lines.push(
        ...table(HEAD, rows, RIGHT)
          .trimEnd()
          .split('\n')
          .slice(1)
          .map((line) => `${indent}  ${line}`),
      )
    for (const child of processes) if (child[1].parent === id) show(child, depth + 1)
  }
  for (const each of processes) if (!processes.has(each[1].parent)) show(each, 0)
  return folded(`${lines.join('\n')}\n`, columns)
}

export function jsonText({ processes }: Tally, exitCode: number): string {
  const all = [...processes.values()].map(({ process, parent, files }) => ({
    pid: process.pid,
    binary: process.binary,
    arguments: process.arguments,
    uid: process.uid,
    parent: processes.has(parent) ? parent : null,
    files: [...files.values()].map(({ others, ...use }) => ({ ...use, others: [...others] })),
  }))
  return `${JSON.stringify({ exitCode, processes: all }, undefined, 2)}\n`
}
