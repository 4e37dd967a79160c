/** Dashboards, alert rules and the queries of the pages: made by their program, they parse, and every name in them exists. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { parser } from '@grafana/lezer-logql'
import { parse } from 'yaml'
import { z } from 'zod'
import { SEVERITY_BY_TAG } from '../../../config/agent/exporters/otlp-records.ts'
import { dashboards } from '../../../deploy/grafana/write-dashboards.ts'
import { recordedAnswer } from '../../support/otlp/loki-answer.ts'
import { ROOT, read } from './pages.ts'

const FOLDER = 'deploy/grafana/dashboards'
const RULES = 'deploy/prometheus/ktrail.rules.yaml'
const LOKI_RULES = 'deploy/loki/ktrail.rules.yaml'
const RULE_TESTS = 'deploy/prometheus/ktrail.rules.test.yaml'

const page = z.object({
  uid: z.string(),
  panels: z.array(
    z.object({
      title: z.string(),
      datasource: z.object({ type: z.string(), uid: z.string() }),
      targets: z.array(z.object({ expr: z.string(), datasource: z.object({ uid: z.string() }).optional() })),
    }),
  ),
})
const rules = z.object({
  groups: z.array(
    z.object({
      rules: z.array(
        z.object({
          alert: z.string(),
          expr: z.string(),
          annotations: z.object({ runbook_url: z.string(), summary: z.string() }),
        }),
      ),
    }),
  ),
})
const ruleTests = z.object({
  tests: z.array(
    z.object({ alert_rule_test: z.array(z.object({ alertname: z.string(), exp_alerts: z.array(z.unknown()) })) }),
  ),
})

const pages = Object.entries(dashboards()).map(([file, text]) => ({ file, text, page: page.parse(JSON.parse(text)) }))
const alertsIn = (file: string): z.output<typeof rules>['groups'][number]['rules'] =>
  rules.parse(parse(read(file))).groups.flatMap((group) => group.rules)
const alerts = alertsIn(RULES)
const lokiAlerts = alertsIn(LOKI_RULES)

interface Query {
  readonly where: string
  readonly expr: string
}
const ofDashboards = (type: string): Query[] =>
  pages.flatMap(({ file, page: { panels } }) =>
    panels
      .filter(({ datasource }) => datasource.type === type)
      .flatMap(({ title, targets }) => targets.map(({ expr }) => ({ where: `${file}, ${title}`, expr: filled(expr) }))),
  )

/** With values for the variables of Grafana. */
const filled = (expr: string): string =>
  expr.replaceAll(/\$__(?:range|auto|interval|rate_interval)/g, '5m').replaceAll(/\$(?:\{\w+\}|[a-z]\w*)/g, 'x')

const logql: readonly Query[] = [
  ...ofDashboards('loki'),
  ...lokiAlerts.map(({ alert, expr }) => ({ where: alert, expr })),
  ...['docs/how-to/query-loki.md', 'deploy/compose/README.md'].flatMap((file) =>
    [...read(file).matchAll(/^```logql\n(.*?)^```/gms)].map(([, expr = '']) => ({ where: file, expr: expr.trim() })),
  ),
]
const promql: readonly Query[] = [
  ...ofDashboards('prometheus'),
  ...alerts.map(({ alert, expr }) => ({ where: alert, expr })),
]

/** Names that a real Loki has of the golden records, sent with `loki: true`. */
const lokiNames = (): Set<string> =>
  new Set(recordedAnswer().flatMap(({ stream, metadata }) => Object.keys({ ...stream, ...metadata })))

test('dashboards: the committed files equal the program’s output (else: node deploy/grafana/write-dashboards.ts)', () => {
  assert.deepEqual(readdirSync(join(ROOT, FOLDER)).toSorted(), pages.map(({ file }) => file).toSorted())
  for (const { file, text } of pages) assert.equal(read(`${FOLDER}/${file}`), text, file)
})

test('dashboards: each has an own uid, and data sources only by variable', () => {
  assert.equal(new Set(pages.map(({ page: { uid } }) => uid)).size, pages.length)
  for (const {
    file,
    page: { panels },
  } of pages) {
    assert.ok(panels.length >= 9, `${file}: ${panels.length} panels`)
    for (const { title, datasource } of panels)
      assert.match(datasource.uid, /^\$\{(?:loki|prometheus)\}$/, `${file}, ${title}`)
  }
})

test('queries: every LogQL query parses, and every name in it is in a record', () => {
  const known = lokiNames()
  const eventNames = new Set(read('test/golden/otlp/events.json').match(/(?<="eventName": ")[^"]+/g))
  assert.ok(logql.length >= 25, `${logql.length} queries`)
  for (const { where, expr } of logql) {
    const wrong: string[] = []
    const names: string[] = []
    parser.parse(expr).iterate({
      enter: ({ type, from, to }) => {
        if (type.isError) wrong.push(`at ${from}: ${expr.slice(from, to + 20)}`)
        if (type.name === 'Identifier') names.push(expr.slice(from, to))
      },
    })
    assert.deepEqual(wrong, [], `${where}: ${expr}`)
    names.push(...[...expr.matchAll(/\{\{\s*\.?(\w+)\s*\}\}/g)].map(([, name = '']) => name))
    assert.ok(names.length > 0, `${where}: no name in ${expr}`)
    for (const name of names) assert.ok(known.has(name), `${where}: no record has ${name}`)
    const wanted = [...expr.matchAll(/event_name=~?"([^"]+)"/g)].flatMap(([, text = '']) => text.split('|'))
    for (const name of wanted) assert.ok(eventNames.has(name), `${where}: no record has the event name ${name}`)
  }
})

/** Labels whose number of values follows from policies and hosts, not from programs. */
const BOUNDED = /^(?:security_rule_name|severity_text|service_instance_id|ktrail_(?:tags|file_access|signal|loss_\w+))$/

test('queries: metric queries of panels and pages group by labels of which programs cannot make over 500', () => {
  const metric = logql.filter(({ where, expr }) => !where.startsWith('Ktrail') && /_over_time\(/.test(expr))
  assert.ok(metric.length >= 20, `${metric.length} queries`)
  for (const { where, expr } of metric)
    for (const [, labels = ''] of expr.matchAll(/ by \(([^)]*)\)/g))
      for (const label of labels.split(', ')) assert.match(label, BOUNDED, `${where}: ${expr}`)
})

test('alerts: those of Loki are metric queries by the labels of their texts, and of severities that records have', () => {
  const severities = new Set(Object.values(SEVERITY_BY_TAG).map((name) => name.toUpperCase()))
  assert.ok(lokiAlerts.length >= 5)
  for (const { alert, expr, annotations } of lokiAlerts) {
    const by =
      /^topk\(20, sum by \(([\w, ]+)\) \((?:count|sum)_over_time\(.*\)\)\) > \d+$/.exec(expr)?.[1]?.split(', ') ?? []
    assert.ok(by.length > 0, `${alert}: ${expr}`)
    for (const [, label = ''] of annotations.summary.matchAll(/\$labels\.(\w+)/g))
      assert.ok(by.includes(label), `${alert}: the query has no label ${label}`)
    for (const [, severity = ''] of expr.matchAll(/severity_text="(\w+)"/g)) assert.ok(severities.has(severity), expr)
  }
})

test('queries: every name in a PromQL query is a metric of the agent, or Prometheus’ own', () => {
  const known = new Set(['up', ...(read('docs/reference/metrics.md').match(/(?<=^\| `)ktrail_\w+/gm) ?? [])])
  assert.ok(promql.length >= 30, `${promql.length} queries`)
  for (const { where, expr } of promql) {
    const names = expr.match(/\b(?:ktrail_\w+|up)\b/g) ?? []
    assert.ok(names.length > 0, `${where}: no metric in ${expr}`)
    for (const name of names) assert.ok(known.has(name.replace(/_bucket$/, '')), `${where}: no metric ${name}`)
  }
})

test('alerts: each has an entry in the runbook, and a test in which it fires; there is no LogQL test tool', () => {
  const runbook = read('docs/how-to/alerts.md')
  const { homepage }: { homepage: string } = JSON.parse(read('package.json'))
  const tests = ruleTests.parse(parse(read(RULE_TESTS))).tests.flatMap((one) => one.alert_rule_test)
  const firing = new Set(tests.filter(({ exp_alerts: fired }) => fired.length > 0).map(({ alertname }) => alertname))
  const all = [...alerts, ...lokiAlerts]
  assert.equal(new Set(all.map(({ alert }) => alert)).size, all.length)
  for (const { alert, annotations } of all) {
    // Alertmanager and Grafana make a link of it.
    assert.equal(annotations.runbook_url, `${homepage}/docs/how-to/alerts.md#${alert.toLowerCase()}`)
    assert.match(runbook, new RegExp(`^### ${alert}$`, 'm'))
  }
  for (const { alert } of alerts) {
    assert.ok(firing.has(alert), `${RULE_TESTS}: no test in which ${alert} fires`)
  }
})

const promtool = (
  ...args: readonly string[]
): { readonly status: number | null; readonly text: string } | undefined => {
  const { error, status, stdout, stderr } = spawnSync('promtool', args, {
    encoding: 'utf8',
    cwd: ROOT,
    timeout: 60_000,
  })
  return error === undefined ? { status, text: stdout + stderr } : undefined
}
const NO_PROMTOOL = 'promtool is missing: deploy/setup/packages.sh test installs it'

test('alerts: promtool accepts the rules, and each fires where it should', (t) => {
  const checked = promtool('check', 'rules', RULES)
  if (checked === undefined) return t.skip(NO_PROMTOOL)
  assert.equal(checked.status, 0, checked.text)
  const tested = promtool('test', 'rules', RULE_TESTS)
  assert.equal(tested?.status, 0, tested?.text)
})

test('queries: promtool parses every PromQL query', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'ktrail-promql-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'queries.yaml')
  // JSON is YAML.
  const recorded = promql.map(({ expr }, i) => ({ record: `query:${i}`, expr }))
  writeFileSync(file, JSON.stringify({ groups: [{ name: 'queries', rules: recorded }] }))
  const checked = promtool('check', 'rules', file)
  if (checked === undefined) return t.skip(NO_PROMTOOL)
  assert.equal(checked.status, 0, checked.text)
  assert.match(checked.text, new RegExp(`${promql.length} rules found`))
})
