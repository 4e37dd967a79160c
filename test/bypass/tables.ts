/** Tables and paragraphs of docs/explanation/who-sees-what.md. */

type Cells = ReadonlyArray<string | number>

export const row = (cells: Cells): string => `| ${cells.join(' | ')} |`

/** `right`: all columns but the first hold numbers. */
export const table = (head: readonly string[], right: boolean, rows: readonly Cells[]): string =>
  [row(head), `|${head.map((_, i) => (right && i > 0 ? '--:' : '---')).join('|')}|`, ...rows.map(row)].join('\n')

const COLUMNS = 120
/** A space that is followed by whole pieces of code only. */
const OUTSIDE_CODE = / (?=(?:[^`]*`[^`]*`)*[^`]*$)/

/** A paragraph, or an item of a list, in lines of the width of pages. */
export function wrapped(text: string): string {
  const indent = text.startsWith('- ') ? '  ' : ''
  const lines: string[] = []
  for (const word of text.split(OUTSIDE_CODE)) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + 1 + word.length <= COLUMNS) lines[lines.length - 1] = `${last} ${word}`
    else lines.push(last === undefined ? word : indent + word)
  }
  return lines.join('\n')
}
