/** A terminal as a picture, for light and dark pages. */
import { width } from './terminal.ts'
import type { Run } from './terminal.ts'

const CELL = 8.4
const LINE = 20
const MARGIN = 16

/** A terminal that scrolls. */
export interface Motion {
  readonly rows: number
  /** Lines that are there from a second on: `[second, lines]`, ascending. */
  readonly steps: ReadonlyArray<readonly [number, number]>
  /** Length of one repetition. */
  readonly seconds: number
}

/** `screen`: lines of at most `columns`. With `motion`, a viewer without animations shows the end. */
export function svg(
  screen: ReadonlyArray<readonly Run[]>,
  columns: number,
  label: string,
  motion: Motion = { rows: screen.length, steps: [], seconds: 0 },
): string {
  const [w, h] = [columns * CELL + 2 * MARGIN, motion.rows * LINE + 2 * MARGIN]
  const text = screen.map((line, row) => {
    let column = 0
    const spans = line.map((run) => {
      const span = `<tspan${run.color === '' ? '' : ` class="${run.color}"`} x="${rounded(MARGIN + column * CELL)}" textLength="${rounded(width(run.text) * CELL)}">${escaped(run.text)}</tspan>`
      column += width(run.text)
      return run.text.trim() === '' ? '' : span
    })
    return `<text y="${MARGIN + row * LINE + 14}">${spans.join('')}</text>`
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${w} ${h}" width="${w}" height="${h}" xml:space="preserve" role="img" aria-label="${escaped(label)}">
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
${moved(motion)}</style>
<rect x="0.5" y="0.5" width="${w - 1}" height="${h - 1}" rx="6"/>
${motion.steps.length === 0 ? text.join('\n') : `<svg y="${MARGIN}" height="${motion.rows * LINE}"><g>\n${text.join('\n')}\n</g></svg>`}
</svg>
`
}

/** The newest line is the lowest one, and hides those that come later. */
function moved({ rows, steps, seconds }: Motion): string {
  if (steps.length === 0) return ''
  const at = (lines: number): string => `transform: translateY(${(rows - lines) * LINE - MARGIN}px)`
  const percent = (second: number, i: number): string => (i === 0 ? 0 : (100 * second) / seconds).toFixed(1)
  const last = new Map(steps.map(([second, lines], i) => [percent(second, i), lines]))
  const frames = [...last].map(([when, lines]) => `    ${when}% { ${at(lines)} }\n`)
  const end = steps.at(-1)?.[1] ?? rows
  return `  g { ${at(end)}; animation: scroll ${seconds}s step-end infinite }\n  @keyframes scroll {\n${frames.join('')}  }\n  @media (prefers-reduced-motion) { g { animation: none } }\n`
}

const rounded = (length: number): number => Number(length.toFixed(1))

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
