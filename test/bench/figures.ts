/**
 * Figures in pages. Each stands before a comment that names its row in results.json, and is filled from there:
 *
 *   `4.1 µs<!-- bench: delivery > ring → file -->`                                 bench > measure
 *   `159 MB<!-- bench: delivery > OTLP, gzip-1 > RSS at most, MB -->`              bench > row of a table > column
 *   `14.4 µs<!-- not of make bench -->`                                            measured in another way
 *
 * The build that a bench measured stands before a comment too: commit `ca3ab9b4`<!-- bench commit: tetragon -->.
 */
import type { Result } from './support/result.ts'

const MARKED = /(?<typed>\d[\d,]*(?:\.\d+)?)(?<unit>[^\d|<]{0,24})<!-- bench: (?<key>\S.*?) -->/g
const FOREIGN = /\d[\d,]*(?:\.\d+)?[^\d|<]{0,24}<!-- not of make bench -->/g
const COMMIT = /`[^`]*`<!-- bench commit: (?<bench>\S+) -->/g
/** Units in which only benches measure. Others (MiB, ms, %) are limits and defaults too. */
const TYPED = /\d[\d.,]* (?:(?:µs|ns)(?!\w)|% of a core|MB (?:of memory|of RSS|resident|private))/g

/** The number that `key` names. Throws if there is none, or more than one. */
export function figure(results: readonly Result[], key: string): number {
  const [bench = '', row = '', column] = key.split(' > ')
  const result = results.find((each) => each.bench === bench)
  const cells = (result?.tables ?? []).flatMap(({ columns, rows }) =>
    rows.filter(([name]) => name === row).flatMap((cell) => cell.filter((_, i) => i > 0 && columns[i] === column)),
  )
  const measures = (result?.measures ?? []).filter(({ name }) => name === row).map(({ value }) => value)
  const found = column === undefined ? measures : cells.map((cell) => Number.parseFloat(cell.replaceAll(',', '')))
  const [value] = found
  if (value === undefined || found.length > 1 || Number.isNaN(value))
    throw new Error(`"bench: ${key}": expected one figure of test/bench/results.json, got ${found.length}`)
  return value
}

/** `page` with the figures of `results`, each with as many decimals as before. */
export function filled(page: string, results: readonly Result[]): string {
  const built = page.replaceAll(COMMIT, (whole: string, bench: string) => {
    const commit = results.find((each) => each.bench === bench)?.commit
    if (commit === undefined) throw new Error(`"bench commit: ${bench}": expected a bench of test/bench/results.json`)
    return `\`${commit}\`${whole.slice(whole.indexOf('<'))}`
  })
  return built.replaceAll(MARKED, (whole: string, typed: string, unit: string, key: string) => {
    const digits = typed.split('.')[1]?.length ?? 0
    const format = { minimumFractionDigits: digits, maximumFractionDigits: digits }
    return figure(results, key).toLocaleString('en-US', format) + unit + whole.slice(typed.length + unit.length)
  })
}

/** Figures of `page` that look measured and have no comment, and comments without a figure. */
export function unmarked(page: string): string[] {
  const prose = page
    .replaceAll(/^```.*?^```$|`[^`\n]*`/gms, '')
    .replaceAll(MARKED, '')
    .replaceAll(FOREIGN, '')
  return [...(prose.match(TYPED) ?? []), ...(prose.match(/<!-- bench: /g) ?? [])]
}
