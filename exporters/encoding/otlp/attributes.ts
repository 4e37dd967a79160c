/** Names of all attributes (docs/reference/otlp.md) and the interface they are written to. */

/** An attribute's name with its protobuf form. */
export interface Key {
  readonly name: string
  /** Field 1 of KeyValue: tag, length, name. */
  readonly bytes: Uint8Array
}

/** Receives attributes as protobuf bytes, JSON, or a plain object. Each key at most once. */
export interface AttributeSink {
  text(key: Key, value: string): void
  /** Within ±2^53. */
  integer(key: Key, value: number): void
  flag(key: Key, value: boolean): void
  list(key: Key, values: readonly string[]): void
}

/** Creates a key. Our names are ASCII of at most 127 bytes; labels may be anything. */
export function key(name: string): Key {
  const text = Buffer.from(name)
  const length: number[] = []
  let rest = text.length
  for (; rest > 0x7f; rest >>>= 7) length.push((rest & 0x7f) | 0x80)
  length.push(rest)
  return { name, bytes: new Uint8Array(Buffer.concat([Buffer.of(0x0a, ...length), text])) }
}

/**
 * Names of OpenTelemetry's semantic conventions (version of SCHEMA_URL in resource.ts) where these have one, else `ktrail.`: a prefix belongs to the
 * product that defines the names.
 */
export const KEYS = {
  uid: key('log.record.uid'),
  exporterSeq: key('ktrail.exporter_seq'),
  eventName: key('event_name'),
  pid: key('process.pid'),
  parentPid: key('process.parent_pid'),
  tid: key('ktrail.tid'),
  executable: key('process.executable.path'),
  commandArgs: key('process.command_args'),
  commandLine: key('process.command_line'),
  cwd: key('process.working_directory'),
  userId: key('process.user.id'),
  userName: key('process.user.name'),
  created: key('process.creation.time'),
  exitCode: key('process.exit.code'),
  exitTime: key('process.exit.time'),
  signal: key('ktrail.signal'),
  execId: key('ktrail.exec_id'),
  parentExecId: key('ktrail.parent_exec_id'),
  auid: key('ktrail.auid'),
  parentBinary: key('ktrail.parent.binary'),
  container: key('container.id'),
  innerPid: key('process.vpid'),
  namespace: key('k8s.namespace.name'),
  pod: key('k8s.pod.name'),
  deployment: key('k8s.deployment.name'),
  replicaSet: key('k8s.replicaset.name'),
  statefulSet: key('k8s.statefulset.name'),
  daemonSet: key('k8s.daemonset.name'),
  job: key('k8s.job.name'),
  cronJob: key('k8s.cronjob.name'),
  workload: key('ktrail.workload'),
  podContainer: key('k8s.container.name'),
  containerName: key('container.name'),
  image: key('container.image.name'),
  imageTags: key('container.image.tags'),
  filePath: key('file.path'),
  fileMode: key('file.mode'),
  /** The path that a text argument gives. */
  namedPath: key('file.path'),
  namedTargetPath: key('ktrail.file.target_path'),
  fileInode: key('file.inode'),
  fileDevice: key('ktrail.file.device'),
  fileDeleted: key('ktrail.file.deleted'),
  filePartial: key('ktrail.file.partial'),
  filePathBytes: key('ktrail.file.path_bytes'),
  fileNamed: key('ktrail.file.named'),
  fileLinks: key('ktrail.file.links'),
  fileGeneration: key('ktrail.file.generation'),
  fileSize: key('file.size'),
  fileChanged: key('file.changed'),
  fileMount: key('ktrail.file.mount_id'),
  fileDetached: key('ktrail.file.detached'),
  fileLayer: key('ktrail.file.overlay.layer'),
  fileLayerInode: key('ktrail.file.overlay.inode'),
  fileLayerDevice: key('ktrail.file.overlay.device'),
  fileHash: key('ktrail.file.hash.sha256'),
  fileHashSize: key('ktrail.file.hash.size'),
  fileHashChanged: key('ktrail.file.hash.changed'),
  fileHashMissing: key('ktrail.file.hash.missing'),
  fileAccess: key('ktrail.file.access'),
  fileDenied: key('ktrail.file.denied'),
  targetPath: key('ktrail.file.target_path'),
  aggregateCount: key('ktrail.aggregate.count'),
  aggregateBytes: key('ktrail.aggregate.bytes'),
  aggregateLast: key('ktrail.aggregate.last_time'),
  functionName: key('ktrail.function_name'),
  action: key('ktrail.action'),
  returnAction: key('ktrail.return_action'),
  returned: key('ktrail.return'),
  tags: key('ktrail.tags'),
  rule: key('security_rule.name'),
  ruleDescription: key('security_rule.description'),
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
  changeWhat: key('ktrail.change.what'),
  changeBy: key('ktrail.change.by'),
  changeNames: key('ktrail.change.names'),
  changeCount: key('ktrail.change.count'),
  changeMode: key('ktrail.change.mode'),
  changeModeBefore: key('ktrail.change.mode_before'),
} as const

export const LABEL_PREFIX = 'ktrail.arg.'
export const CONTAINER_LABEL_PREFIX = 'container.label.'
export const POD_LABEL_PREFIX = 'k8s.pod.label.'
const LABELS = new Map<string, Key>()
/** Limits the cache: labels come from policies and the config, which may be reloaded for years. */
const MAX_LABELS = 10_000

/** `ktrail.arg.<label>` */
export function labelKey(label: string): Key {
  return cachedKey(LABEL_PREFIX + label)
}

/** `container.label.<label>` */
export function containerLabelKey(label: string): Key {
  return cachedKey(CONTAINER_LABEL_PREFIX + label)
}

/** `k8s.pod.label.<label>` */
export function podLabelKey(label: string): Key {
  return cachedKey(POD_LABEL_PREFIX + label)
}

function cachedKey(name: string): Key {
  let found = LABELS.get(name)
  if (found === undefined) {
    if (LABELS.size >= MAX_LABELS) LABELS.clear()
    LABELS.set(name, (found = key(name)))
  }
  return found
}
