/** What the dashboards share: their variables, and panels with our defaults. Widths are of 24 columns. */
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
export const RECORDS = '{service_name="$service", service_instance_id=~"$host"}'

export interface Page {
  /** Stable: links and provisioning refer to it. */
  readonly uid: string
  readonly title: string
  readonly description: string
}

function page({ uid, title, description }: Page): DashboardBuilder {
  const tags = ['ktrail']
  const range = { from: 'now-1h', to: 'now' }
  return new DashboardBuilder(title).uid(uid).description(description).tags(tags).time(range).refresh('30s').readonly()
}

/** A dashboard of records in Loki. */
export function recordsPage(of: Page): DashboardBuilder {
  return page(of)
    .withVariable(new DatasourceVariableBuilder('loki').label('Loki').type('loki'))
    .withVariable(new TextBoxVariableBuilder('service').label('Service').defaultValue('ktrail'))
    .withVariable(
      new QueryVariableBuilder('host')
        .label('Host')
        .datasource(LOKI)
        .query({ label: 'service_instance_id', stream: '{service_name="$service"}', type: 1, refId: 'host' })
        .refresh(VariableRefresh.OnTimeRangeChanged)
        .multi(true)
        .includeAll(true)
        .allValue('.+'),
    )
}

/** A dashboard of the agents' metrics in Prometheus. */
export function metricsPage(of: Page): DashboardBuilder {
  return page(of)
    .withVariable(new DatasourceVariableBuilder('prometheus').label('Prometheus').type('prometheus'))
    .withVariable(
      new QueryVariableBuilder('instance')
        .label('Agent')
        .datasource(PROMETHEUS)
        .query('label_values(ktrail_build_info, instance)')
        .refresh(VariableRefresh.OnTimeRangeChanged)
        .multi(true)
        .includeAll(true)
        .allValue('.+'),
    )
}

interface Look {
  readonly title: string
  readonly width: number
  readonly unit?: string
  readonly legend?: string
  readonly description?: string
}

/** Numbers of records over time, by label. */
export const logsOverTime = (look: Look, label: string, of: string): Builder<Panel> => {
  const query = lokiQuery(`sum by (${label}) (count_over_time(${of} [$__auto]))`, `{{${label}}}`)
  return timePanel(look).datasource(LOKI).withTarget(query.range(true))
}

export function metricsOverTime(
  look: Look,
  ...queries: ReadonlyArray<readonly [expr: string, legend: string]>
): Builder<Panel> {
  const panel = timePanel(look).datasource(PROMETHEUS)
  queries.forEach(([expr, legend], i) =>
    panel.withTarget(new PrometheusQuery().expr(expr).legendFormat(legend).refId(refId(i)).range()),
  )
  return panel
}

/** One number for the whole time range. */
export const logsTotal = (look: Look, of: string): Builder<Panel> =>
  described(new StatPanel(), look)
    .height(HEIGHT / 2)
    .datasource(LOKI)
    .withTarget(lokiQuery(`sum(count_over_time(${of} [$__range]))`).instant(true))

export const metricsNow = (look: Look, expr: string): Builder<Panel> =>
  described(new StatPanel(), look)
    .height(HEIGHT / 2)
    .datasource(PROMETHEUS)
    .withTarget(
      new PrometheusQuery()
        .expr(expr)
        .legendFormat(look.legend ?? '')
        .refId('A')
        .instant(),
    )

/** The largest numbers of records over the whole time range, by labels; the column of `first` comes first. */
export const top = (look: Look, labels: string, of: string, first: string = labels): Builder<Panel> =>
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

/** Single records, newest first; `log_record_uid` opens the whole record. */
export const records = (look: Look, columns: readonly string[], expr: string): Builder<Panel> =>
  described(new TablePanel(), look)
    .height(2 * HEIGHT)
    .datasource(LOKI)
    .withTarget(lokiQuery(expr).maxLines(500))
    .withTransformation({ id: 'extractFields', options: { source: 'labels', replace: false } })
    .withTransformation({
      id: 'filterFieldsByName',
      options: { include: { names: ['Time', ...columns, 'log_record_uid'] } },
    })
    .withTransformation({
      id: 'organize',
      options: { indexByName: Object.fromEntries(['Time', ...columns, 'log_record_uid'].map((name, i) => [name, i])) },
    })
    .overrideByName('log_record_uid', [
      { id: 'links', value: [{ title: 'Open the record', url: recordLink(), targetBlank: true }] },
    ])

/** Explore, with the one record of a cell. Grafana replaces its variables after it has decoded nothing: they stay as they are. */
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

const timePanel = (look: Look): TimePanel => described(new TimePanel(), look).height(HEIGHT).fillOpacity(10)

const lokiQuery = (expr: string, legend = ''): LokiQuery => new LokiQuery().expr(expr).legendFormat(legend).refId('A')

const refId = (i: number): string => String.fromCharCode('A'.charCodeAt(0) + i)
