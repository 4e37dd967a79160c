/**
 * Dashboards, pages and alerts on a real Loki with records of the real agent: each query has data, with more files and programs than Loki allows
 * series, and each alert fires. `make loki` runs it, and writes docs/reference/exporters/loki-queries.md from what it leaves in build/loki/.
 */
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { after, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { parse } from 'yaml'
import { z } from 'zod'
import { findEngine } from '../support/containers/engine.ts'
import type { Launched } from '../support/containers/launched.ts'
import { LOKI_VERSION, countOf, lokiImage, resultsOf, startLoki } from '../support/containers/loki.ts'
import { Collector, collectorProgram } from '../support/otlp/collector.ts'
import { blocks, read } from '../unit/support/pages.ts'
import { FILES, Load, PROGRAMS } from './load.ts'
import type { Results } from './page.ts'
import { shippedQueries } from './queries.ts'

const SETTLE_MS = 180_000
const LOOK_MS = 1000
const ALL = 'sum(count_over_time({service_name="ktrail"} | security_rule_name!="" [1h]))'
const RULES = 'deploy/loki/ktrail.rules.yaml'

const found = await findEngine()
after(async () => {
  if ('engine' in found) await found.engine[Symbol.asyncDispose]()
})

/** A Loki with our rules; skips the test if there is none. */
async function started(t: { skip(why: string): void }): Promise<Launched | undefined> {
  if ('missing' in found) return void t.skip(found.missing)
  const chosen = await lokiImage(found.engine)
  if ('missing' in chosen) return void t.skip(chosen.missing)
  return startLoki(found.engine, chosen.image, { '/loki/rules/fake/ktrail.yaml': read(RULES) })
}

async function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  const end = performance.now() + SETTLE_MS
  for (;;) {
    const seen = await look()
    if (seen !== undefined) return seen
    if (performance.now() > end) throw new Error(`waited ${SETTLE_MS / 1000} s in vain for ${what}`)
    await pause(LOOK_MS)
  }
}

const EXPORTER = { type: 'otlp', queue: { when_full: 'block' }, retry: { initial: '100ms', max: '1s' } }
const ALERTS = z.object({
  data: z.object({
    groups: z.array(
      z.object({ rules: z.array(z.object({ name: z.string(), state: z.string(), lastError: z.string().optional() })) }),
    ),
  }),
})

test(`loki ${LOKI_VERSION}: each query of dashboards and pages has data beside ${FILES} files and ${PROGRAMS} programs, and each alert fires`, async (t) => {
  await using loki = await started(t)
  if (loki === undefined) return
  await using load = await Load.start({ loki: { ...EXPORTER, endpoint: `http://${loki.address}/otlp`, loki: true } })
  await load.play()
  await until('all records', async () => ((await countOf(loki.address, ALL)) >= FILES + PROGRAMS ? true : undefined))
  const queries: Array<Results['queries'][number]> = []
  const empty: string[] = []
  for (const { where, title, expr, isInstant, limit } of shippedQueries()) {
    const results = await resultsOf(loki.address, expr, isInstant, limit).catch((error: Error) => error.message)
    if (typeof results === 'string' || results.length === 0) empty.push(`${where}, ${title}: ${expr}: ${results}`)
    queries.push({ where, title, results: typeof results === 'string' ? 0 : results.length })
  }
  const alerts = await until('each alert', async () => {
    const answer = await fetch(`http://${loki.address}/prometheus/api/v1/rules`)
    const rules = ALERTS.parse(await answer.json()).data.groups.flatMap((group) => group.rules)
    return rules.length > 0 && rules.every(({ state }) => state === 'firing')
      ? rules.map(({ name }) => name)
      : undefined
  })
  assert.deepEqual(
    alerts.toSorted(),
    Array.from(read(RULES).matchAll(/- alert: (\w+)/g), ([, name = '']) => name).toSorted(),
  )
  assert.deepEqual(empty, [])
  keep({ version: LOKI_VERSION, files: FILES, programs: PROGRAMS, queries, alerts })
})

test(`loki ${LOKI_VERSION}: through a Collector, with the configs of the page, records have the names of events and commands`, async (t) => {
  const built = await collectorProgram()
  if ('missing' in built) return t.skip(built.missing)
  await using loki = await started(t)
  if (loki === undefined) return
  await using collector = await Collector.start(built.program, `http://${loki.address}/otlp/v1/logs`)
  const page = blocks(read('docs/how-to/send-to-loki.md'), 'yaml').find((text) => text.includes('http://collector:'))
  const { endpoint: _, spool: __, ...keys } = parse(page ?? '').exporters.collector
  await using load = await Load.start({
    collector: { ...keys, ...EXPORTER, endpoint: `http://127.0.0.1:${collector.port}` },
  })
  await load.playActs()
  const query =
    '{service_name="ktrail"} | event_name="ktrail.process_exec" | process_command_line="/tmp/tool -o file \\"two words\\""'
  await until('the record', async () =>
    (await countOf(loki.address, `sum(count_over_time(${query} [1h]))`)) === 1 ? true : undefined,
  )
})

function keep(results: Results): void {
  const folder = new URL('../../build/loki/', import.meta.url)
  mkdirSync(folder, { recursive: true })
  writeFileSync(new URL(`${results.version}.json`, folder), `${JSON.stringify(results, undefined, 2)}\n`)
}
