/**
 * Draws docs/pictures/terminal.svg from what a demo printed: `make picture` runs one and calls this. Long lines are cut as a terminal of
 * 80 columns without wrapping shows them.
 *
 *   node deploy/demo/picture.ts OUTPUT SVG
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { cut, runs, width } from './terminal.ts'
import type { Run } from './terminal.ts'

const COLUMNS = 80
/** Steps of the workload that the picture shows, by the beginning of their headings. */
const STEPS = ['a user is added', 'it is cut', 'another user tries', 'a program is killed']
const CELL = 8.4
const LINE = 20
const MARGIN = 16

const [outputFile = '', svgFile = ''] = process.argv.slice(2)
const lines = pick(readFileSync(outputFile, 'utf8').split('\n'))
writeFileSync(
  svgFile,
  svg([[{ text: '$ make run', color: 'bold' }], ...lines.map((line) => cut(runsOf(line), COLUMNS))]),
)
console.log(`${svgFile}: ${lines.length + 1} lines`)

/** The lines of the steps that are shown, and the sum of events. */
function pick(output: readonly string[]): string[] {
  const picked: string[] = []
  let shown = false
  for (const line of output) {
    if (line.startsWith('--- ')) shown = STEPS.some((step) => line.startsWith(`--- ${step}`))
    if (line.startsWith('--- summary')) shown = false
    if (shown && line !== '') picked.push(line)
    if (/\d {2}events, lost /.test(line)) picked.push(`--- ${line.trim().replaceAll(/ +/g, ' ')}`)
  }
  if (!picked.at(-1)?.startsWith('--- '))
    throw new Error(`${outputFile}: no summary; expected the whole output of a demo`)
  for (const [i, line] of picked.entries()) {
    const isEarly = line.startsWith('--- ') && i > 0 && !/💥|denied:/.test(picked[i - 1] ?? '')
    if (isEarly) throw new Error(`${outputFile}: "${line}" came before the end of the previous step; run it once more`)
  }
  return picked
}

/** Headings have a colour of their own in the picture. */
function runsOf(line: string): Run[] {
  return line.startsWith('--- ') ? [{ text: line, color: 'heading' }] : runs(line)
}

function svg(screen: ReadonlyArray<readonly Run[]>): string {
  const [w, h] = [COLUMNS * CELL + 2 * MARGIN, screen.length * LINE + 2 * MARGIN]
  const text = screen.map((line, row) => {
    let column = 0
    const spans = line.map((run) => {
      const span = `<tspan${run.color === '' ? '' : ` class="${run.color}"`} x="${x(column)}" textLength="${cells(width(run.text))}">${escaped(run.text)}</tspan>`
      column += width(run.text)
      return run.text.trim() === '' ? '' : span
    })
    return `<text y="${MARGIN + row * LINE + 14}">${spans.join('')}</text>`
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${w} ${h}" width="${w}" height="${h}" role="img" aria-label="Output of make run">
<style>
  text { font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace; fill: #1f2328; white-space: pre }
  rect { fill: #f6f8fa; stroke: #d1d9e0 }
  .bold { font-weight: 600 }
  .heading { fill: #59636e }
  .c31 { fill: #cf222e } .c32 { fill: #116329 } .c34 { fill: #0550ae } .c35 { fill: #8250df } .c36 { fill: #1b7c83 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    rect { fill: #0d1117; stroke: #3d444d }
    .heading { fill: #9198a1 }
    .c31 { fill: #ff7b72 } .c32 { fill: #3fb950 } .c34 { fill: #58a6ff } .c35 { fill: #bc8cff } .c36 { fill: #39c5cf }
  }
</style>
<rect x="0.5" y="0.5" width="${w - 1}" height="${h - 1}" rx="6"/>
${text.join('\n')}
</svg>
`
}

function x(column: number): string {
  return String(Number((MARGIN + column * CELL).toFixed(1)))
}

function cells(count: number): string {
  return String(Number((count * CELL).toFixed(1)))
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
