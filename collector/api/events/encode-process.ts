/** A Process without refcnt and tid, as bytes. */
import { create, toBinary } from '@bufbuild/protobuf'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import type { Executed, Process } from '../../../exporters/contract/event.ts'
import { binaryProperties } from '../../../exporters/index.ts'
import { EnvVarSchema, PodSchema, ProcessSchema } from '../../proto/tetragon/events_pb.js'
import { writeMembers } from './encode-members.ts'
import { known, numbersOf, open, text, time, wrapped } from './proto-fields.ts'

const PROCESS = numbersOf(ProcessSchema)
const VARIABLE = numbersOf(EnvVarSchema)

/** `executed`: of the exec's own event. */
export function headOf(process: Process, executed: Executed = {}): Uint8Array {
  const out = new BinaryWriter()
  text(out, PROCESS['exec_id'], process.execId)
  wrapped(out, PROCESS['pid'], process.pid)
  wrapped(out, PROCESS['uid'], process.uid)
  text(out, PROCESS['cwd'], process.cwd)
  text(out, PROCESS['binary'], process.binary)
  text(out, PROCESS['arguments'], executed.arguments ?? process.arguments)
  text(out, PROCESS['flags'], executed.flags ?? process.flags)
  time(out, PROCESS['start_time'], process.startTime)
  wrapped(out, PROCESS['auid'], process.auid)
  const pod = podBytes(process)
  if (pod !== undefined) out.tag(known(PROCESS['pod']), WireType.LengthDelimited).bytes(pod)
  text(out, PROCESS['docker'], process.docker)
  text(out, PROCESS['parent_exec_id'], process.parentExecId)
  const properties = binaryProperties(process, executed)
  const messages = { ...process.details, ...(properties === undefined ? {} : { binary_properties: properties }) }
  for (const [key, members] of Object.entries(messages)) {
    const field = ProcessSchema.fields.find(({ name }) => name === key)
    if (field?.message === undefined) throw new Error(`${key} of a process is not in the .proto file`)
    open(out, field.number)
    writeMembers(out, field.message, members)
    out.join()
  }
  const { inInitTree } = process
  if (inInitTree !== undefined) wrapped(out, PROCESS['in_init_tree'], inInitTree ? 1 : 0)
  for (const [name, value] of executed.environment ?? []) {
    open(out, PROCESS['environment_variables'])
    text(out, VARIABLE['Key'], name)
    text(out, VARIABLE['Value'], value)
    out.join()
  }
  return out.finish()
}

/** `pod` as Tetragon's Pod; undefined outside of pods. */
function podBytes({ pod, nspid = 0, execProbe }: Process): Uint8Array | undefined {
  if (pod === undefined) return undefined
  const { namespace, name, uid, labels: podLabels, workload, workloadKind, container } = pod
  const outside = { namespace, name, uid, podLabels, workload, workloadKind }
  if (container === undefined) return toBinary(PodSchema, create(PodSchema, outside))
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
  return toBinary(PodSchema, create(PodSchema, { ...outside, container: inside }))
}
