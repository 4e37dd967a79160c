/** `pod` of a process in a JSON line. It is rendered once for a process. Key order and omitted keys: docs/reference/records/process.md. */
import type { Process } from '../contract/event.ts'
import { isoTime } from '../runtime/iso-time.ts'

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
      // Kubernetes knows such times to the second.
      start_time: container.startTime && isoTime({ ...container.startTime, nsec: 0 }),
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
