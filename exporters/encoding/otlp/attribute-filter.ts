/** Applies field filters to attributes: a field removed from records is removed from attributes too. */
import type { Event } from '../../contract/event.ts'
import type { FieldFilterConfig } from '../../../config/agent/schema.ts'
import { fieldTest } from '../../filtering/fields.ts'
import { CONTAINER_LABEL_PREFIX, KEYS, LABEL_PREFIX, POD_LABEL_PREFIX } from './attributes.ts'
import type { AttributeSink, Key } from './attributes.ts'

/** Whether records of a type have an attribute. */
export type AttributeTest = (type: Event['type'], key: Key) => boolean

type Paths = ReadonlyArray<readonly string[]>

/** What is known of a file beside its path. */
const DETAILS = [
  KEYS.fileInode,
  KEYS.fileDevice,
  KEYS.fileDeleted,
  KEYS.filePartial,
  KEYS.filePathBytes,
  KEYS.fileNamed,
  KEYS.fileLinks,
  KEYS.fileGeneration,
  KEYS.fileSize,
  KEYS.fileChanged,
  KEYS.fileMount,
  KEYS.fileDetached,
  KEYS.fileLayer,
  KEYS.fileLayerInode,
  KEYS.fileLayerDevice,
  KEYS.fileHash,
  KEYS.fileHashSize,
  KEYS.fileHashChanged,
  KEYS.fileHashMissing,
]

const FILE_PATH = 'args.file_arg.path,args.path_arg.path'
const ARGUMENTS = paths('args')
const CONTAINER = paths('process.docker')
const POD_LABELS = paths('process.pod.pod_labels')
const { deployment, replicaSet, statefulSet, daemonSet, job, cronJob, workload } = KEYS
const WORKLOADS = [deployment, replicaSet, statefulSet, daemonSet, job, cronJob, workload]
/** The fields behind each attribute. Other attributes identify the record, count its calls or describe a loss; no field filter applies to them. */
const FIELDS: ReadonlyMap<Key, Paths> = new Map([
  [KEYS.pid, paths('process.pid')],
  [KEYS.parentPid, paths('parent.pid')],
  [KEYS.tid, paths('process.tid')],
  [KEYS.executable, paths('process.binary')],
  [KEYS.commandArgs, paths('process.binary,process.arguments')],
  [KEYS.commandLine, paths('process.binary,process.arguments')],
  [KEYS.cwd, paths('process.cwd')],
  [KEYS.userId, paths('process.uid')],
  [KEYS.userName, paths('process.user')],
  [KEYS.created, paths('process.start_time')],
  [KEYS.exitCode, paths('status')],
  [KEYS.exitTime, paths('time')],
  [KEYS.signal, paths('signal')],
  [KEYS.execId, paths('process.exec_id')],
  [KEYS.parentExecId, paths('process.parent_exec_id')],
  [KEYS.auid, paths('process.auid')],
  [KEYS.parentBinary, paths('parent.binary')],
  [KEYS.container, paths('process.docker,process.pod.container.id')],
  [KEYS.innerPid, paths('process.pod.container.pid')],
  [KEYS.namespace, paths('process.pod.namespace')],
  [KEYS.pod, paths('process.pod.name')],
  ...WORKLOADS.map((key) => [key, paths('process.pod.workload')] as const),
  [KEYS.podContainer, paths('process.pod.container.name')],
  [KEYS.containerName, CONTAINER],
  [KEYS.image, paths('process.pod.container.image.name')],
  [KEYS.imageTags, paths('process.pod.container.image.name')],
  [KEYS.filePath, paths(FILE_PATH)],
  ...DETAILS.map((key) => [key, paths(FILE_PATH)] as const),
  [KEYS.fileMode, paths('args.file_arg.permission,args.path_arg.permission')],
  [KEYS.fileAccess, paths('function_name,args.int_arg,args.uint_arg,args.long_arg,args.size_arg')],
  [KEYS.fileDenied, paths('return')],
  [KEYS.targetPath, paths(FILE_PATH)],
  [KEYS.namedPath, paths('args.string_arg')],
  [KEYS.namedTargetPath, paths('args.string_arg')],
  [KEYS.functionName, paths('function_name')],
  [KEYS.action, paths('action')],
  [KEYS.returnAction, paths('return_action')],
  [KEYS.returned, paths('return')],
  [KEYS.tags, paths('tags')],
  [KEYS.rule, paths('policy_name')],
  [KEYS.ruleDescription, paths('message')],
])

/**
 * Tests for attributes whose fields all pass `filters`. Throws ExportError UNUSABLE for filters that the config would refuse.
 */
export function attributeTest(filters: readonly FieldFilterConfig[]): AttributeTest {
  const leaves = fieldTest(filters)
  return (type, key) => fieldsOf(key).every((field) => leaves(type, field))
}

/** Passes on the attributes of one event that `hasAttribute` accepts. */
export function filterAttributes(out: AttributeSink, type: Event['type'], hasAttribute: AttributeTest): AttributeSink {
  return {
    text: (key, value) => void (hasAttribute(type, key) && out.text(key, value)),
    integer: (key, value) => void (hasAttribute(type, key) && out.integer(key, value)),
    flag: (key, value) => void (hasAttribute(type, key) && out.flag(key, value)),
    list: (key, values) => void (hasAttribute(type, key) && out.list(key, values)),
  }
}

function fieldsOf(key: Key): Paths {
  const fields = FIELDS.get(key)
  if (fields !== undefined) return fields
  if (key.name.startsWith(CONTAINER_LABEL_PREFIX)) return CONTAINER
  if (key.name.startsWith(POD_LABEL_PREFIX)) return POD_LABELS
  return key.name.startsWith(LABEL_PREFIX) ? ARGUMENTS : []
}

function paths(text: string): Paths {
  return text.split(',').map((path) => path.split('.'))
}
