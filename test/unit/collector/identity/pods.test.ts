/** Pods as the API server sends them → their data in events, by container and by cgroup. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { podOf } from '../../../../collector/identity/pod-object.ts'
import { Pods } from '../../../../collector/identity/pods.ts'
import { workloadOf } from '../../../../collector/identity/workload.ts'
import { mayBeProbe, probeCommand } from '../../../../collector/identity/exec-probe.ts'
import { OBJECT } from '../../../../collector/kubernetes/client.ts'
import { makeProcess } from '../../exporters/support/events.ts'
import { ID, OTHER_ID, UID, containerStatus, known, podObject } from './support/pods.ts'

const short = (id: string): string => id.slice(0, 31)

test('pods: the data that is kept of a pod with containers of all kinds', () => {
  const pod = podOf(
    OBJECT.parse(
      podObject({
        metadata: { labels: { app: 'web' }, annotations: { note: 'x' } },
        spec: {
          containers: [
            {
              name: 'main',
              securityContext: { privileged: true },
              livenessProbe: { exec: { command: ['cat', '/tmp/healthy'] }, periodSeconds: 5 },
              startupProbe: { httpGet: { path: '/', port: 80 } },
            },
          ],
          initContainers: [{ name: 'setup' }],
          ephemeralContainers: [{ name: 'debug' }],
        },
        status: {
          containerStatuses: [containerStatus('main', ID, { running: { startedAt: '2024-04-14T02:17:40Z' } })],
          initContainerStatuses: [containerStatus('setup', OTHER_ID, { terminated: { exitCode: 0 } })],
          // Not started yet.
          ephemeralContainerStatuses: [{ name: 'debug', image: 'busybox', imageID: '', ready: false, state: {} }],
        },
      }),
    ),
  )
  const { containers, ...rest } = pod
  const shared = {
    namespace: 'default',
    name: 'web',
    uid: UID,
    labels: { app: 'web' },
    workload: 'web',
    workloadKind: 'Pod',
  }
  assert.deepEqual(rest, { pod: shared, cgroupUid: UID })
  assert.deepEqual(containers, [
    {
      id: ID,
      pod: {
        ...shared,
        container: {
          id: `containerd://${ID}`,
          name: 'main',
          image: 'docker.io/library/busybox:1.36',
          imageId: 'docker.io/library/busybox@sha256:3fbc',
          startTime: { sec: 1713061060, nsec: 0 },
          privileged: true,
        },
      },
      probes: [{ binary: 'cat', arguments: '/tmp/healthy', scriptArguments: 'cat /tmp/healthy' }],
    },
    {
      id: OTHER_ID,
      pod: {
        ...shared,
        container: {
          id: `containerd://${OTHER_ID}`,
          name: 'setup',
          image: 'docker.io/library/busybox:1.36',
          imageId: 'docker.io/library/busybox@sha256:3fbc',
          privileged: false,
        },
      },
      probes: [],
    },
  ])
})

test('pods: the cgroup of a static pod is named after its manifest', () => {
  const annotations = { 'kubernetes.io/config.hash': '0123456789abcdef0123456789abcdef' }
  assert.equal(
    podOf(OBJECT.parse(podObject({ metadata: { annotations } }))).cgroupUid,
    annotations['kubernetes.io/config.hash'],
  )
})

test('pods: a pod that is only scheduled has no containers', () => {
  const { containers, pod } = podOf(OBJECT.parse({ metadata: { name: 'p', namespace: 'n', uid: UID } }))
  assert.deepEqual([containers, pod.workload], [[], 'p'])
})

const owner = (kind: string, name: string, controller = true): { kind: string; name: string; controller: boolean } => ({
  kind,
  name,
  controller,
})
const WORKLOADS: ReadonlyArray<
  readonly [what: string, change: Partial<Parameters<typeof workloadOf>[0]>, want: string]
> = [
  ['a pod by itself', { generateName: '' }, 'Pod p'],
  ['an owner of a pod with a chosen name', { generateName: '', owners: [owner('Thing', 't')] }, 'Pod p'],
  ['an owner that does not control it', { owners: [owner('Thing', 't', false)] }, 'Pod p'],
  [
    'a Deployment',
    { owners: [owner('ReplicaSet', 'web-7d9f')], labels: { 'pod-template-hash': '7d9f' } },
    'Deployment web',
  ],
  ['a ReplicaSet by itself', { owners: [owner('ReplicaSet', 'web-7d9f')] }, 'ReplicaSet web-7d9f'],
  [
    'a ReplicaSet of another hash',
    { owners: [owner('ReplicaSet', 'web-1')], labels: { 'pod-template-hash': '7d9f' } },
    'ReplicaSet web-1',
  ],
  [
    'a hash without a dash',
    { owners: [owner('ReplicaSet', 'web7d9f')], labels: { 'pod-template-hash': '7d9f' } },
    'Deployment web7d9f',
  ],
  ['a StatefulSet', { owners: [owner('StatefulSet', 'db')] }, 'StatefulSet db'],
  ['a DaemonSet', { owners: [owner('Other', 'o', false), owner('DaemonSet', 'agent')] }, 'DaemonSet agent'],
  ['a Job', { owners: [owner('Job', 'once')] }, 'Job once'],
  ['a CronJob', { owners: [owner('Job', 'backup-28439')] }, 'Job backup-28439'],
  ['a CronJob, eight digits', { owners: [owner('Job', 'backup-28439200')] }, 'CronJob backup'],
  [
    'a DeploymentConfig',
    { owners: [owner('ReplicationController', 'r-1')], labels: { deploymentconfig: 'r' } },
    'DeploymentConfig r',
  ],
  ['a ReplicationController', { owners: [owner('ReplicationController', 'r-1')] }, 'ReplicationController r-1'],
  ['a kind of its own', { owners: [owner('Rollout', 'x')] }, 'Rollout x'],
]
for (const [what, change, want] of WORKLOADS) {
  test(`pods: the workload of ${what}`, () => {
    const { kind, name } = workloadOf({ name: 'p', generateName: 'p-', labels: {}, owners: [], ...change })
    assert.equal(`${kind} ${name}`, want)
  })
}

const PROBES: ReadonlyArray<readonly [what: string, command: string[], binary: string, args: string, want: boolean]> = [
  ['the same path', ['/bin/cat', '/x'], '/bin/cat', '/x', true],
  ['another path', ['/bin/cat', '/x'], '/usr/bin/cat', '/x', false],
  ['a name in PATH', ['cat', '/x'], '/usr/bin/cat', '/x', true],
  ['other arguments', ['cat', '/x'], '/usr/bin/cat', '/y', false],
  ['more arguments', ['cat', '/x'], '/usr/bin/cat', '/x /y', false],
  ['an argument with spaces', ['sh', '-c', 'test -f /x'], '/bin/sh', '-c "test -f /x"', true],
  ['a script, its path in front', ['/health.sh', '5'], '/health.sh', '/health.sh 5', true],
  ['no arguments', ['/ok'], '/ok', '', true],
]
for (const [what, command, binary, args, want] of PROBES) {
  test(`pods: an exec probe, ${what}: ${want}`, () => {
    const probe = probeCommand(command) ?? assert.fail()
    assert.equal(mayBeProbe(makeProcess({ binary, arguments: args }), [probe]), want)
  })
}

test('pods: a command without words is no probe', () => {
  assert.equal(probeCommand([]), undefined)
  assert.equal(probeCommand(['']), undefined)
})

test('pods: a deleted pod or container stays known for a minute', () => {
  let nowMs = 0
  const pods = new Pods(() => nowMs)
  const came: string[] = []
  pods.onContainer = (id) => void came.push(id)
  const first = known({ id: ID })
  pods.set(first, undefined)
  assert.equal(pods.container(short(ID))?.pod.container?.name, 'main')
  assert.equal(pods.pod(UID), first.pod)
  // The container was replaced.
  const second = known({ id: OTHER_ID })
  pods.set(second, first)
  assert.deepEqual(came, [short(ID), short(OTHER_ID)])
  nowMs = 59_999
  pods.tick()
  assert.ok(pods.container(short(ID)))
  pods.delete(second)
  nowMs = 60_000
  pods.tick()
  assert.equal(pods.container(short(ID)), undefined)
  assert.ok(pods.container(short(OTHER_ID)))
  nowMs = 119_999
  pods.tick()
  assert.equal(pods.container(short(OTHER_ID)), undefined)
  assert.equal(pods.pod(UID), undefined)
})

test('pods: a pod that comes back within the minute stays', () => {
  let nowMs = 0
  const pods = new Pods(() => nowMs)
  const before = known({ id: ID })
  pods.set(before, undefined)
  pods.delete(before)
  const again = known({ id: ID })
  pods.set(again, undefined)
  nowMs = 60_000
  pods.tick()
  assert.equal(pods.container(short(ID)), again.containers[0])
  assert.equal(pods.pod(UID), again.pod)
})

test('pods: another pod of the same name: the first stays known for a minute', () => {
  let nowMs = 0
  const pods = new Pods(() => nowMs)
  const before = known({ id: ID })
  const other = known({ id: OTHER_ID, uid: UID.replace('1', '2') })
  pods.set(before, undefined)
  pods.set(other, before)
  assert.equal(pods.pod(UID), before.pod)
  nowMs = 60_000
  pods.tick()
  assert.equal(pods.pod(UID), undefined)
  assert.equal(pods.pod(other.cgroupUid), other.pod)
})

test('pods: an object whose containers are a million numbers is refused at the first one', () => {
  const numbers = Array.from({ length: 1_000_000 }, (_, i) => i)
  const object = OBJECT.parse({ metadata: { name: 'p' }, spec: { containers: numbers } })
  assert.throws(
    () => podOf(object),
    (error: Error & { issues?: unknown[] }) => error.issues?.length === 1,
  )
})

test('pods: an object whose labels are 100,000 numbers is refused at the first one', () => {
  const labels = Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`l${i}`, i]))
  for (const key of ['labels', 'annotations']) {
    const object = OBJECT.parse({ metadata: { name: 'p', [key]: labels } })
    assert.throws(
      () => podOf(object),
      (error: Error & { issues?: unknown[] }) => error.issues?.length === 1,
    )
  }
  for (const wrong of [[], 'a', 1]) assert.throws(() => podOf(OBJECT.parse({ metadata: { labels: wrong } })), /texts/)
})
