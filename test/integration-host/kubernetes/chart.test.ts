/** The Helm chart: its objects for several values, and the answers of a real API server. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { parse, parseAllDocuments } from 'yaml'
import { z } from 'zod'
import { checkConfigText } from '../../../config/agent/check.ts'
import { parsePolicy } from '../../../config/policy/parse.ts'
import { definitions } from '../../../deploy/crds/write-crds.ts'
import { createAuthority } from '../../support/authority.ts'
import { helm, helmTemplate } from '../../support/kubernetes/helm.ts'
import { ApiServer, established, kubernetesPrograms } from '../../support/kubernetes/server.ts'
import { blocks, read } from '../../unit/support/pages.ts'

const ROOT = path.join(import.meta.dirname, '../../..')
const CHART = path.join(ROOT, 'deploy/helm/ktrail')
const VALUES = path.join(ROOT, 'test/fixtures/helm')
const GOLDEN = path.join(ROOT, 'test/golden/helm')
const NAMES = readdirSync(VALUES)

/** Dashboards and rules are compared with their files. */
const NOT_GOLDEN = new Set(['monitoring.yaml'])

const helmOnly = await kubernetesPrograms('--helm-if-built')
const noHelm = 'missing' in helmOnly ? helmOnly.missing : false
const folder = 'folder' in helmOnly ? helmOnly.folder : ''
const programs = await kubernetesPrograms()
const skip = 'missing' in programs ? programs.missing : false
const server = skip === false ? await ApiServer.start(folder) : undefined
const scratch = mkdtempSync(path.join(tmpdir(), 'ktrail-chart-'))
after(async () => {
  await server?.[Symbol.asyncDispose]()
  rmSync(scratch, { recursive: true })
})

interface Entity {
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly labels?: Record<string, string>
    readonly annotations?: Record<string, string>
  }
  readonly data?: Record<string, string>
  readonly spec?: { readonly template?: { readonly metadata: { readonly annotations: Record<string, string> } } }
}

function entities(yaml: string): Entity[] {
  return parseAllDocuments(yaml).flatMap((document) => (document.toJS() as Entity | null) ?? [])
}

const withValues = (name: string): string[] => ['--values', path.join(VALUES, name)]

function running(): ApiServer {
  assert.ok(server)
  return server
}

before(async () => {
  if (server === undefined) return
  await server.kubectl(['apply', '--server-side', '-f', path.join(ROOT, 'deploy/crds')])
  await server.kubectl(['create', 'namespace', 'ktrail'])
  // Definitions of the Prometheus operator; only their names matter here.
  const schema = { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } }
  for (const kind of ['ServiceMonitor', 'PrometheusRule']) {
    const singular = kind.toLowerCase()
    await server.apply({
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: `${singular}s.monitoring.coreos.com` },
      spec: {
        group: 'monitoring.coreos.com',
        scope: 'Namespaced',
        names: { plural: `${singular}s`, singular, kind },
        versions: [{ name: 'v1', served: true, storage: true, schema }],
      },
    })
  }
  await established(server)
})

test('chart: its version is that of ktrail', () => {
  const { version } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as { version: string }
  const chart = readFileSync(path.join(CHART, 'Chart.yaml'), 'utf8')
  assert.match(chart, new RegExp(`^version: ${version}\nappVersion: ${version}$`, 'm'))
})

test('chart: helm lint reports nothing for any values, including those of the page', { skip: noHelm }, async () => {
  for (const name of NAMES) await helm(folder, ['lint', '--strict', '--quiet', CHART, ...withValues(name)])
  const shown = blocks(read('docs/start/kubernetes.md'), 'yaml values')
  assert.ok(shown.length >= 2)
  for (const [i, text] of shown.entries()) {
    const file = path.join(scratch, `shown-${i}.yaml`)
    writeFileSync(file, text)
    await helm(folder, ['lint', '--strict', '--quiet', CHART, '--values', file])
  }
})

test('chart: its objects equal the golden files (else: UPDATE_GOLDEN=1)', { skip: noHelm }, async () => {
  for (const name of NAMES.filter((each) => !NOT_GOLDEN.has(each))) {
    const made = await helmTemplate(folder, withValues(name))
    if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(path.join(GOLDEN, name), made)
    assert.equal(made, readFileSync(path.join(GOLDEN, name), 'utf8'), name)
  }
})

test('chart: a real API server accepts all objects', { skip }, async () => {
  for (const name of NAMES) {
    const made = await helmTemplate(folder, withValues(name))
    const { code, stderr } = await running().kubectl(
      ['apply', '--dry-run=server', '--validate=strict', '-f', '-'],
      made,
    )
    assert.equal(code, 0, `${name}: ${stderr}`)
    assert.equal(stderr, '', `${name}: no warnings`)
  }
})

test('chart: ktrail accepts the config and the policies of each', { skip: noHelm }, async () => {
  const secrets = path.join(scratch, 'secrets')
  mkdirSync(secrets)
  for (const key of ['http-token', 'password']) writeFileSync(path.join(secrets, key), 'a-long-enough-secret')
  const { ca } = createAuthority(scratch, 'kafka', { addresses: ['127.0.0.1'] })
  writeFileSync(path.join(scratch, 'ca.crt'), readFileSync(ca))
  mkdirSync(path.join(scratch, 'policies'))
  for (const name of NAMES) {
    const maps = entities(await helmTemplate(folder, withValues(name))).filter(({ kind }) => kind === 'ConfigMap')
    for (const [file, text] of maps.flatMap(({ data = {} }) => Object.entries(data))) {
      if (file.endsWith('.json')) continue
      if (file !== 'ktrail.yaml') {
        const parsed = parsePolicy(text, file)
        assert.deepEqual('problems' in parsed ? parsed.problems : [], [], name)
        continue
      }
      const here = text.replaceAll('/etc/ktrail', scratch).replaceAll('/etc/kafka-ca', scratch)
      const { problems } = await checkConfigText(here, path.join(scratch, 'ktrail.yaml'), {
        NODE_NAME: 'n',
        TOKEN: 't',
      })
      assert.deepEqual(problems, [], name)
    }
  }
})

test('chart: wrong values are refused with their name', { skip: noHelm }, async () => {
  const rows = [
    { set: ['--set', 'exporter.x.type=file'], want: /additional properties 'exporter' not allowed/ },
    { set: ['--set', 'http.port=web'], want: /http\/port.*got string, want integer/s },
    { set: ['--set', 'exporters.x.path=/y'], want: /exporters\/x': missing property 'type'/ },
    { set: ['--set', 'exporters.x.type=oltp'], want: /exporters\/x\/type.*one of 'file', 'stdout', 'otlp', 'kafka'/s },
    {
      set: ['--set', 'exporters.x.type=otlp,exporters.x.endpont=http://y'],
      want: /exporters\/x': additional properties 'endpont' not allowed/,
    },
    { set: ['--set', 'exporters.x.type=file,exporters.x.path=/y,exporters.x.envelope=maybe'], want: /x\/envelope/ },
    { set: ['--set', 'config.rng.size=1MiB'], want: /config': additional properties 'rng' not allowed/ },
    { set: ['--set', 'config.ring.size=many'], want: /config\/ring\/size': 'many' does not match/ },
    { set: ['--set', 'config.exporters.x.type=oltp'], want: /config\/exporters\/x\/type/ },
    { set: ['--set', 'library=pci'], want: /library.*got string, want array/s },
    {
      set: ['--set', 'runtimeHook.enabled=true,paths.run=/x'],
      want: /paths\.run: expected \/run\/ktrail, where the hook/,
    },
    { set: ['--set', 'secret.name=x'], want: /secret\.keys: expected the keys of the secret/ },
  ]
  for (const { set, want } of rows) {
    await assert.rejects(helmTemplate(folder, set), (error: unknown) => {
      assert.ok(error instanceof Error)
      assert.match(error.message, want)
      return true
    })
  }
})

test('chart: a reference may stand for any value, and a package for an exporter', { skip: noHelm }, async () => {
  const sets = [
    'config.memory.hard_limit=${env:LIMIT}',
    'config.enable_process_cred=${env:CRED}',
    'exporters.x.type=npm:x',
  ]
  const values = sets.flatMap((one) => ['--set', one])
  assert.match(await helmTemplate(folder, values), /hard_limit: \$\{env:LIMIT\}/)
})

const container = z.object({ name: z.string(), securityContext: z.record(z.string(), z.unknown()) })
const podTemplate = z.object({
  metadata: z.object({ annotations: z.record(z.string(), z.string()) }),
  spec: z.object({
    priorityClassName: z.string().optional(),
    initContainers: z.array(container).default([]),
    containers: z.tuple([container.extend({ env: z.array(z.object({ name: z.string() })) })]),
  }),
})

/** The pod of the DaemonSet. */
async function podOf(...args: string[]): Promise<z.output<typeof podTemplate>> {
  const all = entities(await helmTemplate(folder, args))
  return podTemplate.parse(all.find(({ kind }) => kind === 'DaemonSet')?.spec?.template)
}

test('chart: a name that other charts use means the same as its own', { skip: noHelm }, async () => {
  const rows = [
    ['fullnameOverride=a', 'nameOverride=a'],
    ['fullnameOverride=a,nameOverride=b', 'nameOverride=a'],
    ['extraEnv[0].name=A,extraEnv[0].value=b', 'env[0].name=A,env[0].value=b'],
    ['priorityClassName=a', 'priorityClass.create=false,priorityClass.name=a'],
  ]
  for (const [common = '', own = ''] of rows)
    assert.equal(await helmTemplate(folder, ['--set', common]), await helmTemplate(folder, ['--set', own]), common)
  const both = await podOf('--set', 'env[0].name=A,extraEnv[0].name=B')
  assert.deepEqual(
    both.spec.containers[0].env.map(({ name }) => name),
    ['NODE_NAME', 'A', 'B'],
  )
})

test(
  'chart: alert rules and dashboards are those of the repository, and off by default',
  { skip: noHelm },
  async () => {
    const isMonitoring = ({ kind, metadata }: Entity): boolean =>
      kind === 'PrometheusRule' || metadata.labels?.['grafana_dashboard'] !== undefined
    assert.deepEqual(entities(await helmTemplate(folder)).filter(isMonitoring), [])
    const made = entities(await helmTemplate(folder, withValues('monitoring.yaml'))).filter(isMonitoring)
    const [rules = assert.fail('no rules'), ...others] = made.filter(({ kind }) => kind === 'PrometheusRule')
    assert.deepEqual(others, [])
    assert.deepEqual(rules.spec, parse(read('deploy/prometheus/ktrail.rules.yaml')))
    assert.equal(rules.metadata.labels?.['release'], 'prometheus')
    const maps = made.filter(({ kind }) => kind === 'ConfigMap')
    const files = readdirSync(path.join(ROOT, 'deploy/grafana/dashboards'))
    assert.ok(files.length >= 4)
    const wanted = files.map((file) => [`ktrail-${file}`, JSON.parse(read(`deploy/grafana/dashboards/${file}`))])
    const found = maps.flatMap(({ data = {} }) => Object.entries(data).map(([file, text]) => [file, JSON.parse(text)]))
    assert.deepEqual(Object.fromEntries(found), Object.fromEntries(wanted))
    for (const { metadata } of maps) {
      assert.equal(metadata.labels?.['grafana_dashboard'], '1')
      assert.deepEqual(metadata.annotations, { grafana_folder: 'ktrail' })
    }
  },
)

test('chart: agents of any release are scraped as the job ktrail', { skip: noHelm }, async () => {
  const made = entities(
    await helmTemplate(folder, ['--set', 'metrics.serviceMonitor.enabled=true,fullnameOverride=node-agent']),
  )
  const { spec } = made.find(({ kind }) => kind === 'ServiceMonitor') ?? assert.fail('no ServiceMonitor')
  const { jobLabel = '' } = z.object({ jobLabel: z.string() }).parse(spec)
  assert.equal(made.find(({ kind }) => kind === 'Service')?.metadata.labels?.[jobLabel], 'ktrail')
})

test(
  'chart: a container has the rights of compose by default, and all of them if it is privileged',
  { skip: noHelm },
  async () => {
    const hook = ['--set', 'runtimeHook.enabled=true']
    const compose = z
      .object({ services: z.object({ ktrail: z.object({ cap_add: z.array(z.string()) }) }) })
      .parse(parse(read('deploy/compose/compose.yaml')))
    const least = {
      privileged: false,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      runAsUser: 0,
      // A pod cannot have compose's limit on real-time priority.
      capabilities: { drop: ['ALL'], add: [...compose.services.ktrail.cap_add, 'SYS_NICE'] },
      seccompProfile: { type: 'Unconfined' },
      seLinuxOptions: { type: 'spc_t' },
    }
    const profile = { appArmorProfile: { type: 'Unconfined' } }
    const { capabilities: _, allowPrivilegeEscalation: __, ...others } = least
    const rows = [
      { args: [], want: { ...least, ...profile } },
      { args: ['--set', 'securityContext.privileged=true'], want: { ...others, ...profile, privileged: true } },
      { args: ['--kube-version', '1.30.0'], want: { ...least, ...profile } },
      { args: ['--kube-version', '1.29.14'], want: least, annotation: 'unconfined' },
      {
        args: ['--kube-version', 'v1.28.5-gke.100', '--set', 'securityContext.appArmorProfile.type=RuntimeDefault'],
        want: least,
        annotation: 'runtime/default',
      },
    ]
    for (const { args, want, annotation } of rows) {
      const { metadata, spec } = await podOf(...hook, ...args)
      const all = [...spec.initContainers, ...spec.containers]
      assert.equal(all.length, 2)
      for (const { name, securityContext } of all) {
        assert.deepEqual(securityContext, want, `${name}: ${args.join(' ')}`)
        const key = `container.apparmor.security.beta.kubernetes.io/${name}`
        assert.equal(metadata.annotations[key], annotation, `${name}: ${args.join(' ')}`)
      }
    }
  },
)

test('chart: pods are replaced only for keys that need a restart of the agent', { skip: noHelm }, async () => {
  const keyOf = async (...set: string[]): Promise<string | undefined> =>
    entities(
      await helmTemplate(
        folder,
        set.flatMap((one) => ['--set', one]),
      ),
    ).find(({ kind }) => kind === 'DaemonSet')?.spec?.template?.metadata.annotations['ktrail/restart-keys']
  const first = await keyOf()
  assert.match(first ?? '', /^[0-9a-f]{64}$/)
  assert.equal(await keyOf('exporters.more.type=stdout'), first)
  assert.equal(await keyOf('config.shutdown.grace=20s'), first)
  assert.notEqual(await keyOf('config.ring.size=32MiB'), first)
  assert.notEqual(await keyOf('kubernetes.policySelector=a=b'), first)
})

test('chart: the plain manifest is the chart with all definitions, and is taken whole', { skip }, async () => {
  execFileSync(path.join(ROOT, 'deploy/package/manifest.sh'), { stdio: 'pipe' })
  const file = path.join(ROOT, 'build/packages/kubernetes/ktrail.yaml')
  const text = readFileSync(file, 'utf8')
  const namesOf = (yaml: string): string[] => entities(yaml).map(({ kind, metadata }) => `${kind} ${metadata.name}`)
  const crds = definitions().map((definition) => definition.text)
  const chart = await helmTemplate(folder, ['--no-hooks'])
  assert.deepEqual(
    namesOf(text).toSorted(),
    ['Namespace ktrail', ...crds.flatMap(namesOf), ...namesOf(chart)].toSorted(),
  )
  assert.ok(crds.every((crd) => text.includes(crd)))
  assert.doesNotMatch(text, /helm/i)
  const { code, stderr } = await running().kubectl(['apply', '--dry-run=server', '--validate=strict', '-f', file])
  assert.equal(code, 0, stderr)
})

test('chart: its package has the same bytes each time, and makes the same objects', { skip }, async () => {
  const script = path.join(ROOT, 'deploy/package/chart.sh')
  const packages = path.join(ROOT, 'build/packages/helm')
  const built = (): { file: string; bytes: Buffer } => {
    execFileSync(script, { stdio: 'pipe' })
    const [name = ''] = readdirSync(packages)
    return { file: path.join(packages, name), bytes: readFileSync(path.join(packages, name)) }
  }
  const one = built()
  const other = built()
  assert.ok(one.bytes.equals(other.bytes))
  const values = withValues('loki.yaml')
  assert.equal(
    await helmTemplate(folder, ['--include-crds', ...values], other.file),
    await helmTemplate(folder, ['--include-crds', ...values]),
  )
})

test('chart: after an upgrade the command of the page replaces the definitions that helm made', { skip }, async () => {
  const cluster = running()
  const page = read('docs/start/kubernetes.md')
  const [, words = ''] = /`kubectl (apply --server-side [^`]*)`/.exec(page) ?? assert.fail('no command')
  await cluster.kubectl(['delete', '-f', path.join(ROOT, 'deploy/crds')])
  const installed = await cluster.helm(['install', 'ktrail', CHART, '--namespace', 'ktrail'])
  assert.equal(installed.code, 0, installed.stderr)
  // A later version of the definitions.
  const later = path.join(scratch, 'crds')
  mkdirSync(later)
  for (const file of readdirSync(path.join(ROOT, 'deploy/crds')).filter((name) => name.endsWith('.yaml'))) {
    const text = readFileSync(path.join(ROOT, 'deploy/crds', file), 'utf8')
    writeFileSync(path.join(later, file), text.replace(/^( *description:) /m, '$1 Later. '))
  }
  const changed = words.split(' ').map((word) => (word === 'deploy/crds' ? later : word))
  assert.ok(changed.includes(later), words)
  const { code, stdout, stderr } = await cluster.kubectl(changed)
  assert.equal(code, 0, stderr)
  assert.equal(stdout.match(/serverside-applied/g)?.length, 4)
  await established(cluster)
  const { stdout: definition } = await cluster.kubectl(['get', 'crd', 'tracingpolicies.cilium.io', '-o', 'yaml'])
  assert.match(definition, /description: '?Later\. /)
  assert.equal((await cluster.helm(['uninstall', 'ktrail', '--namespace', 'ktrail'])).code, 0)
})
