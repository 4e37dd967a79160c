/** The kept part of a pod: an object of the API server → a fraction of it, so that a thousand pods take a few megabytes. */
import * as z from 'zod'
import type { Container, Pod, Timestamp } from '../../exporters/contract/event.ts'
import type { KubernetesObject } from '../kubernetes/client.ts'
import { probeCommand } from './exec-probe.ts'
import type { ProbeCommand } from './exec-probe.ts'
import { workloadOf } from './workload.ts'

/** A container of a pod. */
export interface PodContainer {
  /** The id without the runtime. */
  readonly id: string
  /** The pod, with this container. */
  readonly pod: Pod
  readonly probes: readonly ProbeCommand[]
}

export interface KnownPod {
  /** The pod without a container. */
  readonly pod: Pod
  /** The id in its cgroup's name: its uid; for a static pod, the hash of its manifest. */
  readonly cgroupUid: string
  /** Containers that have run, of all kinds. */
  readonly containers: readonly PodContainer[]
}

const TEXT = z
  .string()
  .nullish()
  .transform((text) => text ?? '')
/** Stops at the first wrong value: a schema of a record would list each of millions. So do the lists below. */
const LABELS = z
  .custom<Record<string, unknown>>(
    (labels) => typeof labels === 'object' && !Array.isArray(labels),
    'expected texts by name',
  )
  .nullish()
  .transform((labels) =>
    Object.fromEntries(Object.entries(labels ?? {}).map(([key, value]) => [key, z.string().parse(value)])),
  )
/** Stops at the first wrong item. */
const list = <T extends z.ZodType>(item: T): z.ZodType<Array<z.output<T>>> =>
  z
    .array(z.unknown())
    .nullish()
    .transform((items) => (items ?? []).map((each) => item.parse(each))) as never
const PROBE = z.object({ exec: z.object({ command: list(z.string()) }).nullish() }).nullish()
const SPEC = z.object({
  name: z.string(),
  livenessProbe: PROBE,
  readinessProbe: PROBE,
  startupProbe: PROBE,
  securityContext: z.object({ privileged: z.boolean().nullish() }).nullish(),
})
const STATUS = z.object({
  name: z.string(),
  containerID: TEXT,
  image: TEXT,
  imageID: TEXT,
  state: z.object({ running: z.object({ startedAt: TEXT }).nullish() }).nullish(),
})
const POD = z.object({
  metadata: z.object({
    name: TEXT,
    namespace: TEXT,
    uid: TEXT,
    generateName: TEXT,
    labels: LABELS,
    annotations: LABELS,
    ownerReferences: list(z.object({ kind: TEXT, name: TEXT, controller: z.boolean().nullish() })),
  }),
  spec: z.object({ containers: list(SPEC), initContainers: list(SPEC), ephemeralContainers: list(SPEC) }).nullish(),
  status: z
    .object({
      containerStatuses: list(STATUS),
      initContainerStatuses: list(STATUS),
      ephemeralContainerStatuses: list(STATUS),
    })
    .nullish(),
})

/** Set by kubelet on the mirror of a static pod. */
const MANIFEST_HASH = 'kubernetes.io/config.hash'

/** The items of all kinds of containers. */
const allOf = <T>(lists: Readonly<Record<string, T[]>> | null | undefined): T[] => Object.values(lists ?? {}).flat()

/** Throws ZodError for an object that is no pod. */
export function podOf(object: KubernetesObject): KnownPod {
  const { metadata, spec, status } = POD.parse(object)
  const { name, namespace, uid, labels } = metadata
  const owners = metadata.ownerReferences.map(({ controller, ...owner }) => ({
    ...owner,
    controller: controller === true,
  }))
  const workload = workloadOf({ name, generateName: metadata.generateName, labels, owners })
  const pod: Pod = { namespace, name, uid, labels, workload: workload.name, workloadKind: workload.kind }
  const specs = new Map(allOf(spec).map((each) => [each.name, each]))
  const statuses = allOf(status)
  const containers = statuses.flatMap(({ name: own, containerID, image, imageID, state }): PodContainer[] => {
    // `containerd://ID`; empty until it runs.
    const id = containerID.slice(containerID.indexOf('://') + 3)
    if (containerID === '' || id === '') return []
    const { livenessProbe, readinessProbe, startupProbe, securityContext } = specs.get(own) ?? {}
    const startTime = timeOf(state?.running?.startedAt ?? '')
    const container: Container = {
      id: containerID,
      name: own,
      image,
      imageId: imageID,
      ...(startTime === undefined ? {} : { startTime }),
      privileged: securityContext?.privileged === true,
    }
    const probes = [livenessProbe, readinessProbe, startupProbe].flatMap(
      (probe) => probeCommand(probe?.exec?.command ?? []) ?? [],
    )
    return [{ id, pod: { ...pod, container }, probes }]
  })
  return { pod, cgroupUid: metadata.annotations[MANIFEST_HASH] ?? uid, containers }
}

/** Times of the API server have seconds. */
function timeOf(text: string): Timestamp | undefined {
  const ms = Date.parse(text)
  return Number.isNaN(ms) ? undefined : { sec: Math.floor(ms / 1000), nsec: 0 }
}
