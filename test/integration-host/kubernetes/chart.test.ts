/** The Helm chart: its objects for several values, and the answers of a real API server. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { parseAllDocuments } from 'yaml'
import { checkConfigText } from '../../../config/agent/check.ts'
import { parsePolicy } from '../../../config/policy/parse.ts'
import { definitions } from '../../../deploy/crds/write-crds.ts'
import { helm, helmTemplate } from '../../support/kubernetes/helm.ts'
import { ApiServer, established, kubernetesPrograms } from '../../support/kubernetes/server.ts'
import { blocks, read } from '../../unit/support/pages.ts'

const ROOT = path.join(import.meta.dirname, '../../..')
const CHART = path.join(ROOT, 'deploy/helm/ktrail')
const VALUES = path.join(ROOT, 'test/fixtures/helm')
const GOLDEN = path.join(ROOT, 'test/golden/helm')
const NAMES = readdirSync(VALUES)

const programs = await kubernetesPrograms()
const skip = 'missing' in programs ? programs.missing : false
const folder = 'folder' in programs ? programs.folder : ''
const server = skip === false ? await ApiServer.start(folder) : undefined
const scratch = mkdtempSync(path.join(tmpdir(), 'ktrail-chart-'))
after(async () => {
  await server?.[Symbol.asyncDispose]()
  rmSync(scratch, { recursive: true })
})

interface Entity {
  readonly kind: string
  readonly metadata: { readonly name: string; readonly annotations?: Record<string, string> }
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
  // A definition of the Prometheus operator; only its name matters here.
  const names = { plural: 'servicemonitors', singular: 'servicemonitor', kind: 'ServiceMonitor' }
  const schema = { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } }
  await server.apply({
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: 'servicemonitors.monitoring.coreos.com' },
    spec: {
      group: 'monitoring.coreos.com',
      scope: 'Namespaced',
      names,
      versions: [{ name: 'v1', served: true, storage: true, schema }],
    },
  })
  await established(server)
})

test('chart: its version is that of ktrail', () => {
  const { version } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as { version: string }
  const chart = readFileSync(path.join(CHART, 'Chart.yaml'), 'utf8')
  assert.match(chart, new RegExp(`^version: ${version}\nappVersion: ${version}$`, 'm'))
})

test('chart: helm lint reports nothing for any values, including those of the page', { skip }, async () => {
  for (const name of NAMES) await helm(folder, ['lint', '--strict', '--quiet', CHART, ...withValues(name)])
  const shown = blocks(read('docs/start/kubernetes.md'), 'yaml values')
  assert.ok(shown.length >= 2)
  for (const [i, text] of shown.entries()) {
    const file = path.join(scratch, `shown-${i}.yaml`)
    writeFileSync(file, text)
    await helm(folder, ['lint', '--strict', '--quiet', CHART, '--values', file])
  }
})

test('chart: its objects equal the golden files (else: UPDATE_GOLDEN=1)', { skip }, async () => {
  for (const name of NAMES) {
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

test('chart: ktrail accepts the config and the policies of each', { skip }, async () => {
  const secrets = path.join(scratch, 'secrets')
  mkdirSync(secrets)
  for (const key of ['http-token', 'password']) writeFileSync(path.join(secrets, key), 'a-long-enough-secret')
  writeFileSync(path.join(scratch, 'ca.crt'), readFileSync(running().ca))
  mkdirSync(path.join(scratch, 'policies'))
  for (const name of NAMES) {
    const maps = entities(await helmTemplate(folder, withValues(name))).filter(({ kind }) => kind === 'ConfigMap')
    for (const [file, text] of maps.flatMap(({ data = {} }) => Object.entries(data))) {
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

test('chart: wrong values are refused with their name', { skip }, async () => {
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

test('chart: a reference may stand for any value, and a package for an exporter', { skip }, async () => {
  const sets = [
    'config.memory.hard_limit=${env:LIMIT}',
    'config.enable_process_cred=${env:CRED}',
    'exporters.x.type=npm:x',
  ]
  const values = sets.flatMap((one) => ['--set', one])
  assert.match(await helmTemplate(folder, values), /hard_limit: \$\{env:LIMIT\}/)
})

test('chart: pods are replaced only for keys that need a restart of the agent', { skip }, async () => {
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
