/**
 * make bench-history: docs/pictures/instructions.svg, a line for each row of instructions.json over the commits that changed the file. Each
 * chart begins at zero, so that a step has the height of its part of the row. In brackets: the change since the first commit.
 */
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { show } from '../support/result.ts'
import { git } from './built.ts'
import { FILE } from './guard.ts'
import type { Rows } from './rows.ts'

/** Rows of one commit. */
export interface Point {
  readonly commit: string
  readonly benches: Readonly<Record<string, Rows>>
}

const COLUMNS = 3
const CELL = { width: 340, height: 74, chart: 38, top: 26 }

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')

export function picture(points: readonly Point[]): string {
  const last = points.at(-1)?.benches ?? {}
  const rows = Object.entries(last).flatMap(([bench, { rows: all }]) => Object.keys(all).map((row) => ({ bench, row })))
  const cells = rows.map(({ bench, row }, i) => {
    const values = points.map(({ benches }) => benches[bench]?.rows[row])
    const most = Math.max(...values.map((value) => value ?? 0))
    const step = (CELL.width - 20) / Math.max(1, points.length - 1)
    const dots = values.flatMap((value, at) =>
      value === undefined ? [] : [{ x: step * at, y: CELL.top + CELL.chart * (1 - value / most), value, at }],
    )
    const marks = dots.map(
      ({ x, y, value, at }) =>
        `<circle cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="2.5"><title>${points[at]?.commit ?? ''}: ${show(value)}</title></circle>`,
    )
    const line = dots.map(({ x, y }) => `${x.toFixed(1)},${y.toFixed(1)}`).join(' ')
    const [first, end] = [dots[0], dots.at(-1)]
    const floor = CELL.top + CELL.chart
    const area = `${line} ${end?.x.toFixed(1)},${floor} ${first?.x.toFixed(1)},${floor}`
    const change = Math.round(100 * ((end?.value ?? Number.NaN) / (first?.value ?? Number.NaN) - 1))
    const since = change === 0 ? '' : ` (${change > 0 ? '+' : '−'}${Math.abs(change)} %)`
    const place = `translate(${10 + CELL.width * (i % COLUMNS)} ${CELL.height * Math.floor(i / COLUMNS)})`
    const title = `${escaped(row)}: ${show(end?.value ?? Number.NaN)}${since}`
    return `<g transform="${place}"><text y="16">${title}</text><polygon points="${area}"/><polyline points="${line}"/>${marks.join('')}</g>`
  })
  const [width, height] = [CELL.width * COLUMNS, CELL.height * Math.ceil(rows.length / COLUMNS)]
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="10">
<style>rect{fill:#fff}polygon{fill:#ddf4ff}polyline{fill:none;stroke:#0969da;stroke-width:1.5}circle{fill:#0969da}</style>
<rect width="${width}" height="${height}"/>
${cells.join('\n')}
</svg>
`
}

if (import.meta.main) {
  const commits = git('log', '--reverse', '--format=%h', '--', FILE).split('\n').filter(Boolean)
  const points = commits.map((commit) => ({
    commit,
    benches: JSON.parse(git('show', `${commit}:${FILE}`)) as Point['benches'],
  }))
  writeFileSync(fileURLToPath(new URL('../../../docs/pictures/instructions.svg', import.meta.url)), picture(points))
}
