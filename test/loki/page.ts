/** docs/reference/exporters/loki-queries.md: what `make loki` found on real Lokis. */
export interface Results {
  readonly version: string
  readonly files: number
  readonly programs: number
  /** `results`: series or streams of the answer. */
  readonly queries: ReadonlyArray<{ readonly where: string; readonly title: string; readonly results: number }>
  readonly alerts: readonly string[]
}

export const PAGE: URL = new URL('../../docs/reference/exporters/loki-queries.md', import.meta.url)
/** From the page. */
const HOW_TO = '../../how-to/'
export const RESULTS: URL = new URL('results.json', import.meta.url)

export function pageOf(all: readonly Results[]): string {
  const [first] = all
  if (first === undefined) throw new Error('expected results of a Loki, got none: run make loki')
  const { files, programs } = first
  const cells = (words: readonly (string | number)[]): string => `| ${words.join(' | ')} |\n`
  const rows = first.queries.map(({ where, title }, i) =>
    cells([
      where.startsWith('docs') ? `[${where.slice(12)}](${HOW_TO}${where.slice(12)})` : where,
      title,
      ...all.map(({ queries }) => queries[i]?.results ?? 0),
    ]),
  )
  const alerts = first.alerts.map((name) =>
    cells([
      `[${name}](${HOW_TO}alerts.md#${name.toLowerCase()})`,
      ...all.map((one) => (one.alerts.includes(name) ? 'fired' : 'silent')),
    ]),
  )
  const versions = all.map(({ version }) => version)
  return `# Queries and alerts on a real Loki

The number of series or streams that Grafana Loki answers to each shipped query, under its default limits. \`make loki\`
writes this page.

The records are those of the real agent on a played kernel. They name ${files.toLocaleString('en')} files and ${programs} programs, and Loki
allows 500 series in a result. Tables of dashboards show the newest records.

${cells(['dashboard or page', 'query', ...versions])}${cells(['---', '---', ...versions.map(() => '---')]).replaceAll(' ', '')}${rows.join('')}
## Alerts

The rules of [deploy/loki/ktrail.rules.yaml](../../../deploy/loki/ktrail.rules.yaml) in Loki's ruler.

${cells(['alert', ...versions])}${cells(['---', ...versions.map(() => '---')]).replaceAll(' ', '')}${alerts.join('')}`
}
