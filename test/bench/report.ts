/**
 * Combines the results of build/bench/*.json: a table for the terminal, and the same in docs/reference/performance.md between
 * `<!-- bench:begin -->` and `<!-- bench:end -->`.
 *
 *   node test/bench/report.ts [--print]      with --print docs/reference/performance.md is not changed
 */
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Measure, Result, Table } from './support/result.ts'

const ROOT = new URL('../../', import.meta.url)
const RESULTS = new URL('build/bench/', ROOT)
const PAGE = new URL('docs/reference/performance.md', ROOT)
export const BEGIN = '<!-- bench:begin -->'
export const END = '<!-- bench:end -->'
/** The most important results first; others follow. */
const ORDER = [
  'kernel-cost',
  'instructions',
  'policies',
  'selectors',
  'pods',
  'user-space',
  'delivery',
  'otlp',
  'kafka',
  'agent',
  'readers',
  'start',
]

/** Replaces the text between the markers. Throws unless each is there once, in this order. */
export function between(text: string, content: string): string {
  const begin = text.indexOf(BEGIN)
  const end = text.indexOf(END)
  if (begin < 0 || end < begin || text.indexOf(BEGIN, begin + 1) >= 0 || text.indexOf(END, end + 1) >= 0) {
    throw new Error(
      `performance.md: expected one line "${BEGIN}" and after it one line "${END}", to put the table between`,
    )
  }
  return `${text.slice(0, begin + BEGIN.length)}\n\n${content.trim()}\n\n${text.slice(end)}`
}

const shown = (value: number): string =>
  value.toLocaleString('en-US', { maximumFractionDigits: value < 10 ? 2 : value < 100 ? 1 : 0 })

/** Measures that have a target, as a table. */
export function targets(results: readonly Result[]): Table {
  const isMet = ({ value, atMost, atLeast }: Measure): boolean =>
    (atMost === undefined || value <= atMost) && (atLeast === undefined || value >= atLeast)
  const row = (measure: Measure): string[] => {
    const { name, value, unit, atMost, atLeast } = measure
    const target = atMost === undefined ? `≥ ${shown(atLeast ?? 0)}` : `≤ ${shown(atMost)}`
    return [name, `${shown(value)} ${unit}`, target, isMet(measure) ? 'yes' : '**no**']
  }
  const measures = results
    .flatMap((result) => result.measures)
    .filter(({ atMost, atLeast }) => atMost !== undefined || atLeast !== undefined)
  const met = measures.filter(isMet).length
  const notes = [`${met} of ${measures.length} targets are met, ${measures.length - met} are missed.`]
  return { title: 'Targets', columns: ['', 'measured', 'target', 'met'], rows: measures.map(row), notes }
}

/** Where and when each bench ran, as a table. */
function runs(results: readonly Result[]): Table {
  const rows = results.map(({ bench, machine, kernel, node, commit, at, load: busy }) => [
    bench,
    machine,
    kernel,
    node,
    commit,
    busy === undefined ? '' : shown(busy),
    at.slice(0, 10),
  ])
  const notes = ['Load: load average of the last minute of the bench; other work on the machine disturbs the figures.']
  return {
    title: 'Where this was measured',
    columns: ['bench', 'machine', 'kernel', 'Node', 'commit', 'load', 'date'],
    rows,
    notes,
  }
}

const cell = (text: string): string => text.replaceAll('|', '\\|')

/** One table as Markdown; numbers are right-aligned. */
export function markdown({ title, columns, rows, notes }: Table): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |`
  return [
    `**${title}**`,
    '',
    line(columns),
    `|${columns.map((_, i) => (i === 0 ? '---' : '--:')).join('|')}|`,
    ...rows.map(line),
    ...(notes.length === 0 ? [] : ['', notes.join(' ')]),
  ].join('\n')
}

/** One table in columns for a terminal. */
export function plain({ title, columns, rows, notes }: Table): string {
  const all = [columns, ...rows]
  const widths = columns.map((_, i) => Math.max(...all.map((cells) => cells[i]?.length ?? 0)))
  const line = (cells: readonly string[]): string =>
    cells.map((text, i) => (i === 0 ? text.padEnd(widths[i] ?? 0) : text.padStart(widths[i] ?? 0))).join('  ')
  return [title, ...all.map((cells) => `  ${line(cells).trimEnd()}`), ...notes.map((note) => `  ${note}`)].join('\n')
}

function load(): Result[] {
  const files = existsSync(RESULTS) ? readdirSync(RESULTS).filter((name) => name.endsWith('.json')) : []
  const results = files.map((name) => JSON.parse(readFileSync(new URL(name, RESULTS), 'utf8')) as Result)
  const rank = ({ bench }: Result): number => (ORDER.includes(bench) ? ORDER.indexOf(bench) : ORDER.length)
  return results.toSorted((a, b) => rank(a) - rank(b) || a.bench.localeCompare(b.bench))
}

function main(printOnly: boolean): void {
  const results = load()
  if (results.length === 0) throw new Error(`no results in ${fileURLToPath(RESULTS)}: run make bench`)
  const tables = [targets(results), ...results.flatMap((result) => result.tables), runs(results)]
  console.log(`\n${tables.map(plain).join('\n\n')}`)
  if (printOnly) return
  writeFileSync(PAGE, between(readFileSync(PAGE, 'utf8'), tables.map(markdown).join('\n\n')))
  console.log('\ndocs/reference/performance.md has the new table')
}

if (import.meta.main) {
  try {
    main(process.argv.includes('--print'))
  } catch (error) {
    console.error(`report.ts: ${error instanceof Error ? error.message : String(error)}`)
    process.exitCode = 1
  }
}
