/**
 * The page "Filename access" of Tetragon's documentation: kubectl apply of the policy, kubectl run of a pod, vi in its shell,
 * `ktrail events --namespace --pod`, kubectl delete. Whatever way the agent runs.
 *
 * runc runs the container in the cgroup that a kubelet makes; its status is reported as a kubelet does, later than it starts.
 */
import assert from 'node:assert/strict'
import type { ChildProcessByStdio } from 'node:child_process'
import type { Readable } from 'node:stream'
import type { TestContext } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { MetricsPage } from '../e2e/support/metrics.ts'
import { processOf } from '../e2e/support/record.ts'
import type { Line } from '../e2e/support/record.ts'
import { freshId, shellContainer } from '../e2e/support/runc.ts'
import { reportRunning } from '../support/kubernetes/kubelet.ts'
import type { Cluster } from '../support/kubernetes/server.ts'

const POLICY = fileURLToPath(new URL('../../config/policies/optional/file-monitoring.yaml', import.meta.url))
export const NODE = 'node-1'

/** An agent on NODE that follows pods and policies of the cluster, and waits a minute for a pod. */
export interface WatchedAgent {
  /** `ktrail events` with these words. */
  events(words: readonly string[]): ChildProcessByStdio<null, Readable, Readable>
  until<T>(what: string, look: () => T | undefined | false | Promise<T | undefined | false>): Promise<T>
  /** Waits until its log has this text about the policy. */
  logged(text: string, policy: string): Promise<unknown>
  lines(): readonly Line[]
  metrics(): Promise<MetricsPage>
}

const IMAGE = { id: 'docker.io/library/busybox@sha256:c3839dd8', name: 'docker.io/library/busybox:latest' }

/** The keys of a record, as `process.pod.name`; for a list, the keys of each item. */
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
/** All keys of the page's record, and the keys that newer versions of Tetragon have too. */
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

type Kubectl = (...args: readonly string[]) => Promise<string>

export const kubectlOf =
  (cluster: Cluster): Kubectl =>
  async (...args) => {
    const { code, stdout, stderr } = await cluster.kubectl(args)
    assert.equal(code, 0, stderr)
    return stdout
  }

/** Makes the pod `file-access` on NODE; its uid. */
export async function makePod(kubectl: Kubectl): Promise<string> {
  const overrides = JSON.stringify({ spec: { nodeName: NODE } })
  await kubectl('run', 'file-access', '-n', 'default', '--image=busybox', '--restart=Never', `--overrides=${overrides}`)
  return kubectl('get', 'pod', 'file-access', '-o', 'jsonpath={.metadata.uid}')
}

/** Output of `ktrail events` about the pod, from now on. */
export interface Reader {
  /** Lines as the page shows them: without the blank of a program without arguments. */
  lines(): string[]
  /** The whole output. */
  text(): string
}

export async function readPod(t: TestContext, agent: WatchedAgent): Promise<Reader> {
  const readers = async (): Promise<number> => (await agent.metrics()).sum('ktrail_api_readers')
  await agent.until('an earlier reader to be gone', async () => (await readers()) === 0)
  const reader = agent.events(['-o', 'compact', '--namespace', 'default', '--pod', 'file-access'])
  let [shown, problems] = ['', '']
  reader.stdout.on('data', (chunk: Buffer) => (shown += chunk.toString()))
  reader.stderr.on('data', (chunk: Buffer) => (problems += chunk.toString()))
  t.after(() => reader.kill())
  await agent.until('the reader to be connected', async () => {
    assert.equal(problems, '')
    return (await readers()) === 1
  })
  const lines = (): string[] =>
    shown
      .split('\n')
      .slice(0, -1)
      .map((text) => text.trimEnd())
  return { lines, text: () => shown + problems }
}

export async function filenameAccess(t: TestContext, cluster: Cluster, agent: WatchedAgent): Promise<void> {
  const kubectl = kubectlOf(cluster)
  const began = performance.now()
  const passed = (what: string): void => t.diagnostic(`${what}: ${Math.round(performance.now() - began)} ms`)
  await kubectl('apply', '-f', POLICY)
  await agent.logged('policy added', 'file-monitoring')
  passed('kubectl apply')
  const uid = await makePod(kubectl)
  const reader = await readPod(t, agent)
  const { lines } = reader
  passed('kubectl run, and ktrail events')

  const id = freshId()
  const slice = `kubepods-besteffort-pod${uid.replaceAll('-', '_')}.slice`
  const shell = shellContainer(id, `/kubepods.slice/kubepods-besteffort.slice/${slice}/cri-containerd-${id}.scope`)
  t.after(() => shell.end())
  const until = async (what: string, holds: () => boolean): Promise<void> => {
    await agent.until(what, holds).catch((error: unknown) => {
      throw new Error(`${String(error)}\nthe reader: ${reader.text()}\nthe terminal: ${shell.shown()}`)
    })
  }
  // After the prompt it queries the terminal for the position of the cursor.
  await until('the shell', () => shell.shown().includes('# '))
  const status = { name: 'file-access', image: IMAGE.name, imageID: IMAGE.id, startedAt: '2024-04-14T02:17:46Z' }
  await reportRunning(cluster, 'file-access', [{ ...status, id }])
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
  // The number of reads depends on the kernel and the version of vi. And runc executes itself while its parent moves it into the pod's cgroup: the
  // second
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
    reader.text(),
  )

  const isWrite = ({ process_kprobe: hit }: Line): boolean =>
    hit?.function_name === 'security_file_permission' &&
    hit.args?.[1]?.int_arg === 2 &&
    hit.process?.binary === '/bin/vi'
  const write = await agent.until('the write as a record', () => agent.lines().find(isWrite))
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
    // Newer versions of Tetragon have the last key, too.
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
  await agent.logged('policy removed', 'file-monitoring')
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
  await kubectl('delete', 'pod', 'file-access', '--grace-period=0', '--force')
}
