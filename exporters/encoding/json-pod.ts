/** `pod` of a process in a JSON line. It is rendered once for a process. Key order and omitted keys: docs/reference/records/process.md. */
import type { Process, Timestamp } from '../contract/event.ts'

/** The object as JSON; '' outside of pods. */
export function podJson({ pod, nspid = 0, execProbe }: Process): string {
  if (pod === undefined) return ''
  const { container } = pod
  const keys = {
    namespace: word(pod.namespace),
    name: word(pod.name),
    uid: word(pod.uid),
    container: container && {
      id: word(container.id),
      name: word(container.name),
      image: { id: word(container.imageId), name: word(container.image) },
      start_time: container.startTime && timeOf(container.startTime),
      pid: nspid === 0 ? undefined : nspid,
      maybe_exec_probe: execProbe === true ? true : undefined,
      security_context: container.privileged ? { privileged: true } : {},
    },
    pod_labels: Object.keys(pod.labels).length > 0 ? pod.labels : undefined,
    workload: word(pod.workload),
    workload_kind: word(pod.workloadKind),
  }
  return JSON.stringify(keys)
}

function word(text: string): string | undefined {
  return text === '' ? undefined : text
}

/** Kubernetes knows such times to the second. */
function timeOf({ sec }: Timestamp): string {
  return `${new Date(sec * 1000).toISOString().slice(0, 19)}Z`
}
