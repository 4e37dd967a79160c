/** Numbers and tables for a terminal. */
import { oneLine } from '../../config/base/quoting.ts'

/** For a file that imports exporters, too: only collector/agent.ts may see all rooms. */
export { plural } from '../../config/base/counts.ts'

const SIZES = ['B', 'KiB', 'MiB', 'GiB', 'TiB']

/** `1.5 GiB`: three digits or so. */
export function dataSize(bytes: number): string {
  let value = bytes
  let unit = 0
  for (; value >= 1000 && unit < SIZES.length - 1; unit++) value /= 1024
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${SIZES[unit]}`
}

/** A value as JSON or YAML; undefined for the formats for people. */
export async function dataText(format: string | undefined, value: unknown): Promise<string | undefined> {
  if (format === 'json') return `${JSON.stringify(value, undefined, 2)}\n`
  // Most commands need no YAML.
  return format === 'yaml' ? (await import('yaml')).stringify(value, { lineWidth: 0 }) : undefined
}

/** `2026-03-09T05:30:00Z`. */
export function timeText(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z')
}

export interface Row {
  readonly cells: readonly string[]
  /** Lines below the row, indented. */
  readonly notes?: readonly string[]
}

/**
 * A table: columns two spaces apart and as wide as needed; columns in `right` are right-aligned. Cells may contain any text. If it is wider than
 * `columns`, each row is a paragraph: its first cell, then the others with their titles.
 */
export function table(
  head: readonly string[],
  unsafe: readonly Row[],
  right: readonly number[] = [],
  columns = Infinity,
): string {
  const rows = unsafe.map(({ cells, notes = [] }) => ({ cells: cells.map(oneLine), notes: notes.map(oneLine) }))
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map(({ cells }) => (cells[i] ?? '').length)))
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => (right.includes(i) ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
      .join('  ')
      .trimEnd()
  const fits = [head, ...rows.map(({ cells }) => cells)].every((cells) => line(cells).length <= columns)
  const lines = fits ? [line(head)] : []
  for (const { cells, notes } of rows)
    lines.push(...(fits ? [line(cells)] : paragraph(head, cells, columns)), ...notes.map((note) => `  ${note}`))
  return folded(`${lines.join('\n')}\n`, columns)
}

function paragraph(head: readonly string[], [first = '', ...cells]: readonly string[], columns: number): string[] {
  const parts = cells.flatMap((cell, i) => (cell === '' ? [] : [`${head[i + 1]} ${cell} `]))
  const lines = filled([' ', ...parts], columns + 1, 2).split('\n')
  return [first, ...lines].map((line) => line.trimEnd()).filter((line) => line !== '')
}

/** Breaks longer lines between words; the rest of a line is indented by two more. A longer word stays whole. */
export function folded(text: string, columns = Infinity): string {
  const fold = (line: string): string => {
    const [indent = ''] = /^ */.exec(line) ?? []
    const [first = '', ...words] = line.slice(indent.length).split(' ')
    return filled([indent + first, ...words], columns, indent.length + 2)
  }
  return text
    .split('\n')
    .map((line) => (line.length <= columns ? line : fold(line)))
    .join('\n')
}

/** Words as lines of at most `width` columns; those after the first are indented. */
export function filled(words: readonly string[], width: number, indent: number): string {
  const lines: string[] = []
  let [line = '', ...rest] = words
  for (const word of rest) {
    if (line.length + 1 + word.length > width) {
      lines.push(line)
      line = ' '.repeat(indent) + word
    } else line += ` ${word}`
  }
  return [...lines, line].join('\n')
}

/** Cuts to at most `width` characters, with an ellipsis. */
export function shortened(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`
}
