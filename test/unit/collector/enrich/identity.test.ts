/** The enricher: the data that it attaches to processes, the events that wait for it, and the bounds of its waits. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Enrichment } from '../../../../collector/enrich/enrichment.ts'
import { Announcements } from '../../../../collector/identity/announced.ts'
import type { Announcement } from '../../../../collector/identity/announced.ts'
import { Identity } from '../../../../collector/enrich/identity.ts'
import { Pods } from '../../../../collector/identity/pods.ts'
import type { NamedContainer, Process, ProcessEvent } from '../../../../exporters/contract/event.ts'
import { settle } from '../../exporters/support/fake-clock.ts'
import { makeExec, makeNamedContainer, makeParent, makeProcess } from '../../exporters/support/events.ts'
import { ID, OTHER_ID, UID, known } from '../identity/support/pods.ts'

const docker = ID.slice(0, 31)
const announcement = (annotations: Record<string, string>): Announcement => ({
  containerID: ID,
  cgroupsPath: `/kubepods/pod${UID}/${ID}`,
  annotations,
  containerName: '',
  containerImage: '',
  podUID: UID,
})
const inPod = (change: Partial<Process> = {}): Process => makeProcess({ docker, podUid: UID, ...change })

interface Rig {
  readonly pods: Pods
  readonly identity: Identity
  /** Processes that were changed, in order. */
  readonly changed: Process[]
  wait(process: Process, parent?: Process): boolean
}

function rig(): Rig {
  const pods = new Pods()
  const changed: Process[] = []
  const identity = new Identity({ pods }, (process, more) => {
    Object.assign(process, more)
    changed.push(process)
  })
  const event = (process: Process, parent: Process | undefined): ProcessEvent => makeExec({ process, parent })
  return { pods, identity, changed, wait: (process, parent) => identity.pending(event(process, parent)) !== undefined }
}

test('identity: a process gets the pod and the container that are known, once', () => {
  const { pods, changed, wait } = rig()
  pods.set(known({ id: ID }), undefined)
  const process = inPod()
  assert.equal(wait(process), false)
  assert.equal(process.pod?.name, 'web')
  assert.equal(process.pod.container?.name, 'main')
  assert.equal(process.execProbe, false)
  assert.equal(wait(process), false)
  assert.deepEqual(changed, [process])
})

test('identity: its parent gets them too, but no event waits for the parent', () => {
  const { pods, wait } = rig()
  const parent = makeParent({ docker: OTHER_ID.slice(0, 31), podUid: UID })
  assert.equal(wait(makeProcess({ docker: '' }), parent), false)
  pods.set(known({ id: OTHER_ID }), undefined)
  assert.equal(wait(makeProcess({ docker: '' }), parent), false)
  assert.equal(parent.pod?.container?.name, 'main')
})

test('identity: outside of pods no event waits', () => {
  const { changed, wait } = rig()
  assert.equal(wait(makeProcess({ docker: '', podUid: '' })), false)
  // A container that Kubernetes does not run.
  assert.equal(wait(makeProcess({ docker, podUid: '' })), false)
  assert.deepEqual(changed, [])
})

test('identity: an exec probe is marked', () => {
  const { pods, wait } = rig()
  const spec = { containers: [{ name: 'main', readinessProbe: { exec: { command: ['cat', '/ok'] } } }] }
  pods.set(known({ id: ID, spec }), undefined)
  const probe = inPod({ binary: '/usr/bin/cat', arguments: '/ok' })
  const other = inPod({ binary: '/usr/bin/cat', arguments: '/etc/passwd' })
  assert.equal(wait(probe) || wait(other), false)
  assert.deepEqual([probe.execProbe, other.execProbe], [true, false])
})

test('identity: a pod without a reported container is known by its cgroup; events wait for the container', async () => {
  const { pods, identity } = rig()
  const scheduled = known({})
  pods.set(scheduled, undefined)
  const process = inPod()
  const stage = new Enrichment(identity, { bytes: 1 << 20, ms: 1000 })
  const event = makeExec({ process, parent: undefined })
  assert.deepEqual(stage.pass([event]), [])
  assert.equal(process.pod, scheduled.pod)
  pods.set(known({ id: ID }), scheduled)
  await settle()
  assert.deepEqual(stage.pass([]), [event])
  assert.equal(process.pod?.container?.name, 'main')
  assert.deepEqual(stage.gaveUp, { time: 0, bytes: 0, failed: 0, stopping: 0 })
})

test('identity: events wait once for a container that never comes, then go with the pod, counted', async () => {
  const { pods, identity } = rig()
  pods.set(known({}), undefined)
  let nowMs = 0
  const stage = new Enrichment(identity, { bytes: 1 << 20, ms: 1000 }, () => nowMs)
  const first = makeExec({ process: inPod({ pid: 1 }), parent: undefined })
  assert.deepEqual(stage.pass([first]), [])
  nowMs = 1000
  assert.deepEqual(stage.pass([]), [first])
  assert.equal(first.process.pod?.name, 'web')
  const next = makeExec({ process: inPod({ pid: 2 }), parent: undefined })
  assert.deepEqual(stage.pass([next]), [next])
  assert.equal(stage.gaveUp.time, 2)
  await settle()
})

test('identity: events wait for at most 4,096 containers; the oldest is given up', async () => {
  const { identity } = rig()
  const waitFor = (i: number): Promise<void> | undefined =>
    identity.pending(makeExec({ process: inPod({ docker: `${i}`.padStart(31, '0') }), parent: undefined }))
  const oldest = waitFor(0)
  assert.ok(oldest)
  for (let i = 1; i < 4096; i++) waitFor(i)
  assert.equal(waitFor(0), oldest)
  waitFor(4096)
  await oldest
  assert.notEqual(waitFor(0), oldest)
})

test('identity: outside of pods a container gets its name from its runtime, and its events wait for the answer', async () => {
  const names = new Map<string, NamedContainer>()
  const asked = Promise.withResolvers<void>()
  const lookup = (id: string): NamedContainer | Promise<void> => names.get(id) ?? asked.promise
  const identify = (process: Process, more: object): void => void Object.assign(process, more)
  const pods = new Pods()
  const identity = new Identity({ pods, runtimes: { lookup } }, identify)
  const stage = new Enrichment(identity, { bytes: 1 << 20, ms: 1000 })
  const process = makeProcess({ docker, podUid: '' })
  // No event waits for its parent, which still gets its name.
  const parent = makeParent({ docker, podUid: '' })
  const event = makeExec({ process, parent })
  assert.deepEqual(stage.pass([event]), [])
  names.set(docker, makeNamedContainer())
  asked.resolve()
  await settle()
  assert.deepEqual(stage.pass([]), [event])
  assert.equal(process.container, names.get(docker))
  assert.equal(parent.container, names.get(docker))
  // A process in a pod waits for Kubernetes; a process without a container waits for nothing.
  assert.deepEqual(stage.pass([makeExec({ process: inPod({ pid: 7 }), parent: undefined })]), [])
  const host = makeExec({ process: makeProcess({ docker: '', pid: 8 }), parent: undefined })
  assert.deepEqual(stage.pass([host]), [host])
})

test('identity: without Kubernetes, a pod’s container gets its name from its runtime too', () => {
  const container = makeNamedContainer()
  const identity = new Identity(
    { runtimes: { lookup: () => container } },
    (process, more) => void Object.assign(process, more),
  )
  const process = inPod()
  assert.equal(identity.pending(makeExec({ process, parent: undefined })), undefined)
  assert.equal(process.container, container)
})

test('identity: events of a container that no runtime knows are sent without a name', () => {
  const identity = new Identity({ runtimes: { lookup: () => undefined } }, () => assert.fail())
  assert.equal(identity.pending(makeExec({ process: inPod(), parent: undefined })), undefined)
})

test('identity: a container that its runtime announced is known with its pod at its first event; later more of it', async () => {
  const pods = new Pods()
  const announced = new Announcements()
  const changed: Process[] = []
  const identity = new Identity({ pods, announced }, (process, more) => void changed.push(Object.assign(process, more)))
  const scheduled = known({})
  pods.set(scheduled, undefined)
  const process = inPod()
  const event = makeExec({ process, parent: undefined })
  // An event that already waits is sent.
  const wait = identity.pending(event) ?? assert.fail()
  assert.equal(await announced.add(announcement({ 'io.kubernetes.cri.container-name': 'main' })), true)
  await wait
  assert.equal(identity.pending(event), undefined)
  assert.deepEqual(process.pod?.container, {
    id: `containerd://${ID}`,
    name: 'main',
    image: '',
    imageId: '',
    privileged: false,
  })
  const { pod } = process
  assert.equal(identity.pending(event), undefined)
  const sibling = inPod({ pid: 2 })
  assert.equal(identity.pending(makeExec({ process: sibling, parent: undefined })), undefined)
  assert.equal(sibling.pod, pod)
  pods.set(known({ id: ID }), scheduled)
  assert.equal(identity.pending(event), undefined)
  assert.equal(process.pod?.container?.imageId, 'docker.io/library/busybox@sha256:3fbc')
  const changes = changed.length
  assert.equal(identity.pending(event), undefined)
  assert.equal(changed.length, changes)
})

test('identity: events of an announced pause container do not wait', async () => {
  const pods = new Pods()
  const announced = new Announcements()
  const identity = new Identity({ pods, announced }, (process, more) => void Object.assign(process, more))
  pods.set(known({}), undefined)
  await announced.add(announcement({ 'io.kubernetes.cri.container-type': 'sandbox' }))
  const process = inPod()
  assert.equal(identity.pending(makeExec({ process, parent: undefined })), undefined)
  assert.deepEqual([process.pod?.name, process.pod?.container], ['web', undefined])
})

test('identity: the runtime of an announced container gets the request for its name at once', async () => {
  const asked: string[] = []
  const announced = new Announcements()
  const lookup = (id: string): undefined => void asked.push(id)
  const identity = new Identity({ runtimes: { lookup }, announced }, () => assert.fail())
  await announced.add(announcement({}))
  assert.deepEqual(asked, [docker])
  assert.equal(identity.pending(makeExec({ process: makeProcess({ docker: '' }), parent: undefined })), undefined)
})
