/**
 * Policies from a real API server, with the rights that the chart gives. The kernel is a list here; the registry, the client and the server are real.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { connect } from '../../../collector/kubernetes/client.ts'
import { followPolicies } from '../../../collector/policies/kubernetes.ts'
import { Policies } from '../../../collector/policies/registry.ts'
import type { KubernetesConfig } from '../../../config/agent/schema.ts'
import { helmTemplate } from '../../support/kubernetes/helm.ts'
import { ApiServer, established, kubernetesPrograms } from '../../support/kubernetes/server.ts'
import { FakeKernel } from '../../unit/collector/support/policies.ts'

const ROOT = path.join(import.meta.dirname, '../../..')
/** How long the API server is away; KTRAIL_LONG=1: until attempts are as far apart as they get. */
const AWAY_MS = process.env['KTRAIL_LONG'] === '1' ? 120_000 : 0
const programs = await kubernetesPrograms()
const skip = 'missing' in programs ? programs.missing : false
const server = 'folder' in programs ? await ApiServer.start(programs.folder) : undefined
const folder = mkdtempSync(path.join(tmpdir(), 'ktrail-source-'))
after(async () => {
  await server?.[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true })
})

function running(): ApiServer {
  assert.ok(server)
  return server
}

async function kubectl(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await running().kubectl(args)
  assert.equal(code, 0, stderr)
  return stdout
}

before(async () => {
  if (!('folder' in programs)) return
  await kubectl('apply', '--server-side', '-f', path.join(ROOT, 'deploy/crds'))
  await established(running())
  await kubectl('create', 'namespace', 'ktrail')
  await kubectl('create', 'serviceaccount', 'stranger', '-n', 'ktrail')
  await running().apply(await helmTemplate(programs.folder, ['--show-only', 'templates/rbac.yaml']))
})

/** A kubeconfig whose token file has a fresh token of a service account. */
async function kubeconfigOf(account: string): Promise<{ kubeconfig: string; tokenFile: string }> {
  const tokenFile = path.join(folder, `${account}.token`)
  writeFileSync(tokenFile, await kubectl('create', 'token', account, '-n', 'ktrail'))
  const kubeconfig = path.join(folder, `${account}.kubeconfig`)
  writeFileSync(kubeconfig, JSON.stringify(running().kubeconfigOf({ tokenFile })))
  return { kubeconfig, tokenFile }
}

interface Rig extends AsyncDisposable {
  readonly kernel: FakeKernel
  readonly policies: Policies
  readonly lines: string[]
  readonly tokenFile: string
  /** Waits until the condition holds, and returns how long it took in milliseconds. */
  until(what: string, holds: () => boolean): Promise<number>
}

async function rig(account: string, config: Partial<KubernetesConfig> = {}): Promise<Rig> {
  const { kubeconfig, tokenFile } = await kubeconfigOf(account)
  const kernel = new FakeKernel()
  const policies = new Policies(kernel)
  const lines: string[] = []
  const line = (first: unknown, text?: string): void => void lines.push(text ?? String(first))
  const client = await connect({ kubeconfig }, {})
  const log = { info: line, warn: line, error: line }
  const source = await followPolicies({ client, config, policies, nodeName: 'node-1', log })
  return {
    kernel,
    policies,
    lines,
    tokenFile,
    async until(what, holds) {
      const began = performance.now()
      while (!holds()) {
        if (performance.now() - began > 40_000 + AWAY_MS)
          assert.fail(`${what}: ${kernel.log.join()}; ${lines.join('\n')}`)
        await wait(10)
      }
      return performance.now() - began
    },
    async [Symbol.asyncDispose]() {
      await source[Symbol.asyncDispose]()
      await policies[Symbol.asyncDispose]()
      client[Symbol.dispose]()
    },
  }
}

const policy = (name: string, operator = 'Prefix', labels: object = {}): object => ({
  apiVersion: 'cilium.io/v1alpha1',
  kind: 'TracingPolicy',
  metadata: { name, labels },
  spec: {
    kprobes: [
      {
        call: 'security_file_permission',
        syscall: false,
        args: [{ index: 0, type: 'file' }],
        selectors: [{ matchArgs: [{ index: 0, operator, values: ['/etc/'] }] }],
      },
    ],
  },
})

/** Events on an object, as `type reason count message`. */
async function eventsOn(name: string): Promise<string[]> {
  const format = '{range .items[*]}{.type} {.reason} {.count} {.message}{"\\n"}{end}'
  const field = `--field-selector=involvedObject.name=${name}`
  return (await kubectl('get', 'events', '-A', field, '-o', `jsonpath=${format}`)).trimEnd().split('\n')
}

test('policies of the cluster: kubectl adds, changes and deletes them within a second', { skip }, async () => {
  await running().apply(policy('there-before'))
  await using made = await rig('ktrail')
  assert.deepEqual(made.kernel.names, ['there-before'], 'attached when the start is done')
  await running().apply(policy('live'))
  const added = await made.until('added', () => made.kernel.names.includes('live'))
  await running().apply(policy('live', 'Equal'))
  const changed = await made.until('changed', () => made.kernel.log.includes('-live +live'))
  // One more label, and no other policy.
  await kubectl('label', 'tracingpolicy', 'live', 'team=x')
  await kubectl('delete', 'tracingpolicy', 'live', 'there-before')
  const gone = await made.until('deleted', () => made.kernel.names.length === 0)
  assert.deepEqual(made.kernel.log.slice(0, 3), ['+there-before', '+live', '-live +live'])
  // Time since the end of kubectl.
  for (const ms of [added, changed, gone]) assert.ok(ms < 1000, `${added} ${changed} ${gone} ms`)
})

test('policies of the cluster: the result of an agent is an Event that kubectl describe shows', { skip }, async () => {
  await using made = await rig('ktrail')
  await running().apply(policy('told'))
  await made.until('added', () => made.kernel.names.includes('told'))
  // The API server has no rule for the operators that fit a file.
  await running().apply(policy('told', 'GreaterThan'))
  const refusal = /spec\.kprobes\[0\]\.selectors\[0\]\.matchArgs\[0\]\.operator: GreaterThan does not apply/
  await made.until('refused', () => made.lines.some((line) => refusal.test(line)))
  assert.deepEqual(made.kernel.names, ['told'], 'the version before stays')
  made.kernel.refuse = () => new Error('no such kernel symbol')
  await running().apply(policy('told', 'Equal'))
  await made.until('refused by the kernel', () => made.lines.some((line) => line.includes('no such kernel symbol')))
  let described = ''
  while (!described.includes('no such kernel symbol')) described = await kubectl('describe', 'tracingpolicy', 'told')
  assert.match(described, /Normal +Attached +\S+ +ktrail +node-1: attached, 1 hook; this kernel has no g, skipped/)
  assert.match(
    described,
    /Warning +Refused +\S+ +ktrail +node-1: spec\.kprobes\[0\].*; the previous version stays attached/,
  )
  // An equal refusal of another version is counted in the first one.
  await running().apply(policy('told', 'GreaterThan'))
  let events: string[] = []
  while (!events.some((line) => line.startsWith('Warning Refused 2 node-1: spec.kprobes')))
    events = await eventsOn('told')
  assert.equal(events.filter((line) => line.includes('spec.kprobes')).length, 1)
  await kubectl('delete', 'tracingpolicy', 'told')
})

const WATCHED = '/etc/secrets'
/** With fields that only ktrail's own kinds have. */
const ownPolicy = (name: string): object => ({
  apiVersion: 'ktrail.dev/v1alpha1',
  kind: 'TracingPolicy',
  metadata: { name },
  spec: {
    kprobes: [
      {
        call: 'security_file_open',
        syscall: false,
        args: [{ index: 0, type: 'file' }],
        aggregate: { window: '10s' },
        selectors: [{ matchArgs: [{ index: 0, operator: 'UnderDir', values: [WATCHED] }] }],
      },
    ],
  },
})

test(
  'policies of the cluster: policies of ktrail.dev are attached with all keys, beside one of the same name',
  { skip },
  async () => {
    await running().apply(policy('both'))
    await using made = await rig('ktrail')
    await running().apply(ownPolicy('both'))
    await made.until('added', () => made.policies.list().length === 2)
    const added = made.policies.list().find(({ id }) => id.source === 'k8s.ktrail.dev')?.policy.hooks[0]
    assert.equal(added?.aggregate?.windowMs, 10_000)
    const [filter] = added.selectors[0]?.matchArgs ?? []
    assert.deepEqual(filter?.class === 'identity' && [filter.operator, filter.values], ['UnderDir', [WATCHED]])
    let events: string[] = []
    while (!events.some((line) => line.startsWith('Normal Attached'))) events = await eventsOn('both')
    await kubectl('delete', 'tracingpolicies.cilium.io', 'both')
    await made.until('one is deleted', () => made.policies.list().length === 1)
    assert.equal(made.policies.list()[0]?.id.source, 'k8s.ktrail.dev')
    await kubectl('delete', 'tracingpolicies.ktrail.dev', 'both')
    await made.until('the other is deleted', () => made.policies.list().length === 0)
  },
)

test('policies of the cluster: a label and a name choose those for ktrail', { skip }, async () => {
  await running().apply(policy('ktrail-one', 'Prefix', { for: 'ktrail' }))
  await running().apply(policy('tetragons', 'Prefix', { for: 'ktrail' }))
  await running().apply(policy('ktrail-other'))
  await using made = await rig('ktrail', { policy_selector: 'for=ktrail', policy_names: ['^ktrail-'] })
  assert.deepEqual(made.kernel.names, ['ktrail-one'])
  // Removing the label is like a delete, adding it like a new policy.
  await kubectl('label', 'tracingpolicy', 'ktrail-one', 'for-')
  await made.until('removed', () => made.kernel.names.length === 0)
  await kubectl('label', 'tracingpolicy', 'ktrail-other', 'for=ktrail')
  await made.until('added', () => made.kernel.names.join() === 'ktrail-other')
  await kubectl('delete', 'tracingpolicy', '--all')
})

test(
  'policies of the cluster: policies stay while the API server is away, and are updated when it is back',
  { skip },
  async () => {
    await running().apply(policy('stays'))
    await running().apply(policy('goes'))
    await using made = await rig('ktrail')
    await running().pause()
    await made.until('reported', () =>
      made.lines.some((line) => /policies of the API server stay .* does not answer/.test(line)),
    )
    await wait(AWAY_MS)
    assert.deepEqual(made.kernel.names.toSorted(), ['goes', 'stays'])
    // The token that kubelet wrote has meanwhile expired.
    writeFileSync(made.tokenFile, 'nonsense')
    await running().resume()
    await kubectl('delete', 'tracingpolicy', 'goes')
    await running().apply(policy('new'))
    const refused = /the API server \S+ does not accept the credentials of the kubeconfig \S+ \(401\)/
    await made.until('refused', () => made.lines.some((line) => refused.test(line)))
    assert.deepEqual(made.kernel.names.toSorted(), ['goes', 'stays'])
    writeFileSync(made.tokenFile, await kubectl('create', 'token', 'ktrail', '-n', 'ktrail'))
    await made.until('back', () => made.kernel.names.toSorted().join() === 'new,stays')
    assert.deepEqual(
      made.kernel.log.filter((line) => line.includes('stays')),
      [made.kernel.log[0]],
      'what did not change was not touched',
    )
    await kubectl('delete', 'tracingpolicy', '--all')
  },
)

test(
  'policies of the cluster: a missing right is reported in a sentence with verb and resource',
  { skip },
  async () => {
    await using made = await rig('stranger')
    await made.until('reported', () => made.lines.length >= 4)
    assert.deepEqual(
      made.lines.map((line) => line.replace(/^.*?: /, '')).toSorted(),
      ['tracingpolicies', 'tracingpoliciesnamespaced'].flatMap((name) =>
        ['cilium.io', 'ktrail.dev'].map(
          (group) =>
            `kubernetes: system:serviceaccount:ktrail:stranger may not list ${name}.${group} (403): ` +
            `give it a ClusterRole with the rule {apiGroups: ["${group}"], resources: [${name}], verbs: [list]}`,
        ),
      ),
    )
  },
)

test(
  'policies of the cluster: missing definitions of ktrail.dev are no problem, and may come later',
  { skip },
  async () => {
    const crds = ['tracingpolicies.ktrail.dev', 'tracingpoliciesnamespaced.ktrail.dev']
    await running().apply(ownPolicy('own'))
    await using made = await rig('ktrail')
    await made.until('there', () => made.kernel.names.join() === 'own')
    await kubectl('delete', 'crd', ...crds)
    await made.until('gone with its definition', () => made.kernel.names.length === 0)
    await running().apply(policy('other'))
    await made.until('the others go on', () => made.kernel.names.join() === 'other')
    await using without = await rig('ktrail')
    assert.deepEqual(without.kernel.names, ['other'])
    assert.deepEqual(
      [...made.lines, ...without.lines].filter((line) => line.includes('stay as they are')),
      [],
    )
    await kubectl('apply', '--server-side', '-f', path.join(ROOT, 'deploy/crds'))
    await established(running())
    await running().apply(ownPolicy('own'))
    await made.until('back', () => made.kernel.names.includes('own'))
    await kubectl('delete', 'tracingpolicies.ktrail.dev,tracingpolicies.cilium.io', '--all')
  },
)
