/** A real Prometheus scrapes an agent without a kernel: it takes the whole page, and the alert rules fire for the failures there. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { z } from 'zod'
import { until } from '../e2e/support/wait.ts'
import { startPageAgent } from '../support/page/agent.ts'
import { FakeSink } from '../support/otlp/server.ts'
import { enabledPolicies } from '../unit/collector/support/policies.ts'
import { makeExec } from '../unit/exporters/support/events.ts'

const DASHBOARD = new URL('../../deploy/grafana/dashboards/agent-health.json', import.meta.url)
const RULES = new URL('../../deploy/prometheus/ktrail.rules.yaml', import.meta.url)
const missing = spawnSync('prometheus', ['--version']).error !== undefined
const skip = missing ? 'prometheus is missing: deploy/setup/packages.sh test installs it' : false
if (skip !== false) console.log(`prometheus: skipped: ${skip}`)

const folders = mkdtempSync(join(tmpdir(), 'ktrail-prometheus-'))
after(() => rmSync(folders, { recursive: true }))

const alertsAnswer = z.object({
  data: z.object({ alerts: z.array(z.object({ state: z.string(), labels: z.record(z.string(), z.string()) })) }),
})
const valueAnswer = z.object({
  data: z.object({ result: z.array(z.object({ value: z.tuple([z.number(), z.string()]) })) }),
})
const DEADLINE = { ms: 30_000 }
const namesAnswer = z.object({ data: z.array(z.string()) })

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return typeof address === 'object' && address !== null ? address.port : assert.fail()
}

/** Scrapes `target` four times a second, with the alert rules of deploy/prometheus/ without their waits. */
async function startPrometheus(target: string): Promise<AsyncDisposable & { readonly url: string }> {
  const folder = mkdtempSync(join(folders, 'one-'))
  writeFileSync(join(folder, 'rules.yaml'), readFileSync(RULES, 'utf8').replaceAll(/^ +for: .*\n/gm, ''))
  const job = { job_name: 'ktrail', static_configs: [{ targets: [target] }] }
  const intervals = { scrape_interval: '250ms', scrape_timeout: '250ms', evaluation_interval: '250ms' }
  // JSON is YAML.
  writeFileSync(
    join(folder, 'prometheus.yaml'),
    JSON.stringify({ global: intervals, rule_files: ['rules.yaml'], scrape_configs: [job] }),
  )
  const address = `127.0.0.1:${await freePort()}`
  const args = [
    `--config.file=${join(folder, 'prometheus.yaml')}`,
    `--storage.tsdb.path=${join(folder, 'data')}`,
    `--web.listen-address=${address}`,
  ]
  const child = spawn('prometheus', args, { stdio: ['ignore', 'ignore', 'pipe'] })
  let log = ''
  child.stderr.on('data', (text) => (log += String(text)))
  const ended = once(child, 'exit')
  const url = `http://${address}`
  await until('Prometheus is ready', async () => {
    assert.equal(child.exitCode, null, log)
    return (await fetch(`${url}/-/ready`).catch(() => undefined))?.ok === true
  })
  return {
    url,
    async [Symbol.asyncDispose]() {
      child.kill()
      await ended
    },
  }
}

test(
  'prometheus: reads the page of an agent, and alerts on losses, a held exporter and a stopped agent',
  { skip },
  async () => {
    await using sink = await FakeSink.start(() => ({ status: 401 }))
    const losses = [{ hook: '*', reason: 'ring_full_hook', count: 0 }]
    const exporters = `{ loki: { type: otlp, logs_endpoint: "${sink.url}", loki: true, spool: { dir: FOLDER, min_free: 1MiB } } }`
    await using agent = await startPageAgent({ exporters, policies: enabledPolicies({ name: 'files' }), losses })
    await using prometheus = await startPrometheus(new URL(agent.url).host)
    const firing = async (): Promise<string[]> => {
      const answer = await (await fetch(`${prometheus.url}/api/v1/alerts`)).json()
      const { alerts } = alertsAnswer.parse(answer).data
      return alerts
        .filter(({ state }) => state === 'firing')
        .map(({ labels }) => labels['alertname'] ?? '')
        .toSorted()
    }
    const names = async (): Promise<readonly string[]> =>
      namesAnswer.parse(await (await fetch(`${prometheus.url}/api/v1/label/__name__/values`)).json()).data
    await until('the page is stored', async () => (await names()).includes('ktrail_exporter_accepted_events_total'))
    const page = await (await fetch(`${agent.url}metrics`)).text()
    const shown = new Set([...page.matchAll(/^(ktrail_\w+)[{ ]/gm)].map(([, name = '']) => name))
    const stored = new Set(await names())
    assert.ok(shown.size > 50, `${shown.size} names`)
    assert.deepEqual(
      [...shown].filter((name) => !stored.has(name)),
      [],
    )
    // Without their waits, KtrailNoAgents fires until the first scrape.
    await until('no alert', async () => (await firing()).length === 0)

    // Too old for Loki, so refused before sending: a reason that has no sample before.
    await agent.publish([makeExec({ seq: 0 })])
    await until('a refused event', async () => (await firing()).includes('KtrailEventsRejected'))
    await agent.publish([makeExec({ seq: 1, time: { sec: Math.floor(Date.now() / 1000), nsec: 0 } })])
    await until('a held exporter', async () => (await firing()).includes('KtrailExporterHeld'))
    losses.splice(0, 1, { hook: '*', reason: 'ring_full_hook', count: 5 })
    await until('a loss', async () => (await firing()).includes('KtrailEventsLost'))
    assert.deepEqual(await firing(), ['KtrailEventsLost', 'KtrailEventsRejected', 'KtrailExporterHeld'])
    await agent.stop()
    await until('an agent that is gone', async () => (await firing()).includes('KtrailAgentDown'))
  },
)

/** The query of a panel of the agents' dashboard. */
function panelQuery(title: string): string {
  const { panels }: { panels: Array<{ title: string }> } = JSON.parse(readFileSync(DASHBOARD, 'utf8'))
  const panel = panels.find((each) => each.title === title)
  const [expr = ''] = JSON.stringify(panel ?? {}).match(/(?<="expr":)"(?:[^"\\]|\\.)*"/) ?? []
  return String(JSON.parse(expr)).replaceAll('$__range', '5m').replaceAll('$instance', '.*')
}

test(
  'prometheus: the panel of dropped and rejected events shows the first burst of an agent whole',
  { skip },
  async () => {
    await using sink = await FakeSink.start(() => ({ status: 200 }))
    const exporters = `{ loki: { type: otlp, logs_endpoint: "${sink.url}", loki: true } }`
    await using agent = await startPageAgent({ exporters, policies: enabledPolicies({ name: 'files' }) })
    await using prometheus = await startPrometheus(new URL(agent.url).host)
    const query = async (expr: string): Promise<number | undefined> => {
      const answer = await (
        await fetch(`${prometheus.url}/api/v1/query?${new URLSearchParams({ query: expr })}`)
      ).json()
      const [result] = valueAnswer.parse(answer).data.result
      return result === undefined ? undefined : Number(result.value[1])
    }
    const shown = (): Promise<number | undefined> => query(panelQuery('Dropped or rejected'))
    await until('samples of an agent that has lost nothing', async () => (await shown()) === 0, DEADLINE)
    // Too old for Loki.
    await agent.publish(Array.from({ length: 8 }, (_, seq) => makeExec({ seq })))
    await until(
      'the burst is counted',
      async () => (await query('sum(ktrail_exporter_rejected_events_total)')) === 8,
      DEADLINE,
    )
    // Prometheus extrapolates by the interval of its samples.
    await until('the panel shows the burst', async () => Math.round((await shown()) ?? 0) === 8, DEADLINE)
  },
)
