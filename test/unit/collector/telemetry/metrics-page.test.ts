/** docs/reference/metrics.md lists every metric and every label value. UPDATE_GOLDEN=1 rewrites its table. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { pino } from 'pino'
import { Losses } from '../../../../collector/telemetry/losses.ts'
import { LoopLag } from '../../../../collector/telemetry/metrics/loop-lag.ts'
import { createMetrics } from '../../../../collector/telemetry/metrics/metrics.ts'
import { COUNTERS } from '../../../../collector/wire/wire.ts'
import { Sender } from '../../../../exporters/index.ts'
import { parsePrometheus } from '../../../support/prometheus.ts'
import { makeSources } from '../support/sources.ts'
import { FakeExporter } from '../../exporters/support/lines.ts'
import { CHAIN } from '../../../support/exporter-config.ts'

const PAGE = new URL('../../../../docs/reference/metrics.md', import.meta.url)
const BEGIN = '<!-- metrics:begin -->'
const END = '<!-- metrics:end -->'

const counters = Object.fromEntries(COUNTERS.map((name) => [name, 0])) as Record<(typeof COUNTERS)[number], number>
const losses = new Losses({
  kernel: {
    counts: () => ({
      taken: 0,
      counters,
      programs: new Map([['hook', { missed: 0, runs: 0, runNs: 0 }]]),
      functions: new Map(),
    }),
  },
  ingest: { accounting: { malformed: 0 }, orphaned: 0 },
  guard: { counts: new Map([['gate_changed', 0]]) },
  log: pino({ level: 'silent' }),
})
using lag = new LoopLag()
const senders = [new Sender('a', new FakeExporter(), CHAIN)]
const page = createMetrics(
  makeSources({ losses: () => losses.list(), senders: () => senders, loopLag: () => lag.seconds }),
)

function table(): string {
  const rows = page.families.map(({ name, help, labelNames }) => {
    const labels = labelNames.length === 0 ? '' : `{${labelNames.join(',')}}`
    return `| \`${name}${labels}\` | ${help} |`
  })
  return `\n| metric | what |\n|---|---|\n${rows.join('\n')}\n\n`
}

test('metrics page: the table in docs/reference/metrics.md matches the metrics (else: UPDATE_GOLDEN=1)', () => {
  const readme = readFileSync(PAGE, 'utf8')
  const from = readme.indexOf(BEGIN) + BEGIN.length + 1
  const to = readme.indexOf(END)
  assert.ok(from > BEGIN.length && to >= from, `docs/reference/metrics.md: expected the lines ${BEGIN} and ${END}`)
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(PAGE, readme.slice(0, from) + table() + readme.slice(to))
  assert.equal(readFileSync(PAGE, 'utf8').slice(from).split(END)[0], table())
})

test('metrics page: lists every state, outcome and reason', async () => {
  const [section = ''] = readFileSync(PAGE, 'utf8').split(BEGIN)
  const families = parsePrometheus(await page.text())
  const words = families.flatMap(({ samples }) =>
    samples.flatMap(({ labels }) => ['state', 'outcome', 'reason'].flatMap((label) => labels[label] ?? [])),
  )
  assert.ok(new Set(words).size > 20, `${words.length} words`)
  for (const word of words)
    assert.ok(section.includes(`\`${word}\``), `docs/reference/metrics.md: expected \`${word}\``)
})
