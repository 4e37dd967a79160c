/** Containers by the names of cgroups, as runtimes lay them out, and names that merely look like one. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cgroupPath, placeOf } from '../../../../collector/process/cgroup-names.ts'
import { cpuMs } from '../../../support/measure/cpu.ts'

const ID = '0123456789abcdef'.repeat(4)
const OUTER = 'fedcba9876543210'.repeat(4)
const UID = '1c9a7f0e-5f6d-4a6e-9a55-0d1c4f0b8a11'
const SLICE = `kubepods-burstable-pod${UID.replaceAll('-', '_')}.slice`
const ROOTLESS = '/user.slice/user-1000.slice/user@1000.service/user.slice'

const LAYOUTS: ReadonlyArray<readonly [what: string, path: string, want: string]> = [
  ['docker under systemd', `/system.slice/docker-${ID}.scope`, ID],
  ['docker with cgroupfs', `/docker/${ID}`, ID],
  ['docker with a parent', `/my.slice/docker-${ID}.scope`, ID],
  ['systemd in docker', `/system.slice/docker-${ID}.scope/init.scope`, ID],
  ['a service of systemd in docker', `/docker/${ID}/system.slice/nginx.service`, ID],
  ['docker in docker', `/docker/${OUTER}/docker/${ID}`, ID],
  ['containerd in a pod, systemd', `/kubepods.slice/kubepods-burstable.slice/${SLICE}/cri-containerd-${ID}.scope`, ID],
  ['containerd in a pod, cgroupfs', `/kubepods/besteffort/pod${UID}/${ID}`, ID],
  ['containerd, systemd driver without scopes', `/system.slice/containerd.service/${SLICE}:cri-containerd:${ID}`, ID],
  ['CRI-O', `/kubepods.slice/kubepods-besteffort.slice/${SLICE}/crio-${ID}.scope`, ID],
  ['CRI-O with crun', `/kubepods.slice/${SLICE}/crio-${ID}.scope/container`, ID],
  ['CRI-O with cgroupfs', `/kubepods/burstable/pod${UID}/crio-${ID}`, ID],
  ['docker in a pod', `/kubepods.slice/kubepods-besteffort.slice/${SLICE}/docker-${ID}.scope`, ID],
  ['k3s', `/kubepods/guaranteed/pod${UID}/${ID}`, ID],
  [
    'kind',
    `/system.slice/docker-${OUTER}.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-${SLICE}/cri-containerd-${ID}.scope`,
    ID,
  ],
  ['the kubelet of kind', `/docker/${OUTER}/kubelet.slice/kubelet.service`, OUTER],
  ['podman as root', `/machine.slice/libpod-${ID}.scope/container`, ID],
  ['podman without root', `${ROOTLESS}/libpod-${ID}.scope/container`, ID],
  ['podman with cgroupfs', `/libpod_parent/libpod-${ID}`, ID],
  ['nerdctl', `/system.slice/nerdctl-${ID}.scope`, ID],
  ['docker in LXC', `/lxc.payload.web/docker/${ID}`, ID],
  ['the monitor of podman', `${ROOTLESS}/libpod-conmon-${ID}.scope`, ''],
  ['the monitor of CRI-O', `/kubepods.slice/${SLICE}/crio-conmon-${ID}.scope`, ''],
  ['the monitor of a podman in docker', `/docker/${OUTER}/libpod-conmon-${ID}.scope`, OUTER],
  ['LXC', '/lxc.payload.web', ''],
  ['a machine of systemd', '/machine.slice/machine-web.scope', ''],
  ['a service', '/system.slice/nginx.service', ''],
  ['a service with an id for a name', `/system.slice/docker-${ID}.service`, ''],
  ['a session', '/user.slice/user-1000.slice/session-3.scope', ''],
  ['a pod without a container', `/kubepods.slice/${SLICE}`, ''],
  ['a long name that is no id', `/user.slice/app-${'org.gnome.Terminal'.repeat(5)}.scope`, ''],
  ['an id that is too short', `/docker/${ID.slice(1)}`, ''],
  ['an id that is too long', `/docker/${ID}0`, ''],
  ['an id in capitals', `/docker/${ID.toUpperCase()}`, ''],
  ['an id with something after it', `/docker/${ID}-x`, ''],
  ['an id with an ending', `/docker/${ID}.mount`, ''],
  ['a name with a line break', `/docker\n${ID}`, ''],
  ['bytes that are no text', `/docker/\xff${ID}`, ''],
  ['outside of the agent’s cgroup namespace', `/../../system.slice/docker-${ID}.scope`, ID],
  ['the root', '/', ''],
  ['nothing', '', ''],
]

for (const [what, path, want] of LAYOUTS) {
  test(`cgroup-names: ${what}`, () => assert.equal(placeOf(path.split('/').toReversed()).container, want))
}

test('cgroup-names: the longest names take little processor time', () => {
  const names = [
    `${'-'.repeat(191)}${ID}`,
    `${'a-'.repeat(96)}${ID}x`,
    ':'.repeat(255),
    `${ID.repeat(3)}${ID.slice(1)}`,
  ]
  const fromMs = cpuMs()
  for (let i = 0; i < 1000; i++) placeOf(names.slice(1))
  assert.equal(placeOf(names).container, ID)
  assert.ok(cpuMs() - fromMs < 1000)
})

const HASH = '0123456789abcdef'.repeat(2)
const POD_CGROUPS: ReadonlyArray<readonly [what: string, path: string, want: string]> = [
  ['systemd', `/kubepods.slice/kubepods-burstable.slice/${SLICE}/cri-containerd-${ID}.scope`, UID],
  ['systemd, guaranteed', `/kubepods.slice/kubepods-pod${UID.replaceAll('-', '_')}.slice/crio-${ID}.scope`, UID],
  ['systemd driver without scopes', `/system.slice/${SLICE}:cri-containerd:${ID}`, UID],
  ['cgroupfs', `/kubepods/besteffort/pod${UID}/${ID}`, UID],
  ['a static pod', `/kubepods/burstable/pod${HASH}/${ID}`, HASH],
  ['kind', `/docker/${OUTER}/kubelet/kubepods/pod${UID}/${ID}`, UID],
  ['systemd in a pod', `/kubepods/pod${UID}/${ID}/system.slice/nginx.service`, UID],
  ['docker in a pod', `/kubepods/pod${UID}/${OUTER}/docker/${ID}`, UID],
  ['a pod inside docker, outside of its containers', `/docker/${OUTER}/kubepods/pod${UID}`, ''],
  ['docker', `/docker/${ID}`, ''],
  ['something else named pod', `/podman-pod${UID}x/${ID}`, ''],
]
for (const [what, path, want] of POD_CGROUPS) {
  test(`cgroup-names: the pod, ${what}`, () => assert.equal(placeOf(path.split('/').toReversed()).podUid, want))
}

const V1 = '12:pids:/p\n11:cpu,cpuacct:/c\n10:memory:/m\n9:cpuset:/s\n1:name=systemd:/n\n'
const PATHS: ReadonlyArray<readonly [what: string, text: string, want: string]> = [
  ['v2', '0::/a/b\n', '/a/b'],
  ['v1: of memory', V1, '/m'],
  ['hybrid: of memory', `${V1}0::/u\n`, '/m'],
  ['v1 where memory is at its root: of pids', V1.replace('/m', '/'), '/p'],
  ['v1 where memory is off: of pids', V1.replace('10:memory:/m\n', ''), '/p'],
  ['v1 with only cpuset below its root', V1.replace('/m', '/').replace('/p', '/'), '/s'],
  ['several controllers in a hierarchy', '4:cpu,memory:/both\n', '/both'],
  ['a v1 hierarchy that nobody uses', '3:memory:/\n0::/u\n', '/u'],
  ['v1 with none that counts', '3:cpu:/a\n1:name=systemd:/b\n', ''],
  ['a path with colons', '0::/cri:x:y\n', '/cri:x:y'],
  ['nothing', '', ''],
]

for (const [what, text, want] of PATHS) {
  test(`cgroup-names: the path in /proc/PID/cgroup, ${what}`, () => assert.equal(cgroupPath(text), want))
}
