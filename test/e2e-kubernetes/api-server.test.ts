/**
 * The whole agent with a real API server, which runs beside the guest (test/support/kubernetes/beside-guest.ts).
 *
 * The first test is the page "Filename access" of Tetragon's documentation: kubectl apply of the policy, kubectl run of a pod, vi in its shell,
 * `ktrail events --namespace --pod`, kubectl delete. There is no kubelet: runc runs the container in the cgroup that a kubelet makes, and the test
 * reports its status as a kubelet does, later than it starts.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { after, before } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { TestAgent, cannotRun, freshFolder } from '../e2e/support/agent.ts'
import { fileHook, path, policy } from '../e2e/support/policy.ts'
import { processOf } from '../e2e/support/record.ts'
import type { Line } from '../e2e/support/record.ts'
import { freshId, shellContainer } from '../e2e/support/runc.ts'
import { startCluster } from '../support/kubernetes/guest-cluster.ts'

const at = (file: string): string => fileURLToPath(new URL(`../../${file}`, import.meta.url))
const CRD = at('deploy/crds/tracingpolicies.cilium.io.yaml')
const NAMESPACED = at('deploy/crds/tracingpoliciesnamespaced.cilium.io.yaml')
const POLICY = at('config/policies/file-monitoring.yaml')
const NODE = 'node-1'
const cluster = await startCluster(cannotRun())
const skip = 'missing' in cluster ? cluster.missing : false
const folder = skip === false ? freshFolder('kubernetes') : '/none'
const server = 'missing' in cluster ? undefined : cluster
after(async () => server?.[Symbol.asyncDispose]())

async function kubectl(...args: string[]): Promise<string> {
  assert.ok(server)
  const { code, stdout, stderr } = await server.kubectl(args)
  assert.equal(code, 0, stderr)
  return stdout
}

const watched = join(folder, 'watched')
const OF_CLUSTER = policy('of-cluster', [fileHook([path('Equal', watched)])])
let agent: TestAgent

before(async () => {
  if (server === undefined) return
  writeFileSync(watched, 'x')
  await kubectl('apply', '--server-side', '-f', CRD, '-f', NAMESPACED)
  await kubectl('wait', '--for=condition=Established', '--timeout=60s', 'crd', '--all')
  await server.apply(OF_CLUSTER)
  agent = await TestAgent.start({
    config: {
      node_name: NODE,
      kubernetes: { kubeconfig: server.kubeconfig, policies: true, pods: true, pod_wait: '60s' },
    },
  })
})
after(() => agent?.[Symbol.asyncDispose]())

/** What the log shows of a policy, at least so often. */
const logged = (text: string, of: string, times = 1): Promise<true> =>
  agent.until(
    `${text}: ${of}`,
    () => agent.log().filter(({ msg, policy: about }) => msg === text && about === of).length >= times,
  )

const IMAGE = { id: 'docker.io/library/busybox@sha256:c3839dd8', name: 'docker.io/library/busybox:latest' }

/** What kubelet reports of a container that runs. */
async function report(pod: string, id: string): Promise<void> {
  const status = {
    name: pod,
    containerID: `containerd://${id}`,
    image: IMAGE.name,
    imageID: IMAGE.id,
    ready: true,
    restartCount: 0,
    state: { running: { startedAt: '2024-04-14T02:17:46Z' } },
  }
  const patch = JSON.stringify({ status: { containerStatuses: [status] } })
  await kubectl('patch', 'pod', pod, '--subresource=status', '--type=merge', '-p', patch)
}

/** The keys of a record, as `process.pod.name`; of lists those of each item. */
function keysOf(value: unknown, prefix = ''): string[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, inner]) => [`${prefix}${key}`, ...keysOf(inner, `${prefix}${key}.`)])
}

const OF_POD = [
  'namespace',
  'name',
  'container',
  'container.id',
  'container.name',
  'container.image',
  'container.image.id',
  'container.image.name',
  'container.start_time',
  'container.pid',
  'pod_labels',
  'pod_labels.run',
  'workload',
  'workload_kind',
].map((key) => `pod.${key}`)
const OF_PROCESS = [
  'exec_id',
  'pid',
  'uid',
  'cwd',
  'binary',
  'flags',
  'start_time',
  'auid',
  'pod',
  ...OF_POD,
  'docker',
  'parent_exec_id',
  'tid',
]
const within = (name: string, keys: readonly string[]): string[] => keys.map((key) => `${name}.${key}`)
/** All keys of the page's record, and those that newer versions of Tetragon have too. */
const PAGE_KEYS = [
  'process_kprobe',
  'node_name',
  'time',
  ...within('process_kprobe', [
    'process',
    ...within('process', [...OF_PROCESS, 'arguments', 'refcnt']),
    'parent',
    ...within('parent', OF_PROCESS),
    'function_name',
    'args',
    ...within('args', ['0', '0.file_arg', '0.file_arg.path', '0.file_arg.permission', '1', '1.int_arg']),
    'return',
    'return.int_arg',
    'action',
    'policy_name',
    'return_action',
  ]),
]
const NEWER_KEYS = ['process', 'parent'].flatMap((of) =>
  within(`process_kprobe.${of}`, ['pod.uid', 'pod.container.security_context', 'in_init_tree']),
)

test('kubernetes: the page on filename access, from kubectl apply to silence', { skip }, async (t) => {
  assert.ok(server)
  const began = performance.now()
  const passed = (what: string): void => t.diagnostic(`${what}: ${Math.round(performance.now() - began)} ms`)
  await kubectl('apply', '-f', POLICY)
  await logged('policy added', 'file-monitoring')
  passed('kubectl apply')
  const overrides = JSON.stringify({ spec: { nodeName: NODE } })
  await kubectl('run', 'file-access', '-n', 'default', '--image=busybox', '--restart=Never', `--overrides=${overrides}`)
  const uid = await kubectl('get', 'pod', 'file-access', '-o', 'jsonpath={.metadata.uid}')
  const words = ['events', '-o', 'compact', '--namespace', 'default', '--pod', 'file-access']
  const reader = spawn(at('ktrail'), words, { stdio: ['ignore', 'pipe', 'pipe'] })
  let [shown, problems] = ['', '']
  reader.stdout.on('data', (chunk: Buffer) => (shown += chunk.toString()))
  reader.stderr.on('data', (chunk: Buffer) => (problems += chunk.toString()))
  t.after(() => reader.kill())
  // As the page shows them: without the blank of a program without arguments.
  const lines = (): string[] =>
    shown
      .split('\n')
      .slice(0, -1)
      .map((text) => text.trimEnd())
  await agent.until('the reader to be connected', async () => (await agent.metrics()).sum('ktrail_api_readers') === 1)
  passed('kubectl run, and ktrail events')

  const id = freshId()
  const slice = `kubepods-besteffort-pod${uid.replaceAll('-', '_')}.slice`
  const shell = shellContainer(id, `/kubepods.slice/kubepods-besteffort.slice/${slice}/cri-containerd-${id}.scope`)
  t.after(() => shell.end())
  const until = async (what: string, holds: () => boolean): Promise<void> => {
    await agent.until(what, holds).catch((error: unknown) => {
      throw new Error(`${String(error)}\nthe reader: ${shown}${problems}\nthe terminal: ${shell.shown()}`)
    })
  }
  // Behind the prompt it asks the terminal where the cursor is.
  await until('the shell', () => shell.shown().includes('# '))
  await report('file-access', id)
  await until('the line of the shell', () => lines().some((text) => text === '🚀 process default/file-access /bin/sh'))
  passed('the shell of the pod')
  shell.type('vi /etc/passwd\n')
  await until('vi', () => shell.shown().includes('root:x:0:0'))
  // It reads escape sequences with a time limit of its own.
  for (const keys of ['o', 'alice:x:1000:1000::/:/bin/sh', '\x1b', ':wq\r']) {
    shell.type(keys)
    await wait(500)
  }
  const end = '💥 exit    default/file-access /bin/vi /etc/passwd 0'
  await until('the end of vi', () => lines().includes(end))
  passed('vi /etc/passwd')
  // Kernels and versions of vi differ in how often they read. And runc executes itself while its parent moves it into the pod's cgroup: the second
  // time it may be in the pod already.
  const isRunc = (text: string): boolean => /^🚀 process \S+ \/dev\/fd\/\d+ init$/.test(text)
  const once = lines()
    .filter((text) => (text.includes('/bin/vi') || text.startsWith('🚀')) && !isRunc(text))
    .filter((text, i, all) => text !== all[i - 1])
  assert.deepEqual(once, [
    '🚀 process default/file-access /bin/sh',
    '🚀 process default/file-access /bin/vi /etc/passwd',
    '📚 read    default/file-access /bin/vi /etc/passwd',
    '📝 write   default/file-access /bin/vi /etc/passwd',
    '📝 truncate default/file-access /bin/vi /etc/passwd',
    end,
  ])
  assert.ok(
    lines().every((text) => text.includes(' default/file-access ')),
    shown,
  )

  const isWrite = ({ process_kprobe: hit }: Line): boolean =>
    hit?.function_name === 'security_file_permission' &&
    hit.args?.[1]?.int_arg === 2 &&
    hit.process?.binary === '/bin/vi'
  const write = agent.lines().find(isWrite) ?? assert.fail('no write')
  assert.deepEqual(new Set(keysOf(write)), new Set([...PAGE_KEYS, ...NEWER_KEYS]))
  const { pod, ...vi } = processOf(write)
  const expectedPod = (pid: unknown): object => ({
    namespace: 'default',
    name: 'file-access',
    uid,
    container: {
      id: `containerd://${id}`,
      name: 'file-access',
      image: IMAGE,
      start_time: '2024-04-14T02:17:46Z',
      pid,
      security_context: {},
    },
    pod_labels: { run: 'file-access' },
    workload: 'file-access',
    workload_kind: 'Pod',
  })
  const pid = Number(Object(pod?.['container']).pid)
  assert.ok(pid > 1)
  assert.deepEqual(pod, expectedPod(pid))
  assert.deepEqual(write.process_kprobe?.parent?.pod, expectedPod(1))
  const own = {
    exec_id: vi.exec_id,
    pid: vi.pid,
    tid: vi.tid,
    start_time: vi.start_time,
    parent_exec_id: vi.parent_exec_id,
  }
  assert.ok(Object.values(own).every(Boolean))
  assert.deepEqual(vi, {
    ...own,
    uid: 0,
    cwd: '/',
    binary: '/bin/vi',
    arguments: '/etc/passwd',
    // Newer versions of Tetragon say the last one too.
    flags: 'execve rootcwd clone inInitTree',
    auid: 4_294_967_295,
    docker: id.slice(0, 31),
    refcnt: 1,
    in_init_tree: true,
  })
  const hit = { ...write.process_kprobe, process: undefined, parent: undefined }
  assert.deepEqual(hit, {
    process: undefined,
    parent: undefined,
    function_name: 'security_file_permission',
    args: [{ file_arg: { path: '/etc/passwd', permission: '-rw-r--r--' } }, { int_arg: 2 }],
    return: { int_arg: 0 },
    action: 'KPROBE_ACTION_POST',
    policy_name: 'file-monitoring',
    return_action: 'KPROBE_ACTION_POST',
  })
  assert.equal((await agent.metrics()).sum('ktrail_enrichment_gave_up_events_total'), 0)

  await kubectl('delete', '-f', POLICY)
  await logged('policy removed', 'file-monitoring')
  passed('kubectl delete')
  const from = lines().length
  shell.type('busybox cat /etc/secret\n')
  await until('cat', () =>
    lines()
      .slice(from)
      .some((text) => text.startsWith('💥 exit')),
  )
  assert.deepEqual(
    lines()
      .slice(from)
      .map((text) => text.split(' ')[0]),
    ['🚀', '💥'],
  )
  shell.type('exit\n')
  await shell.ended
})

test(
  'kubernetes: kubectl apply attaches a policy of the running agent, kubectl delete detaches it',
  { skip },
  async () => {
    assert.ok(server)
    const read = (): unknown => execFileSync('cat', [watched])
    const hits = async (): Promise<number> =>
      (await agent.during(read)).filter((line) => line.process_kprobe?.policy_name === 'of-cluster').length

    // It was there at the start: the agent is ready with it, unless the API server takes longer than a start waits.
    await logged('policy added', 'of-cluster')
    assert.ok((await hits()) >= 1)
    await kubectl('delete', 'tracingpolicy', 'of-cluster')
    await logged('policy removed', 'of-cluster')
    assert.equal(await hits(), 0)
    await server.apply(OF_CLUSTER)
    await logged('policy added', 'of-cluster', 2)
    assert.ok((await hits()) >= 1)
    let described = ''
    while (!described.includes('attached')) described = await kubectl('describe', 'tracingpolicy', 'of-cluster')
    assert.match(described, /Normal +Attached +\S+ +ktrail +node-1: attached, 1 hook\n/)

    await server.pause()
    const stays = 'policies of the API server stay as they are'
    await agent.until(stays, () => agent.log().some(({ msg }) => msg?.includes(stays)))
    assert.ok((await hits()) >= 1)
    assert.equal((await agent.stop()).code, 0)
  },
)
