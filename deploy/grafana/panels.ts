/** Dashboards from the files of pages/: their variables, and panels with our defaults. */
import type { Builder } from '@grafana/grafana-foundation-sdk/cog'
import type { DataSourceRef } from '@grafana/grafana-foundation-sdk/common'
import {
  DashboardBuilder,
  DatasourceVariableBuilder,
  QueryVariableBuilder,
  TextBoxVariableBuilder,
  VariableRefresh,
} from '@grafana/grafana-foundation-sdk/dashboard'
import type { Panel } from '@grafana/grafana-foundation-sdk/dashboard'
import { DataqueryBuilder as LokiQuery } from '@grafana/grafana-foundation-sdk/loki'
import { DataqueryBuilder as PrometheusQuery } from '@grafana/grafana-foundation-sdk/prometheus'
import { PanelBuilder as StatPanel } from '@grafana/grafana-foundation-sdk/stat'
import { PanelBuilder as TablePanel } from '@grafana/grafana-foundation-sdk/table'
import { PanelBuilder as TimePanel } from '@grafana/grafana-foundation-sdk/timeseries'

const LOKI: DataSourceRef = { type: 'loki', uid: '${loki}' }
const PROMETHEUS: DataSourceRef = { type: 'prometheus', uid: '${prometheus}' }
const HEIGHT = 8

/** The records of the chosen hosts. */
const RECORDS = '{service_name="$service", service_instance_id=~"$host"}'

/** Loki's default limit of lines in an answer. */
const NEWEST = 5000
/** Loki answers up to 4 MiB: bounds of a text for so many lines, and for the 500 whole records of a table. */
const CUT_NEWEST = 200
const CUT_RECORDS = 500

/** A file of pages/. */
export interface Page {
  readonly title: string
  /** Stable: links and provisioning refer to it. */
  readonly uid: string
  readonly description: string
  /** Records are in Loki, metrics in Prometheus. */
  readonly of: 'records' | 'metrics'
  /** Regular expressions that the reader writes, with their labels. */
  readonly variables?: Readonly<Record<string, string>>
  readonly queries?: Readonly<Record<string, string>>
  readonly panels: readonly PanelSpec[]
}

/** One of the first seven keys decides what a panel shows; widths are of 24 columns. */
interface PanelSpec extends Look {
  readonly now?: string
  readonly over_time?: ReadonlyArray<readonly [expr: string, legend: string]>
  readonly total?: string
  readonly counts?: string
  /** By labels that policies bound: Loki refuses a result of over 500 series. */
  readonly top?: string
  /** By any labels, among the newest records. */
  readonly newest?: string
  readonly table?: string
  readonly by?: string
  readonly first?: string
  readonly columns?: readonly string[]
}

export function dashboardOf(spec: Page): DashboardBuilder {
  const { of, variables = {}, queries = {}, panels } = spec
  const page = new DashboardBuilder(spec.title).uid(spec.uid).description(spec.description)
  page.tags(['ktrail']).time({ from: 'now-1h', to: 'now' }).refresh('30s').readonly()
  if (of === 'records') addHosts(page)
  else addAgents(page)
  for (const [name, label] of Object.entries(variables)) page.withVariable(textBox(name, label, '.+'))
  const known: Record<string, string> = { records: RECORDS }
  for (const [name, query] of Object.entries(queries))
    known[name] = query.replaceAll(/<(\w+)>/g, (_, other: string) => queryNamed(other, known))
  for (const panel of panels) page.withPanel(panelOf(panel, known))
  return page
}

function queryNamed(name: string, known: Readonly<Record<string, string>>): string {
  const query = known[name]
  if (query === undefined)
    throw new Error(`expected one of the queries ${Object.keys(known).join(', ')}, got "${name}"`)
  return query
}

function panelOf(spec: PanelSpec, known: Readonly<Record<string, string>>): Builder<Panel> {
  const { now, over_time, total, counts, top, newest, table, by = '', first, columns = [] } = spec
  if (now !== undefined) return metricsNow(spec, now)
  if (over_time !== undefined) return metricsOverTime(spec, over_time)
  if (total !== undefined) return logsTotal(spec, queryNamed(total, known))
  if (counts !== undefined) return logsOverTime(spec, by, queryNamed(counts, known))
  if (top !== undefined) return topOf(spec, by, queryNamed(top, known), first)
  if (newest !== undefined) return newestOf(spec, by.split(', '), queryNamed(newest, known))
  if (table !== undefined) return records(spec, columns, queryNamed(table, known))
  throw new Error(`panel "${spec.title}": expected now, over_time, total, counts, top, newest or table, got none`)
}

const textBox = (name: string, label: string, value: string): TextBoxVariableBuilder =>
  new TextBoxVariableBuilder(name).label(label).defaultValue(value)

const choice = (name: string, label: string, datasource: DataSourceRef, query: string | object): QueryVariableBuilder =>
  new QueryVariableBuilder(name)
    .label(label)
    .datasource(datasource)
    .query(query)
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .multi(true)
    .includeAll(true)
    .allValue('.+')

function addHosts(page: DashboardBuilder): void {
  const query = { label: 'service_instance_id', stream: '{service_name="$service"}', type: 1, refId: 'host' }
  page
    .withVariable(new DatasourceVariableBuilder('loki').label('Loki').type('loki'))
    .withVariable(textBox('service', 'Service', 'ktrail'))
    .withVariable(choice('host', 'Host', LOKI, query))
}

function addAgents(page: DashboardBuilder): void {
  page
    .withVariable(new DatasourceVariableBuilder('prometheus').label('Prometheus').type('prometheus'))
    .withVariable(choice('instance', 'Agent', PROMETHEUS, 'label_values(ktrail_build_info, instance)'))
}

interface Look {
  readonly title: string
  readonly width: number
  readonly unit?: string
  readonly description?: string
}

/** Numbers of records over time, by label. */
const logsOverTime = (look: Look, label: string, of: string): Builder<Panel> => {
  const query = lokiQuery(`sum by (${label}) (count_over_time(${of} [$__auto]))`, `{{${label}}}`)
  return timePanel(look).datasource(LOKI).withTarget(query.range(true))
}

function metricsOverTime(look: Look, queries: NonNullable<PanelSpec['over_time']>): Builder<Panel> {
  const panel = timePanel(look).datasource(PROMETHEUS)
  queries.forEach(([expr, legend], i) =>
    panel.withTarget(new PrometheusQuery().expr(expr).legendFormat(legend).refId(refId(i)).range()),
  )
  return panel
}

/** One number for the whole time range. */
const logsTotal = (look: Look, of: string): Builder<Panel> =>
  statPanel(look)
    .datasource(LOKI)
    .withTarget(lokiQuery(`sum(count_over_time(${of} [$__range]))`).instant(true))

const metricsNow = (look: Look, expr: string): Builder<Panel> =>
  statPanel(look)
    .datasource(PROMETHEUS)
    .withTarget(new PrometheusQuery().expr(expr).legendFormat('').refId('A').instant())

/** The largest numbers of records over the whole time range, by labels; the column of `first` comes first. */
const topOf = (look: Look, labels: string, of: string, first: string = labels): Builder<Panel> =>
  described(new TablePanel(), look)
    .height(HEIGHT)
    .datasource(LOKI)
    .withTarget(lokiQuery(`topk(10, sum by (${labels}) (count_over_time(${of} [$__range])))`).instant(true))
    .withTransformation({
      id: 'organize',
      options: {
        excludeByName: { Time: true },
        indexByName: { [first]: 0, 'Value #A': 1 },
        renameByName: { 'Value #A': 'events' },
      },
    })

/** The largest numbers of records among the newest ones, counted by Grafana: programs choose these labels, and can choose many. */
const newestOf = (look: Look, labels: readonly string[], of: string): Builder<Panel> =>
  described(new TablePanel(), { description: `Among the newest ${NEWEST.toLocaleString('en')} records.`, ...look })
    .height(HEIGHT)
    .datasource(LOKI)
    .withTarget(lokiQuery(`${of} ${kept(labels, CUT_NEWEST)} | line_format ""`).maxLines(NEWEST))
    .withTransformation({ id: 'extractFields', options: { source: 'labels', replace: false } })
    .withTransformation({
      id: 'groupBy',
      options: {
        fields: {
          ...Object.fromEntries(labels.map((label) => [label, { aggregations: [], operation: 'groupby' }])),
          Time: { aggregations: ['count'], operation: 'aggregate' },
        },
      },
    })
    .withTransformation({ id: 'sortBy', options: { sort: [{ field: 'Time (count)', desc: true }] } })
    .withTransformation({ id: 'limit', options: { limitField: 10 } })
    .withTransformation({ id: 'organize', options: { renameByName: { 'Time (count)': 'events' } } })

/** Only these labels, each cut to a number of bytes. */
const kept = (labels: readonly string[], bytes: number): string =>
  `| label_format ${labels.map((label) => `${label}="{{ trunc ${bytes} .${label} }}"`).join(', ')} | keep ${labels.join(', ')}`

/** Single records, newest first; `log_record_uid` opens the whole record. */
const records = (look: Look, columns: readonly string[], expr: string): Builder<Panel> => {
  const labels = [...columns, 'log_record_uid']
  const names = ['Time', ...labels]
  return described(new TablePanel(), look)
    .height(2 * HEIGHT)
    .datasource(LOKI)
    .withTarget(lokiQuery(`${expr} ${kept(labels, CUT_RECORDS)} | line_format ""`).maxLines(500))
    .withTransformation({ id: 'extractFields', options: { source: 'labels', replace: false } })
    .withTransformation({ id: 'filterFieldsByName', options: { include: { names } } })
    .withTransformation({
      id: 'organize',
      options: { indexByName: Object.fromEntries(names.map((name, i) => [name, i])) },
    })
    .overrideByName('log_record_uid', [
      { id: 'links', value: [{ title: 'Open the record', url: recordLink(), targetBlank: true }] },
    ])
}

/** A link to Explore with a cell's record. Its variables are not encoded, because Grafana replaces them without decoding. */
function recordLink(): string {
  const expr = '{service_name="${service}"} | log_record_uid="${__value.raw}"'
  const pane = {
    datasource: '${loki}',
    queries: [{ refId: 'A', expr, datasource: { type: 'loki', uid: '${loki}' } }],
    range: { from: '${__from}', to: '${__to}' },
  }
  const text = encodeURIComponent(JSON.stringify({ record: pane }))
  return `/explore?schemaVersion=1&orgId=1&panes=${text.replaceAll('%24%7B', '${').replaceAll('%7D', '}')}`
}

interface Described<T> {
  title(title: string): T
  description(description: string): T
  span(width: number): T
  unit(unit: string): T
}

function described<T extends Described<T>>(panel: T, { title, width, unit = 'short', description = '' }: Look): T {
  return panel.title(title).description(description).span(width).unit(unit)
}

const statPanel = (look: Look): StatPanel => described(new StatPanel(), look).height(HEIGHT / 2)

const timePanel = (look: Look): TimePanel => described(new TimePanel(), look).height(HEIGHT).fillOpacity(10)

const lokiQuery = (expr: string, legend = ''): LokiQuery => new LokiQuery().expr(expr).legendFormat(legend).refId('A')

const refId = (i: number): string => String.fromCharCode('A'.charCodeAt(0) + i)
