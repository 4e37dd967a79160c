/**
 * Combines the results of build/bench/*.json: tables for the terminal, test/bench/results.json, and from this file
 * docs/reference/performance.md, docs/reference/measurements.md and the marked figures of other pages (figures.ts).
 *
 *   node test/bench/report.ts            after make bench
 *   node test/bench/report.ts --add NAME puts one new result in the place of the old one
 *   node test/bench/report.ts --print    changes no file
 *   node test/bench/report.ts --pages    writes the pages from results.json, without new results
 */
import { existsSync, globSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { filled } from './figures.ts'
import { shownSpread } from './support/result.ts'
import type { Measure, Result, Table } from './support/result.ts'

const ROOT = new URL('../../', import.meta.url)
const NEW = new URL('build/bench/', ROOT)
const RESULTS = new URL('test/bench/results.json', ROOT)
export const TARGETS_PAGE = 'docs/reference/performance.md'
export const TABLES_PAGE = 'docs/reference/measurements.md'
export const BEGIN = '<!-- bench:begin -->'
export const END = '<!-- bench:end -->'
/** The subject of each bench. The most important ones first; others follow. */
const AREAS: Readonly<Record<string, string>> = {
  'kernel-cost': 'a hooked call, in the kernel',
  'kernel-instructions': 'instructions of a hooked call',
  'user-instructions': 'instructions of user space',
  policies: 'many policies, many values',
  selectors: 'kinds of selectors',
  pods: 'policies for some pods',
  'user-space': 'user space, without a sink',
  delivery: 'from the ring to the answer of a sink',
  agent: 'an agent at rest',
  watch: 'the first event of ktrail watch',
  readers: 'live readers',
  start: 'start',
  pace: '5,000 events/s',
  processes: 'the process table',
  tetragon: 'ktrail beside Tetragon',
}
const ORDER = Object.keys(AREAS)

/** Replaces the text between the markers. Throws unless each exists once, in this order. */
export function between(text: string, content: string): string {
  const begin = text.indexOf(BEGIN)
  const end = text.indexOf(END)
  if (begin < 0 || end < begin || text.indexOf(BEGIN, begin + 1) >= 0 || text.indexOf(END, end + 1) >= 0) {
    throw new Error(`expected one line "${BEGIN}" and after it one line "${END}", to put the tables between`)
  }
  return `${text.slice(0, begin + BEGIN.length)}\n\n${content.trim()}\n\n${text.slice(end)}`
}

const shown = (value: number): string =>
  value.toLocaleString('en-US', { maximumFractionDigits: value < 10 ? 2 : value < 100 ? 1 : 0 })

const isMet = ({ value, atMost, atLeast }: Measure): boolean =>
  (atMost === undefined || value <= atMost) && (atLeast === undefined || value >= atLeast)

const target = ({ atMost, atLeast }: Measure): string =>
  atMost === undefined ? `≥ ${shown(atLeast ?? 0)}` : `≤ ${shown(atMost)}`
const withTarget = ({ measures }: Result): Measure[] =>
  measures.filter(({ atMost, atLeast }) => atMost !== undefined || atLeast !== undefined)

/** Measures that have a target, as a table. */
export function targets(results: readonly Result[]): Table {
  const measures = results.flatMap(withTarget)
  const rows = measures.map((measure) => [
    measure.name,
    `${shown(measure.value)} ${measure.unit}`,
    shownSpread(measure),
    target(measure),
    isMet(measure) ? 'yes' : 'no',
  ])
  const met = measures.filter(isMet).length
  const notes = [`${met} of ${measures.length} targets are met, ${measures.length - met} are missed.`]
  return { title: 'Targets', columns: ['', 'measured', 'spread', 'target', 'met'], rows, notes }
}

/** Targets with a row for each bench: met ones beside missed ones. */
export function targetsByArea(results: readonly Result[]): string {
  const line = (measure: Measure): string => {
    const about = [target(measure), ...(measure.spread === undefined ? [] : [`spread ${shownSpread(measure)}`])]
    return `${measure.name}: ${shown(measure.value)} ${measure.unit} (${about.join('; ')})`
  }
  const rows = results.flatMap((result) => {
    const { true: met = [], false: missed = [] } = Object.groupBy(withTarget(result), (each) => `${isMet(each)}`)
    const lists = [met, missed].map((measures) => measures.map(line).join('<br>'))
    return met.length + missed.length === 0 ? [] : [[AREAS[result.bench] ?? result.bench, ...lists]]
  })
  return [...targets(results).notes, '', ...grid(['', 'met', 'missed'], rows, '---')].join('\n')
}

/** Where and when each bench ran, as a table. Benches of one machine, kernel, Node, commit and date share a row. */
function runs(results: readonly Result[]): Table {
  const where = ({ machine, kernel, node, commit, at }: Result): string[] => [
    machine,
    kernel,
    node,
    commit,
    at.slice(0, 10),
  ]
  const rows = [...Map.groupBy(results, (result) => where(result).join('\n'))].map(([place, some]) => [
    some.map(({ bench, load: busy }) => (busy === undefined ? bench : `${bench} (${shown(busy)})`)).join(', '),
    ...place.split('\n'),
  ])
  const notes = ['In brackets: load average of the last minute; other work disturbs the figures.']
  return {
    title: 'Where this was measured',
    columns: ['benches', 'machine', 'kernel', 'Node', 'commit', 'date'],
    rows,
    notes,
  }
}

const cell = (text: string): string => text.replaceAll('|', '\\|')

function grid(columns: readonly string[], rows: Table['rows'], align: string): string[] {
  const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |`
  return [line(columns), `|${columns.map((_, i) => (i === 0 ? '---' : align)).join('|')}|`, ...rows.map(line)]
}

/** One table as Markdown; numbers are right-aligned. */
export function markdown({ title, columns, rows, notes }: Table): string {
  // Lines of 120 columns.
  const lines = notes.join(' ').match(/.{1,120}(?:(?= )|$)/g) ?? []
  const after = notes.length === 0 ? [] : ['', ...lines.map((text) => text.trim())]
  return [`**${title}**`, '', ...grid(columns, rows, '--:'), ...after].join('\n')
}

/** One table in columns for a terminal. */
export function plain({ title, columns, rows, notes }: Table): string {
  const all = [columns, ...rows]
  const widths = columns.map((_, i) => Math.max(...all.map((cells) => cells[i]?.length ?? 0)))
  const line = (cells: readonly string[]): string =>
    cells.map((text, i) => (i === 0 ? text.padEnd(widths[i] ?? 0) : text.padStart(widths[i] ?? 0))).join('  ')
  return [title, ...all.map((cells) => `  ${line(cells).trimEnd()}`), ...notes.map((note) => `  ${note}`)].join('\n')
}

/** The pages that results make, with their text. */
export function pagesOf(results: readonly Result[], textOf: (page: string) => string): Map<string, string> {
  const tables = [...results.flatMap((result) => result.tables), runs(results)].map(markdown).join('\n\n')
  const pages = globSync(['*.md', 'docs/**/*.md'], { cwd: fileURLToPath(ROOT) })
  return new Map(
    pages.map((page) => {
      const text = page === TARGETS_PAGE ? between(textOf(page), targetsByArea(results)) : textOf(page)
      return [page, filled(page === TABLES_PAGE ? between(text, tables) : text, results)]
    }),
  )
}

export const resultsFile = (): Result[] => JSON.parse(readFileSync(RESULTS, 'utf8')) as Result[]

function newResults(): Result[] {
  const files = existsSync(NEW) ? readdirSync(NEW).filter((name) => name.endsWith('.json')) : []
  if (files.length === 0) throw new Error(`no results in ${fileURLToPath(NEW)}: run make bench`)
  return files.map((name) => JSON.parse(readFileSync(new URL(name, NEW), 'utf8')) as Result)
}

const rank = ({ bench }: Result): number => (ORDER.includes(bench) ? ORDER.indexOf(bench) : ORDER.length)

/** The file's results with new ones in their places. A `whole` run drops the others, except the one that needs a build of Tetragon. */
export function merged(old: readonly Result[], added: readonly Result[], whole: boolean): Result[] {
  const kept = old.filter(
    ({ bench }) => (!whole || bench === 'tetragon') && !added.some((each) => each.bench === bench),
  )
  return [...kept, ...added].toSorted((a, b) => rank(a) - rank(b) || a.bench.localeCompare(b.bench))
}

function main(option: string | undefined, name: string | undefined): void {
  const measured = option === '--pages' ? [] : merged([], newResults(), true)
  const added = option === '--add' ? measured.filter(({ bench }) => bench === name) : measured
  if (added.length === 0 && option !== '--pages') throw new Error(`expected a result of ${name ?? 'a bench'}, got none`)
  const results = merged(resultsFile(), added, option === undefined)
  if (option !== '--pages') {
    // One screen for a whole run; its tables are in the pages.
    const tables = option === undefined ? [] : added.flatMap((result) => result.tables)
    console.log(`\n${[targets(added), ...tables, runs(added)].map(plain).join('\n\n')}`)
    if (option === '--print') return
    writeFileSync(RESULTS, `${JSON.stringify(results, null, 2)}\n`)
  }
  const textOf = (page: string): string => readFileSync(new URL(page, ROOT), 'utf8')
  for (const [page, text] of pagesOf(results, textOf)) {
    if (text === textOf(page)) continue
    writeFileSync(new URL(page, ROOT), text)
    console.log(`${page} has new figures`)
  }
}

if (import.meta.main) {
  try {
    main(process.argv[2], process.argv[3])
  } catch (error) {
    console.error(`report.ts: ${error instanceof Error ? error.message : String(error)}`)
    process.exitCode = 1
  }
}
