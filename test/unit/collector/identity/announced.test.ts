/** The kept data of a container that a hook announces, by containerd's and CRI-O's annotations and by Tetragon's fields. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Announcements } from '../../../../collector/identity/announced.ts'
import type { Announced, Announcement } from '../../../../collector/identity/announced.ts'
import { ID, UID } from './support/pods.ts'

const NOTHING: Announcement = {
  containerID: ID,
  cgroupsPath: '',
  annotations: {},
  containerName: '',
  containerImage: '',
  podUID: '',
}
const container = (id: string, name: string, image: string): Announced['container'] => ({
  id,
  name,
  image,
  imageId: '',
  privileged: false,
})

const CASES: ReadonlyArray<readonly [what: string, announcement: Partial<Announcement>, want: Partial<Announced>]> = [
  [
    'a container of containerd',
    {
      cgroupsPath: `/kubepods/pod${UID}/${ID}`,
      annotations: {
        'io.kubernetes.cri.container-type': 'container',
        'io.kubernetes.cri.container-name': 'main',
        'io.kubernetes.cri.image-name': 'busybox:1.36',
        'io.kubernetes.cri.sandbox-uid': UID,
      },
    },
    {
      cgroup: `/kubepods/pod${UID}/${ID}`,
      podUid: UID,
      container: container(`containerd://${ID}`, 'main', 'busybox:1.36'),
    },
  ],
  [
    'a container of CRI-O',
    {
      annotations: {
        'io.kubernetes.cri-o.ContainerType': 'container',
        'io.kubernetes.container.name': 'main',
        'io.kubernetes.cri-o.ImageName': 'busybox:1.36',
        'io.kubernetes.pod.uid': UID,
      },
    },
    { podUid: UID, container: container(`cri-o://${ID}`, 'main', 'busybox:1.36') },
  ],
  [
    'a pause container',
    { annotations: { 'io.kubernetes.cri.container-type': 'sandbox', 'io.kubernetes.cri.sandbox-uid': UID } },
    { podUid: UID },
  ],
  [
    'fields of a hook that fills them in',
    {
      containerName: 'main',
      containerImage: 'x',
      podUID: UID,
      annotations: { 'io.kubernetes.cri.container-name': 'y' },
    },
    { podUid: UID, container: container(`containerd://${ID}`, 'main', 'x') },
  ],
  ['one of docker', { cgroupsPath: '/docker' }, { cgroup: '/docker' }],
  [
    'long texts',
    { containerName: 'n'.repeat(100_000), cgroupsPath: '/'.repeat(100_000) },
    { cgroup: '/'.repeat(4096), container: container(`containerd://${ID}`, 'n'.repeat(256), '') },
  ],
]
for (const [what, announcement, want] of CASES) {
  test(`announced: ${what}`, async () => {
    const announced = new Announcements()
    assert.equal(await announced.add({ ...NOTHING, ...announcement }), true)
    assert.deepEqual(announced.get(ID.slice(0, 31)), { id: ID, cgroup: '', podUid: '', container: undefined, ...want })
  })
}

test('announced: an id that no cgroup is named after is not kept', async () => {
  const announced = new Announcements()
  for (const containerID of ['', 'web', `${ID}0`, ID.toUpperCase()]) {
    assert.equal(await announced.add({ ...NOTHING, containerID }), false)
  }
})

test('announced: the container starts when all listeners are done', async () => {
  const announced = new Announcements()
  const fed = Promise.withResolvers<void>()
  announced.listen(() => fed.promise)
  let isAnswered = false
  const added = announced.add(NOTHING).then(() => (isAnswered = true))
  await new Promise(setImmediate)
  assert.equal(isAnswered, false)
  fed.resolve()
  await added
})

test('announced: the last 4,096 containers are kept', async () => {
  const announced = new Announcements()
  const idOf = (i: number): string => `${i}`.padStart(31, '0').padEnd(64, '0')
  for (let i = 0; i <= 4096; i++) await announced.add({ ...NOTHING, containerID: idOf(i) })
  assert.equal(announced.get(idOf(0).slice(0, 31)), undefined)
  assert.ok(announced.get(idOf(1).slice(0, 31)))
})
