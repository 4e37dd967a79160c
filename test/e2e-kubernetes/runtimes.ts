/**
 * A line and a record of the page on filename access where the container is run by something else than runc: crun, podman and a Docker daemon, each
 * below the cgroup that a kubelet makes for the pod.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { freshFolder } from '../e2e/support/agent.ts'
import { fileHook, path, policy } from '../e2e/support/policy.ts'
import { processOf } from '../e2e/support/record.ts'
import {
  BUSYBOX,
  ENDED,
  READS_SECRET,
  SECRET,
  containerRoot,
  endsAsContainer,
  freshId,
  runContainer,
} from '../e2e/support/runc.ts'
import { until } from '../e2e/support/wait.ts'
import { engines } from '../support/containers/engines.ts'
import { reportRunning } from '../support/kubernetes/kubelet.ts'
import type { Cluster } from '../support/kubernetes/server.ts'
import { notToday } from '../support/long.ts'
import { kubectlOf, makePod, readPod } from './filename-access.ts'
import type { WatchedAgent } from './filename-access.ts'

const DAEMON = fileURLToPath(new URL('../support/containers/daemon.sh', import.meta.url))
const POLICY = policy('runtimes', [fileHook([path('Equal', SECRET)])])

interface PodRuntime {
  readonly name: string
  /** Beginning of the container's id in the status of a pod. */
  readonly scheme: string
  /** Whether engine.sh fetches it. */
  readonly fetched: boolean
  /** Runs a container of READS_SECRET in the pod to its end; its id. `folder`: of the engines. */
  run(uid: string, folder: string, t: TestContext): Promise<string>
}

const cgroupOf = (uid: string): string => `/kubepods/besteffort/pod${uid}`

const RUNTIMES: readonly PodRuntime[] = [
  {
    name: 'crun as CRI-O under systemd',
    scheme: 'cri-o',
    fetched: false,
    async run(uid) {
      const id = freshId()
      const slice = `kubepods-besteffort-pod${uid.replaceAll('-', '_')}.slice`
      await runContainer('crun', id, `/kubepods.slice/kubepods-besteffort.slice/${slice}/crio-${id}.scope`)
      return id
    },
  },
  {
    name: 'podman',
    scheme: 'cri-o',
    fetched: true,
    async run(uid, folder) {
      const at = freshFolder('podman')
      const own = ['--root', join(at, 'root'), '--runroot', join(at, 'run'), '--tmpdir', join(at, 'tmp')]
      const ways = ['--storage-driver=vfs', '--cgroup-manager=cgroupfs', '--events-backend=none', '--runtime=crun']
      const conmon = ['--conmon', join(folder, 'usr/bin/conmon')]
      const id = join(at, 'id')
      const container = ['run', '--network=host', '--cgroup-parent', cgroupOf(uid), '--cidfile', id]
      const what = ['--rootfs', containerRoot(), ...READS_SECRET]
      await endsAsContainer([join(folder, 'run'), 'podman', ...own, ...ways, ...conmon, ...container, ...what], at)
      return readFileSync(id, 'utf8').trim()
    },
  },
  {
    name: 'docker',
    scheme: 'docker',
    fetched: true,
    async run(uid, folder, t) {
      const at = freshFolder('docker')
      const run = join(at, 'run')
      execFileSync('mkdir', [run])
      const daemon = spawn(DAEMON, [folder, join(at, 'data'), run], { stdio: ['pipe', 'ignore', 'pipe'] })
      const ended = once(daemon, 'exit')
      t.after(async () => {
        daemon.stdin.end()
        await ended
      })
      const complaint = text(daemon.stderr)
      const ask = (
        method: string,
        of: string,
        body: Buffer | object = Buffer.alloc(0),
      ): Promise<Record<string, unknown>> => asked(join(run, 'docker.sock'), method, of, body)
      const began = performance.now()
      await until('the Docker daemon', async () => {
        if (daemon.exitCode !== null) throw new Error(`the Docker daemon ended: ${await complaint}`)
        return ask('GET', '/info').then(
          () => true,
          () => false,
        )
      })
      t.diagnostic(`the daemon was there after ${Math.round(performance.now() - began)} ms`)
      const tar = execFileSync('tar', ['--create', '--file=-', '--directory', containerRoot(), '.'], {
        maxBuffer: 1 << 26,
      })
      await ask('POST', '/images/create?fromSrc=-&repo=ktrail-busybox&tag=1', tar)
      // The engine has no apparmor_parser.
      const HostConfig = { CgroupParent: cgroupOf(uid), NetworkMode: 'host', SecurityOpt: ['apparmor=unconfined'] }
      const { Id: id } = await ask('POST', '/containers/create', {
        Image: 'ktrail-busybox:1',
        Cmd: READS_SECRET,
        HostConfig,
      })
      await ask('POST', `/containers/${String(id)}/start`)
      assert.equal((await ask('POST', `/containers/${String(id)}/wait`))['StatusCode'], ENDED)
      return String(id)
    },
  },
]

/** An answer of Docker's API; of several lines of JSON, the last. */
async function asked(
  socketPath: string,
  method: string,
  of: string,
  body: Buffer | object,
): Promise<Record<string, unknown>> {
  const [type, bytes] = Buffer.isBuffer(body)
    ? ['application/x-tar', body]
    : ['application/json', Buffer.from(JSON.stringify(body))]
  const headers = { host: 'localhost', 'content-type': type, 'content-length': bytes.length }
  const asking = request({ socketPath, method, path: of, headers })
  asking.end(bytes)
  const [answer] = await once(asking, 'response')
  const got = await text(answer)
  assert.ok(answer.statusCode < 300, `${method} ${of}: ${answer.statusCode} ${got}`)
  return JSON.parse(got.trim().split('\n').at(-1) || '{}')
}

export async function otherRuntimes(t: TestContext, cluster: Cluster, agent: WatchedAgent): Promise<void> {
  const kubectl = kubectlOf(cluster)
  const found = await engines()
  await cluster.apply(POLICY)
  await agent.logged('policy added', 'runtimes')
  const reader = await readPod(t, agent)
  for (const [row, runtime] of RUNTIMES.entries()) {
    const lacks = 'missing' in found && runtime.fetched ? found.missing : false
    await t.test(
      `kubernetes: the page's line and record of a container that ${runtime.name} runs`,
      { skip: lacks || notToday(row, RUNTIMES.length) },
      async (each) => {
        const uid = await makePod(kubectl)
        each.after(() => kubectl('delete', 'pod', 'file-access', '--grace-period=0', '--force'))
        const from = { lines: reader.lines().length, records: agent.lines().length }
        const began = performance.now()
        const id = await runtime.run(uid, 'missing' in found ? '' : found.folder, each)
        each.diagnostic(`${runtime.name} ran it in ${Math.round(performance.now() - began)} ms`)
        const image = { id: 'docker.io/library/busybox@sha256:c3839dd8', name: 'docker.io/library/busybox:latest' }
        const status = { name: 'file-access', image: image.name, imageID: image.id, startedAt: '2024-04-14T02:17:46Z' }
        // kubelet reports it later than it runs; the events wait for that.
        await reportRunning(cluster, 'file-access', [{ ...status, id, runtime: runtime.scheme }])
        const line = `📚 read    default/file-access ${BUSYBOX} ${SECRET}`
        await agent
          .until('the line', () => reader.lines().slice(from.lines).includes(line))
          .catch((error: unknown) => {
            throw new Error(`${String(error)}\nthe reader: ${reader.text()}`)
          })
        const record = await agent.until('the record', () =>
          agent
            .lines()
            .slice(from.records)
            // Docker unpacks the image in a root of its own, where the file has the same path.
            .find((hit) => hit.process_kprobe?.policy_name === 'runtimes' && processOf(hit).binary === BUSYBOX),
        )
        const { docker, pod, in_init_tree: inTree } = processOf(record)
        const container = Object(pod?.['container'])
        assert.deepEqual(
          {
            docker,
            inTree,
            namespace: pod?.['namespace'],
            name: pod?.['name'],
            uid: pod?.['uid'],
            workload: pod?.['workload'],
          },
          {
            docker: id.slice(0, 31),
            inTree: true,
            namespace: 'default',
            name: 'file-access',
            uid,
            workload: 'file-access',
          },
        )
        assert.deepEqual(
          { id: container.id, name: container.name, image: container.image, start_time: container.start_time },
          { id: `${runtime.scheme}://${id}`, name: 'file-access', image, start_time: status.startedAt },
        )
      },
    )
  }
  await kubectl('delete', 'tracingpolicy', 'runtimes')
  await agent.logged('policy removed', 'runtimes')
}
