/** Names of all attributes (docs/reference/otlp-records.md) and the interface they are written to. */
import type { TextBytes } from '../../contract/event.ts'

/** An attribute's name with its protobuf form. */
export interface Key {
  readonly name: string
  /** Field 1 of KeyValue: tag, length, name. */
  readonly bytes: Uint8Array
  /** Paths of the fields of records behind it. None: it identifies the record, counts its calls or describes a loss; no field filter applies to it. */
  readonly fields: ReadonlyArray<readonly string[]>
}

/** Receives attributes as protobuf bytes, JSON, or a plain object. Each key at most once. */
export interface AttributeSink {
  text(key: Key, value: string): void
  /** A text in bytes; false, with nothing written, if it is not ASCII. Absent: the sink needs strings. */
  ascii?(key: Key, value: TextBytes): boolean
  /** Within ±2^53. */
  integer(key: Key, value: number): void
  flag(key: Key, value: boolean): void
  list(key: Key, values: readonly string[]): void
}

/** Our names are ASCII of at most 127 bytes; labels may be anything. `fields`: with commas between. */
export function key(name: string, fields = ''): Key {
  const text = Buffer.from(name)
  const length: number[] = []
  let rest = text.length
  for (; rest > 0x7f; rest >>>= 7) length.push((rest & 0x7f) | 0x80)
  length.push(rest)
  const paths = fields === '' ? [] : fields.split(',').map((path) => path.split('.'))
  return { name, bytes: new Uint8Array(Buffer.concat([Buffer.of(0x0a, ...length), text])), fields: paths }
}

const FILE_PATH = 'args.file_arg.path,args.path_arg.path'
const IMAGE = 'process.pod.container.image.name'

/**
 * Names of OpenTelemetry's semantic conventions (version of SCHEMA_URL in resource.ts) where these have one, else `ktrail.`: a prefix belongs to the
 * product that defines the names.
 */
export const KEYS = {
  uid: key('log.record.uid'),
  exporterSeq: key('ktrail.exporter_seq'),
  eventName: key('event_name'),
  pid: key('process.pid', 'process.pid'),
  parentPid: key('process.parent_pid', 'parent.pid'),
  tid: key('ktrail.tid', 'process.tid'),
  executable: key('process.executable.path', 'process.binary'),
  executableName: key('process.executable.name', 'process.binary'),
  commandArgs: key('process.command_args', 'process.binary,process.arguments'),
  commandLine: key('process.command_line', 'process.binary,process.arguments'),
  cwd: key('process.working_directory', 'process.cwd'),
  userId: key('process.user.id', 'process.uid'),
  userName: key('process.user.name', 'process.user'),
  created: key('process.creation.time', 'process.start_time'),
  exitCode: key('process.exit.code', 'status'),
  exitTime: key('process.exit.time', 'time'),
  signal: key('ktrail.signal', 'signal'),
  execId: key('ktrail.exec_id', 'process.exec_id'),
  parentExecId: key('ktrail.parent_exec_id', 'process.parent_exec_id'),
  auid: key('ktrail.auid', 'process.auid'),
  parentBinary: key('ktrail.parent.binary', 'parent.binary'),
  container: key('container.id', 'process.docker,process.pod.container.id'),
  innerPid: key('process.vpid', 'process.pod.container.pid'),
  namespace: key('k8s.namespace.name', 'process.pod.namespace'),
  pod: key('k8s.pod.name', 'process.pod.name'),
  podUid: key('k8s.pod.uid', 'process.pod.uid'),
  deployment: key('k8s.deployment.name', 'process.pod.workload'),
  replicaSet: key('k8s.replicaset.name', 'process.pod.workload'),
  statefulSet: key('k8s.statefulset.name', 'process.pod.workload'),
  daemonSet: key('k8s.daemonset.name', 'process.pod.workload'),
  job: key('k8s.job.name', 'process.pod.workload'),
  cronJob: key('k8s.cronjob.name', 'process.pod.workload'),
  workload: key('ktrail.workload', 'process.pod.workload'),
  podContainer: key('k8s.container.name', 'process.pod.container.name'),
  containerName: key('container.name', 'process.docker'),
  image: key('container.image.name', IMAGE),
  imageTags: key('container.image.tags', IMAGE),
  imageId: key('container.image.id', 'process.pod.container.image.id'),
  filePath: key('file.path', FILE_PATH),
  fileMode: key('file.mode', 'args.file_arg.permission,args.path_arg.permission'),
  /** The path that a text argument gives. */
  namedPath: key('file.path', 'args.string_arg'),
  namedTargetPath: key('ktrail.file.target_path', 'args.string_arg'),
  fileInode: key('file.inode', FILE_PATH),
  fileDevice: key('ktrail.file.device', FILE_PATH),
  fileDeleted: key('ktrail.file.deleted', FILE_PATH),
  filePartial: key('ktrail.file.partial', FILE_PATH),
  filePathBytes: key('ktrail.file.path_bytes', FILE_PATH),
  fileNamed: key('ktrail.file.named', FILE_PATH),
  fileLinks: key('ktrail.file.links', FILE_PATH),
  fileGeneration: key('ktrail.file.generation', FILE_PATH),
  fileSize: key('file.size', FILE_PATH),
  fileChanged: key('file.changed', FILE_PATH),
  fileMount: key('ktrail.file.mount_id', FILE_PATH),
  fileDetached: key('ktrail.file.detached', FILE_PATH),
  fileLayer: key('ktrail.file.overlay.layer', FILE_PATH),
  fileLayerInode: key('ktrail.file.overlay.inode', FILE_PATH),
  fileLayerDevice: key('ktrail.file.overlay.device', FILE_PATH),
  fileHash: key('ktrail.file.hash.sha256', FILE_PATH),
  fileHashSize: key('ktrail.file.hash.size', FILE_PATH),
  fileHashChanged: key('ktrail.file.hash.changed', FILE_PATH),
  fileHashMissing: key('ktrail.file.hash.missing', FILE_PATH),
  fileAccess: key('ktrail.file.access', 'function_name,args.int_arg,args.uint_arg,args.long_arg,args.size_arg'),
  fileDenied: key('ktrail.file.denied', 'return'),
  targetPath: key('ktrail.file.target_path', FILE_PATH),
  aggregateCount: key('ktrail.aggregate.count'),
  aggregateBytes: key('ktrail.aggregate.bytes'),
  aggregateLast: key('ktrail.aggregate.last_time'),
  functionName: key('ktrail.function_name', 'function_name'),
  action: key('ktrail.action', 'action'),
  returnAction: key('ktrail.return_action', 'return_action'),
  returned: key('ktrail.return', 'return'),
  tags: key('ktrail.tags', 'tags'),
  rule: key('security_rule.name', 'policy_name'),
  ruleDescription: key('security_rule.description', 'message'),
  lossStage: key('ktrail.loss.stage'),
  lossExporter: key('ktrail.loss.exporter'),
  lossReason: key('ktrail.loss.reason'),
  lossCount: key('ktrail.loss.count'),
  lossFirst: key('ktrail.loss.first_seq'),
  lossLast: key('ktrail.loss.last_seq'),
  lossFirstNumber: key('ktrail.loss.first_exporter_seq'),
  lossLastNumber: key('ktrail.loss.last_exporter_seq'),
  runPhase: key('ktrail.run.phase'),
  runPrevious: key('ktrail.run.previous'),
  runHeartbeat: key('ktrail.run.heartbeat_ms'),
  runEvents: key('ktrail.run.events'),
  runMoved: key('ktrail.run.moved'),
  runFrom: key('ktrail.run.from'),
  runUntil: key('ktrail.run.until'),
  changeWhat: key('ktrail.change.what'),
  changeBy: key('ktrail.change.by'),
  changeNames: key('ktrail.change.names'),
  changeCount: key('ktrail.change.count'),
  changeMode: key('ktrail.change.mode'),
  changeModeBefore: key('ktrail.change.mode_before'),
} as const

export const LABEL_PREFIX = 'ktrail.arg.'
export const CONTAINER_LABEL_PREFIX = 'container.label.'
const POD_LABEL_PREFIX = 'k8s.pod.label.'
const LABELS = new Map<string, Key>()
/** Limits the cache: labels come from policies and the config, which may be reloaded for years. */
const MAX_LABELS = 10_000

export function labelKey(label: string): Key {
  return cachedKey(LABEL_PREFIX + label, 'args')
}

export function containerLabelKey(label: string): Key {
  return cachedKey(CONTAINER_LABEL_PREFIX + label, 'process.docker')
}

export function podLabelKey(label: string): Key {
  return cachedKey(POD_LABEL_PREFIX + label, 'process.pod.pod_labels')
}

function cachedKey(name: string, fields: string): Key {
  let found = LABELS.get(name)
  if (found === undefined) {
    if (LABELS.size >= MAX_LABELS) LABELS.clear()
    LABELS.set(name, (found = key(name, fields)))
  }
  return found
}
