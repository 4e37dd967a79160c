/**
 * Pods from a real API server, with the rights that the chart gives: the known data of a container, and how long it is kept. A test writes the
 * status of pods, as kubelet would.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { followPods } from '../../../collector/identity/follow-pods.ts'
import { Pods } from '../../../collector/identity/pods.ts'
import { connect } from '../../../collector/kubernetes/client.ts'
import { helmTemplate } from '../../support/kubernetes/helm.ts'
import { ApiServer, kubernetesPrograms } from '../../support/kubernetes/server.ts'

const NODE = 'node-1'
/** How long the API server is away; KTRAIL_LONG=1: until attempts are as far apart as they get. */
const AWAY_MS = process.env['KTRAIL_LONG'] === '1' ? 120_000 : 0
// The default without an option of the command.
setFlagsFromString('--expose-gc')
const collectGarbage: () => void = runInNewContext('gc')
const programs = await kubernetesPrograms()
const skip = 'missing' in programs ? programs.missing : false
const server = 'folder' in programs ? await ApiServer.start(programs.folder) : undefined
const folder = mkdtempSync(path.join(tmpdir(), 'ktrail-pods-'))
after(async () => {
  await server?.[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true })
})

async function kubectl(...args: string[]): Promise<string> {
  assert.ok(server)
  const { code, stdout, stderr } = await server.kubectl(args)
  assert.equal(code, 0, stderr)
  return stdout
}

before(async () => {
  if (!('folder' in programs)) return
  await kubectl('create', 'namespace', 'ktrail')
  await kubectl('create', 'serviceaccount', 'stranger', '-n', 'ktrail')
  await server?.apply(await helmTemplate(programs.folder, ['--show-only', 'templates/rbac.yaml']))
})

let made = 0
const freshId = (): string => `${made++}a`.padEnd(64, '0123456789abcdef')

/** A pod that is bound to a node; there is no scheduler. */
const podOn = (node: string, name: string, change: object = {}, spec: object = {}): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'default', ...change },
  spec: { nodeName: node, containers: [{ name: 'main', image: 'busybox' }], ...spec },
})

/** Reports a running container, as kubelet does. */
async function runs(pod: string, id: string): Promise<void> {
  const main = {
    name: 'main',
    containerID: `containerd://${id}`,
    image: 'docker.io/library/busybox:1.36',
    imageID: 'docker.io/library/busybox@sha256:3fbc',
    ready: true,
    restartCount: 0,
    state: { running: { startedAt: '2024-04-14T02:17:40Z' } },
  }
  const patch = JSON.stringify({ status: { containerStatuses: [main] } })
  await kubectl('patch', 'pod', pod, '--subresource=status', '--type=merge', '-p', patch)
}

interface Rig extends AsyncDisposable {
  readonly pods: Pods
  readonly lines: string[]
  until(what: string, holds: () => boolean): Promise<number>
}

const tokenOf = (account: string): string => path.join(folder, `${account}.token`)
async function renewToken(account: string): Promise<void> {
  writeFileSync(tokenOf(account), await kubectl('create', 'token', account, '-n', 'ktrail'))
}

/** `token`: instead of that of the account. */
async function rig(account = 'ktrail', node = NODE, token?: string): Promise<Rig> {
  assert.ok(server)
  const tokenFile = tokenOf(account)
  if (token === undefined) await renewToken(account)
  else writeFileSync(tokenFile, token)
  const kubeconfig = path.join(folder, `${account}.kubeconfig`)
  writeFileSync(kubeconfig, JSON.stringify(server.kubeconfigOf({ tokenFile })))
  const lines: string[] = []
  const line = (first: unknown, text?: string): void => void lines.push(text ?? String(first))
  const client = await connect({ kubeconfig }, {})
  const pods = new Pods()
  const informer = followPods({ client, nodeName: node, pods, log: { info: line, warn: line } })
  return {
    pods,
    lines,
    async until(what, holds) {
      const began = performance.now()
      while (!holds()) {
        if (performance.now() - began > 40_000 + AWAY_MS) assert.fail(`${what}: ${lines.join('\n')}`)
        await wait(10)
      }
      return performance.now() - began
    },
    async [Symbol.asyncDispose]() {
      await informer[Symbol.asyncDispose]()
      client[Symbol.dispose]()
    },
  }
}

const short = (id: string): string => id.slice(0, 31)

test('pods of the node: scheduled, running, restarted, deleted', { skip }, async (t) => {
  const [first, second, elsewhere] = [freshId(), freshId(), freshId()]
  await using at = await rig()
  const labels = { app: 'web', 'pod-template-hash': '7d9f' }
  const owner = { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web-7d9f', uid: 'u', controller: true }
  await server?.apply(podOn(NODE, 'web-7d9f-x2', { generateName: 'web-7d9f-', labels, ownerReferences: [owner] }))
  await server?.apply(podOn('node-2', 'other'))
  const uid = await kubectl('get', 'pod', 'web-7d9f-x2', '-o', 'jsonpath={.metadata.uid}')
  await at.until('the pod, by its cgroup', () => at.pods.pod(uid) !== undefined)
  assert.equal(at.pods.container(short(first)), undefined)

  await runs('other', elsewhere)
  await runs('web-7d9f-x2', first)
  const ms = await at.until('the container', () => at.pods.container(short(first)) !== undefined)
  t.diagnostic(`${Math.round(ms)} ms after kubectl had patched the status`)
  const { pod } = at.pods.container(short(first)) ?? assert.fail()
  assert.deepEqual(pod, {
    namespace: 'default',
    name: 'web-7d9f-x2',
    uid,
    labels,
    workload: 'web',
    workloadKind: 'Deployment',
    container: {
      id: `containerd://${first}`,
      name: 'main',
      image: 'docker.io/library/busybox:1.36',
      imageId: 'docker.io/library/busybox@sha256:3fbc',
      startTime: { sec: 1_713_061_060, nsec: 0 },
      privileged: false,
    },
  })
  await runs('web-7d9f-x2', second)
  await at.until('the next container', () => at.pods.container(short(second)) !== undefined)
  assert.ok(at.pods.container(short(first)), 'the one before stays known for a minute')
  await kubectl('delete', 'pod', 'web-7d9f-x2', '--grace-period=0', '--force')
  await wait(500)
  assert.ok(at.pods.container(short(second)), 'a deleted pod stays known for a minute')
  assert.equal(at.pods.container(short(elsewhere)), undefined, 'of another node')
})

test('pods of the node: changes while the API server was away are known when it is back', { skip }, async (t) => {
  const id = freshId()
  await server?.apply(podOn(NODE, 'stays'))
  await runs('stays', id)
  await using at = await rig()
  await at.until('the container', () => at.pods.container(short(id)) !== undefined)
  const { metadata } = JSON.parse(await kubectl('get', '--raw', '/api/v1/pods?limit=1')) as {
    metadata: { resourceVersion: string }
  }
  // Changes of other kinds, invisible to the informer, because a starting API server has only later changes.
  for (const name of ['one', 'other']) await kubectl('create', 'configmap', name)
  await server?.pause()
  await at.until('a warning', () => at.lines.some((line) => line.includes('does not answer')))
  await wait(AWAY_MS)
  assert.ok(at.pods.container(short(id)))
  await server?.resume()
  const next = freshId()
  await runs('stays', next)
  const ms = await at.until('the next container', () => at.pods.container(short(next)) !== undefined)
  t.diagnostic(`away for ${AWAY_MS / 1000} s; ${Math.round(ms)} ms after kubectl had patched the status`)
  await at.until('a line', () => at.lines.some((line) => line.includes('watched again')))
  // The informer had to list again: 410 Gone.
  const watch = `/api/v1/pods?watch=1&resourceVersion=${metadata.resourceVersion}&timeoutSeconds=1`
  const { stdout, stderr } = (await server?.kubectl(['get', '--raw', watch])) ?? assert.fail()
  assert.match(stdout + stderr, /"code":410|too old resource version/, 'the API server no longer knows this version')
})

test(
  'pods of the node: a refused token is reported in a sentence, and the next one in its file is used',
  { skip },
  async () => {
    const id = freshId()
    await server?.apply(podOn(NODE, 'renewed'))
    await runs('renewed', id)
    await using at = await rig('ktrail', NODE, 'of an account that is gone')
    await at.until('a warning', () => at.lines.some((line) => line.includes('401')))
    assert.match(at.lines.join('\n'), /does not accept the credentials of .* \(401\): expected those of this cluster/)
    await renewToken('ktrail')
    await at.until('the container', () => at.pods.container(short(id)) !== undefined)
  },
)

test(
  'pods of the node: a missing right, and a wrong name of the node, are reported in sentences',
  { skip },
  async () => {
    await using stranger = await rig('stranger')
    await stranger.until('a warning', () => stranger.lines.some((line) => line.includes('403')))
    assert.match(
      stranger.lines.join('\n'),
      /may not list pods \(403\): give it a ClusterRole with the rule \{apiGroups: \[""\], resources: \[pods\], verbs: \[list\]\}; the agent keeps the pods that it already knows/,
    )
    await using wrong = await rig('ktrail', 'no-such-node')
    await wrong.until('a warning', () =>
      wrong.lines.some((line) => line.includes('no pod runs on a node named "no-such-node"')),
    )
  },
)

test('pods of the node: 1,000 pods take a few megabytes', { skip }, async (t) => {
  const list = Array.from({ length: 1000 }, (_, i) =>
    podOn('big-node', `p-${i}`, {
      labels: { app: `app-${i}`, team: 'x'.repeat(40) },
      annotations: { note: 'y'.repeat(4000) },
    }),
  )
  await kubectlCreate(list)
  collectGarbage()
  const used = process.memoryUsage().heapUsed
  await using at = await rig('ktrail', 'big-node')
  await at.until('all pods', () => at.lines.some((line) => line.includes('the pods of this node are known')))
  collectGarbage()
  const mib = (process.memoryUsage().heapUsed - used) / 2 ** 20
  t.diagnostic(`${mib.toFixed(1)} MiB`)
  assert.ok(mib < 10, `${mib} MiB`)
})

async function kubectlCreate(items: readonly object[]): Promise<void> {
  assert.ok(server)
  const document = JSON.stringify({ apiVersion: 'v1', kind: 'List', items })
  const { code, stderr } = await server.kubectl(['create', '-f', '-'], document)
  assert.equal(code, 0, stderr)
}
