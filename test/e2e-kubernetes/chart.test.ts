/**
 * A life of the Helm chart in a cluster: helm installs, changes, upgrades and uninstalls it with a real API server. A kubelet of the test
 * (test/support/kubernetes/kubelet.ts) runs the pods of its DaemonSet on a Debian 12, from the root file system of the container image. Only
 * `make kubernetes` runs it, which makes both.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test, { after, before, describe } from 'node:test'
import { parse } from 'yaml'
import { cannotRun, freshFolder } from '../e2e/support/agent.ts'
import { MetricsPage } from '../e2e/support/metrics.ts'
import { fileHook, path, policy } from '../e2e/support/policy.ts'
import { pathOf, processOf } from '../e2e/support/record.ts'
import type { Line } from '../e2e/support/record.ts'
import { BUSYBOX } from '../e2e/support/runc.ts'
import { until } from '../e2e/support/wait.ts'
import { startCluster } from '../support/kubernetes/guest-cluster.ts'
import { Kubelet } from '../support/kubernetes/kubelet.ts'
import type { RunningPod } from '../support/kubernetes/kubelet.ts'
import { AuditedRecords, sumOf } from '../support/otlp/audited.ts'
import { bodyOf } from '../support/otlp/decode.ts'
import type { LogsRequest } from '../support/otlp/decode.ts'
import { FakeSink, OK } from '../support/otlp/server.ts'
import { NODE, filenameAccess } from './filename-access.ts'
import type { WatchedAgent } from './filename-access.ts'

const at = (file: string): string => fileURLToPath(new URL(`../../${file}`, import.meta.url))
const LAYER = at('build/kubernetes/image')
const [, ENTRYPOINT = '[]'] = /^ENTRYPOINT (.*)$/m.exec(readFileSync(at('deploy/docker/Dockerfile'), 'utf8')) ?? []
/** The values of the page for users that give all rights. By default, the chart gives the fewest. */
const [, PRIVILEGED = ''] =
  /```yaml values\n(securityContext:[^`]*)```/.exec(readFileSync(at('docs/start/kubernetes.md'), 'utf8')) ?? []
const IMAGE = `ktrail:${JSON.parse(readFileSync(at('package.json'), 'utf8')).version}`
/** The agent reads its own files through an overlay here, and during an upgrade a second one runs beside it. */
const START_MS = 900_000
/** Files that are read before and after an upgrade. */
const READS = 40

const cluster = await startCluster(cannotRun())
const base = process.env['KTRAIL_IMAGE_BASE'] ?? ''
const unmade =
  existsSync(LAYER) && existsSync(base) ? false : 'no root of the container image: make kubernetes makes it'
const skip = 'missing' in cluster ? cluster.missing : unmade
const folder = skip === false ? freshFolder('chart') : '/none'
const HOOKS = join(folder, 'hooks.d')
const PROGRAM = join(folder, 'opt')
const STATE = join(folder, 'state')
const HOOK_LOG = join(folder, 'hook.log')
const watched = join(folder, 'watched')

/** It waits for pods that a test reports late, and logs the announcements of runtimes. */
const CONFIG = { kubernetes: { pod_wait: '60s' }, log: { level: 'debug' } }

/** The agent in a pod of the chart. */
class ChartPod implements WatchedAgent {
  readonly pod: RunningPod
  readonly #lines: Line[] = []

  constructor(pod: RunningPod) {
    this.pod = pod
  }

  get #container(): ReturnType<RunningPod['container']> {
    return this.pod.container('ktrail')
  }

  events(words: readonly string[]): ReturnType<WatchedAgent['events']> {
    return this.#container.exec(['ktrail', 'events', ...words])
  }

  until<T>(what: string, look: () => T | undefined | false | Promise<T | undefined | false>): Promise<T> {
    const alive = async (): Promise<T | undefined | false> => {
      const found = await look()
      if ((found === undefined || found === false) && this.#container.code !== undefined)
        throw new Error(`the container ended with ${this.#container.code}${this.#container.log()}`)
      return found
    }
    return until(what, alive, { more: () => this.#container.log(), ms: START_MS })
  }

  logged(text: string, about: string): Promise<unknown> {
    const isIt = (line: string): boolean => line.includes(`"msg":"${text}"`) && line.includes(`"policy":"${about}"`)
    return this.until(`${text}: ${about}`, () => this.#container.stderr.read().some(isIt))
  }

  /** Records of its exporter `stdout`. */
  lines(): readonly Line[] {
    const texts = this.#container.stdout.read()
    for (let i = this.#lines.length; i < texts.length; i++) this.#lines.push(JSON.parse(texts[i] ?? ''))
    return this.#lines
  }

  async metrics(): Promise<MetricsPage> {
    const page = await this.#container.get('/metrics')
    assert.equal(page?.status, 200)
    return new MetricsPage(await page.text())
  }

  async ready(): Promise<void> {
    for (const kind of ['startupProbe', 'livenessProbe', 'readinessProbe'] as const)
      await this.until(`the ${kind} to pass`, () => this.#container.passes(kind))
  }

  /** Accesses to files below the watched folder, as their names. */
  reads(): string[] {
    return this.lines()
      .filter((line) => line.process_kprobe?.policy_name === 'of-chart' && processOf(line).binary?.endsWith('/cat'))
      .map((line) => pathOf(line) ?? '')
      .filter((file) => file.startsWith(watched))
      .map((file) => file.slice(watched.length + 1))
  }
}

describe('chart', { skip }, () => {
  const server = 'missing' in cluster ? undefined : cluster
  let kubelet: Kubelet
  let sink: FakeSink
  /** The sink refuses everything. */
  let down = true
  /** Records that the sink has taken. */
  const taken: Array<LogsRequest['records']> = []
  let agent: ChartPod

  const ran = async (program: 'kubectl' | 'helm', args: readonly string[], input = ''): Promise<string> => {
    const { code, stdout, stderr } = (await server?.[program](args, input)) ?? assert.fail()
    assert.equal(code, 0, `${program} ${args.join(' ')}: ${stderr}`)
    return stdout
  }
  /** As the page for users installs it, with values of the test. */
  const helm = async (command: 'install' | 'upgrade', values: object): Promise<void> => {
    await ran(
      'helm',
      [command, 'ktrail', 'deploy/helm/ktrail', '-n', 'ktrail', '--values', '-'],
      JSON.stringify(values),
    )
  }
  const restartKey = (): Promise<string> =>
    ran('kubectl', [
      'get',
      'daemonset',
      'ktrail',
      '-n',
      'ktrail',
      '-o',
      'jsonpath={.spec.template.metadata.annotations}',
    ])

  const values = (exporters: object = {}, rest: object = parse(PRIVILEGED)): object => ({
    runtimeHook: { enabled: true, hooks: HOOKS, install: PROGRAM },
    paths: { state: STATE },
    exporters: {
      stdout: { type: 'stdout', format: 'json' },
      sink: {
        type: 'otlp',
        endpoint: sink.url.replace('/v1/logs', ''),
        // In order.
        concurrency: { max: 1 },
        spool: { dir: '/var/lib/ktrail/spool' },
      },
      ...exporters,
    },
    // One that nothing here touches: the verifier takes long in a guest.
    library: ['sudoers-pam'],
    policies: { 'of-chart.yaml': policy('of-chart', [fileHook([path('Prefix', `${watched}/`)])]) },
    config: CONFIG,
    ...rest,
  })

  const read = (name: string): void => {
    writeFileSync(join(watched, name), name)
    execFileSync('cat', [join(watched, name)])
  }
  /** A container of a pod that has none of the API server's rights, with the node's hooks, to its end. */
  const otherPod = async (name: string): Promise<{ uid: string; id: string }> => {
    const pod = {
      containers: [{ name: 'main', image: 'busybox', args: ['true'] }],
      nodeName: NODE,
      restartPolicy: 'Never',
    }
    const spec = { ...pod, automountServiceAccountToken: false }
    await server?.apply({ apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'default' }, spec })
    const running = await kubelet.start(name, 'default')
    const { id, ended } = running.container('main')
    const { code, log } = await ended
    assert.equal(code, 0, log())
    await running.stop()
    return { uid: running.uid, id }
  }

  before(async () => {
    assert.ok(server)
    const busybox = join(folder, 'busybox')
    for (const part of [watched, join(busybox, 'bin'), HOOKS]) mkdirSync(part, { recursive: true })
    copyFileSync(BUSYBOX, join(busybox, BUSYBOX))
    kubelet = new Kubelet({
      cluster: server,
      node: NODE,
      folder,
      images: {
        [IMAGE]: { layers: [LAYER, base], entrypoint: JSON.parse(ENTRYPOINT) },
        busybox: { layers: [busybox], entrypoint: [BUSYBOX] },
      },
      hooks: HOOKS,
      slowHook: (text) =>
        text
          .replace('--kill-after=1 4 ', '60 ')
          .replace(' oci-hook ', ` oci-hook --log ${HOOK_LOG} `)
          .replace(': 10', ': 90'),
    })
    sink = await FakeSink.start((request) => {
      if (down) return { status: 503 }
      taken.push(request.logs().records)
      return OK
    })
    await ran('kubectl', ['create', 'namespace', 'ktrail'])
    await ran('kubectl', ['label', 'namespace', 'ktrail', 'pod-security.kubernetes.io/enforce=privileged'])
    await helm('install', values())
    agent = new ChartPod(await kubelet.startOf('ktrail', 'ktrail'))
  })
  after(async () => {
    await agent?.pod.kill()
    await sink?.[Symbol.asyncDispose]()
  })

  test('chart: the pod of the DaemonSet becomes ready', async (t) => {
    const began = performance.now()
    await agent.ready()
    t.diagnostic(`ready in ${Math.round(performance.now() - began)} ms`)
    read('first')
    await agent.until('an event', () => agent.reads().includes('first'))
  })

  test('chart: the page on filename access, with ktrail events in the pod', async (t) => {
    assert.ok(server)
    await filenameAccess(t, server, agent)
  })

  /** A container is announced before its first program, whose event has the name of the pod. */
  const isAnnounced = async (name: string): Promise<void> => {
    const { uid, id } = await otherPod(name)
    const isFirst = (line: Line): boolean =>
      line.process_exec !== undefined &&
      processOf(line).binary === BUSYBOX &&
      processOf(line).docker === id.slice(0, 31)
    const { pod } = processOf(await agent.until('its first event', () => agent.lines().find(isFirst)))
    assert.deepEqual([pod?.['name'], pod?.['uid'], Object(pod?.['container']).name], [name, uid, 'main'])
    const announced = (line: string): boolean =>
      line.includes('"msg":"a runtime announced a container"') && line.includes(id)
    await agent.until('the announcement', () => agent.pod.container('ktrail').stderr.read().some(announced))
    assert.equal(existsSync(HOOK_LOG) ? readFileSync(HOOK_LOG, 'utf8') : '', '')
  }

  test('chart: the init container gave the node the hook, which announces a container', async () => {
    assert.deepEqual(readdirSync(HOOKS), ['ktrail.json'])
    await isAnnounced('announced')
  })

  test('chart: a changed exporter takes effect without a new pod', async () => {
    const key = await restartKey()
    await helm('upgrade', values({ more: { type: 'file', path: '/var/lib/ktrail/more.jsonl' } }))
    assert.equal(await restartKey(), key)
    await agent.pod.refresh()
    const reloaded = async (): Promise<boolean> =>
      (await agent.metrics()).sum('ktrail_config_reloads_total', { result: 'applied' }) === 1
    await agent.until('the reload', reloaded)
    read('archived')
    const archive = join(STATE, 'more.jsonl')
    await agent.until('a record in the file on the node', () =>
      (existsSync(archive) ? readFileSync(archive, 'utf8') : '').includes(join(watched, 'archived')),
    )
  })

  test('chart: an upgrade misses no read and loses nothing spooled; the next pod has the fewest rights', async (t) => {
    assert.ok(sink.requests.length > 0, 'it has refused what came so far')
    for (let i = 0; i < READS; i++) read(`before-${i}`)
    await agent.until('the last read', () => agent.reads().includes(`before-${READS - 1}`))
    const key = await restartKey()
    await helm('upgrade', values({}, { config: { ...CONFIG, ring: { size: '16MiB' } } }))
    assert.notEqual(await restartKey(), key)

    // As a rollout with maxSurge: the earlier pod is deleted when the next one is ready.
    const earlier = agent
    const began = performance.now()
    agent = new ChartPod(await kubelet.startOf('ktrail', 'ktrail'))
    let during = 0
    await agent.until('the next agent', () => {
      read(`during-${during++}`)
      return agent.pod
        .container('ktrail')
        .stderr.read()
        .some((line) => line.includes('"msg":"ready"'))
    })
    await agent.ready()
    t.diagnostic(`the next pod took over after ${Math.round(performance.now() - began)} ms`)
    assert.equal(earlier.pod.container('ktrail').code, undefined, 'the kubelet would start it again')
    assert.equal(taken.length, 0)
    const stopped = performance.now()
    const codes = await earlier.pod.stop()
    t.diagnostic(`the earlier pod ended in ${Math.round(performance.now() - stopped)} ms`)
    assert.deepEqual([...codes], [['ktrail', 0]], earlier.pod.container('ktrail').log())

    for (let i = 0; i < READS; i++) read(`after-${i}`)
    await agent.until('the last read', () => agent.reads().includes(`after-${READS - 1}`))
    await isAnnounced('after-the-upgrade')
    down = false
    const numbers = (count: number): number[] => [...Array(count).keys()]
    const wanted = [
      ...numbers(READS).flatMap((i) => [`before-${i}`, `after-${i}`]),
      ...numbers(during).map((i) => `during-${i}`),
    ]
    const ofFile = new RegExp(`"path":"${watched}/([^"]+)"`)
    const stored = (): Set<string | undefined> =>
      new Set(taken.flat().map((record) => ofFile.exec(bodyOf(record))?.[1]))
    await agent.until('every read in the sink', () => {
      const all = stored()
      return wanted.every((name) => all.has(name))
    })
    assert.deepEqual([...(await agent.pod.stop())], [['ktrail', 0]], agent.pod.container('ktrail').log())

    const audited = new AuditedRecords()
    for (const records of taken) audited.add(records)
    const streams = audited.report()
    const { records, ...wrong } = sumOf(streams)
    t.diagnostic(
      `${records} records of ${streams[0]?.runs.length} runs; the sink refused ${sink.requests.length - taken.length} requests`,
    )
    assert.deepEqual(wrong, { untold: [], twice: 0, outOfOrder: 0 })
    assert.deepEqual(
      streams.map(({ exporter, missingRuns, runs }) => [exporter, missingRuns, runs.map(({ end }) => end)]),
      [['sink', [], ['stopped', 'stopped']]],
    )
  })

  test('chart: what helm uninstall leaves on the node keeps no container from starting', async () => {
    await ran('helm', ['uninstall', 'ktrail', '-n', 'ktrail'])
    const left = await ran('kubectl', ['get', 'all,configmaps,serviceaccounts', '-n', 'ktrail', '-o', 'name'])
    assert.equal(left, '')
    assert.deepEqual(readdirSync(HOOKS), ['ktrail.json'])
    await otherPod('without-agent')
    // As on the page: the file, then the folder.
    rmSync(join(HOOKS, 'ktrail.json'))
    await otherPod('without-hook')
    rmSync(PROGRAM, { recursive: true })
    await otherPod('without-both')
    assert.equal(existsSync(HOOK_LOG) ? readFileSync(HOOK_LOG, 'utf8') : '', '')
  })
})
