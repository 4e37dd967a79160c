/** `pod` of a process as Tetragon's Pod. It is encoded once for a process. */
import { create, toBinary } from '@bufbuild/protobuf'
import type { Process } from '../../../exporters/contract/event.ts'
import { PodSchema } from '../../proto/tetragon/events_pb.js'

/** The message's bytes; undefined outside of pods. */
export function podBytes({ pod, nspid = 0, execProbe }: Process): Uint8Array | undefined {
  if (pod === undefined) return undefined
  const { namespace, name, uid, labels: podLabels, workload, workloadKind, container } = pod
  const known = { namespace, name, uid, podLabels, workload, workloadKind }
  if (container === undefined) return toBinary(PodSchema, create(PodSchema, known))
  const { startTime, privileged } = container
  const inside = {
    id: container.id,
    name: container.name,
    image: { id: container.imageId, name: container.image },
    ...(startTime === undefined ? {} : { startTime: { seconds: BigInt(startTime.sec), nanos: startTime.nsec } }),
    ...(nspid === 0 ? {} : { pid: nspid }),
    maybeExecProbe: execProbe === true,
    securityContext: { privileged },
  }
  return toBinary(PodSchema, create(PodSchema, { ...known, container: inside }))
}
