/** Every LogQL query that ktrail ships: of dashboards, with values for their variables, and of pages. */
import { z } from 'zod'
import { blocks, files, read } from '../unit/support/pages.ts'

export interface Shipped {
  /** A dashboard or page. */
  readonly where: string
  readonly title: string
  readonly expr: string
  readonly isInstant: boolean
  /** Lines of an answer. */
  readonly limit: number
}

const DASHBOARD = z.object({
  title: z.string(),
  panels: z.array(
    z.object({
      title: z.string(),
      datasource: z.object({ type: z.string() }),
      targets: z.array(z.object({ expr: z.string(), instant: z.boolean().optional(), maxLines: z.int().optional() })),
    }),
  ),
})
const VARIABLES: Readonly<Record<string, string>> = { service: 'ktrail', __range: '1h', __auto: '1m' }
const LINES = 100

export function shippedQueries(): Shipped[] {
  return [...files(['deploy/grafana/dashboards/*.json']).flatMap(ofDashboard), ...PAGES.flatMap(ofPage)]
}

const PAGES = ['docs/how-to/query-loki.md', 'deploy/compose/README.md']

function ofDashboard(file: string): Shipped[] {
  const { title: where, panels } = DASHBOARD.parse(JSON.parse(read(file)))
  return panels
    .filter(({ datasource }) => datasource.type === 'loki')
    .flatMap(({ title, targets }) =>
      targets.map(({ expr, instant = false, maxLines = LINES }) => ({
        where,
        title,
        expr: expr.replaceAll(/\$(\w+)/g, (_, name) => VARIABLES[name] ?? '.+'),
        isInstant: instant,
        limit: maxLines,
      })),
    )
}

function ofPage(where: string): Shipped[] {
  return blocks(read(where), 'logql').map((text, i) => {
    const expr = text.trim()
    return { where, title: `query ${i + 1}`, expr, isInstant: /_over_time\(/.test(expr), limit: LINES }
  })
}
