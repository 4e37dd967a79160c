/** Numbers and tables for a terminal of 80 columns. */
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

/** A table: columns two spaces apart and as wide as needed; columns in `right` are right-aligned. Cells may contain any text. */
export function table(head: readonly string[], unsafe: readonly Row[], right: readonly number[] = []): string {
  const rows = unsafe.map(({ cells, notes = [] }) => ({ cells: cells.map(oneLine), notes: notes.map(oneLine) }))
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map(({ cells }) => (cells[i] ?? '').length)))
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => (right.includes(i) ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
      .join('  ')
      .trimEnd()
  const lines = [line(head)]
  for (const { cells, notes } of rows) lines.push(line(cells), ...notes.map((note) => `  ${note}`))
  return `${lines.join('\n')}\n`
}

/** Cuts to at most `width` characters, with an ellipsis. */
export function shortened(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`
}
