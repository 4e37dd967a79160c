/**
 * Finds the container and pod of a process, by the names of its cgroup and those above it. Runtimes name a container's cgroup after its id:
 *
 *   docker, containerd, CRI-O, podman under systemd    docker-ID.scope, cri-containerd-ID.scope, crio-ID.scope, libpod-ID.scope
 *   the same without systemd                           ID, cri-containerd:SANDBOX:ID, crio-ID, libpod-ID
 *   monitors of a container, which are not in it       crio-conmon-ID.scope, libpod-conmon-ID.scope
 *
 * and kubelet the cgroup above it after the pod: kubepods-burstable-podUID.slice with systemd, podUID without.
 *
 * The innermost such name counts: kind and Docker in Docker run containers in containers, and systemd in a container has cgroups of its own.
 * Tetragon looks only at the process's own cgroup and takes any 64 characters for an id; units of systemd may have such names.
 */

const CONTAINER = /^(?:.*[-:])?([0-9a-f]{64})(?:\.scope)?$/s
const MONITOR = /(?:^|-)conmon-[0-9a-f]{64}(?:\.scope)?$/
/** A uid, or the hash of a static pod's manifest. The container's name may follow. */
const POD = /(?:^|-)pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})(?:\.slice)?(?::|$)/

export interface Place {
  /** The container's id, 64 characters; '' outside any container. */
  readonly container: string
  /** The id in the name of its pod's cgroup; '' outside any pod. */
  readonly podUid: string
}

/** `names`: the process's own cgroup first. */
export function placeOf(names: Iterable<string>): Place {
  let container = ''
  for (const name of names) {
    if (container === '' && !MONITOR.test(name)) container = CONTAINER.exec(name)?.[1] ?? ''
    const uid = container === '' ? undefined : POD.exec(name)?.[1]
    if (uid !== undefined) return { container, podUid: uid.replaceAll('_', '-') }
  }
  return { container, podUid: '' }
}

/**
 * The place as policies see it: the outermost pod, and in it the outermost container, so that no program leaves either by a cgroup of its own.
 * `nested`: the cgroup lies below the container's. Outside of pods the innermost container counts, as above.
 */
export function workloadPlace(names: readonly string[]): Place & { readonly nested: boolean } {
  let podUid = ''
  for (const [i, name] of [...names.entries()].toReversed()) {
    if (podUid === '') podUid = POD.exec(name)?.[1]?.replaceAll('_', '-') ?? ''
    if (podUid === '') continue
    if (MONITOR.test(name)) return { container: '', podUid: '', nested: false }
    const container = CONTAINER.exec(name)?.[1] ?? ''
    if (container !== '') return { container, podUid, nested: i > 0 }
  }
  const container = podUid === '' ? placeOf(names).container : ''
  return { container, podUid, nested: false }
}

/** The path that counts in the text of /proc/PID/cgroup, as the kernel side chooses (bpf/process/cgroup.h); '' for none. */
export function cgroupPath(text: string): string {
  const lines = text.split('\n').map((line) => /^\d+:([^:]*):(.*)$/s.exec(line) ?? [])
  const of = (controller: string): string =>
    lines.find(([, controllers]) => controllers?.split(',').includes(controller))?.[2] ?? ''
  const own = ['memory', 'pids', 'cpuset'].map(of).find((path) => path !== '' && path !== '/')
  return own ?? of('')
}
