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

export const KEYS = {
  uid: key('log.record.uid'),
  exporterSeq: key('agent.exporter_seq'),
  eventName: key('event_name'),
  pid: key('process.pid'),
  parentPid: key('process.parent_pid'),
  tid: key('thread.id'),
  executable: key('process.executable.path'),
  commandLine: key('process.command_line'),
  cwd: key('process.working_directory'),
  userId: key('process.user.id'),
  created: key('process.creation.time'),
  exitCode: key('process.exit.code'),
  exitTime: key('process.exit.time'),
  signal: key('tetragon.signal'),
  execId: key('tetragon.exec_id'),
  parentExecId: key('tetragon.parent_exec_id'),
  auid: key('tetragon.auid'),
  parentBinary: key('tetragon.parent.binary'),
  container: key('container.id'),
  filePath: key('file.path'),
  fileMode: key('file.mode'),
  targetPath: key('tetragon.file.target_path'),
  functionName: key('tetragon.function_name'),
  action: key('tetragon.action'),
  returnAction: key('tetragon.return_action'),
  returned: key('tetragon.return'),
  tags: key('tetragon.tags'),
  rule: key('security_rule.name'),
  ruleDescription: key('security_rule.description'),
  lossStage: key('agent.loss.stage'),
  lossExporter: key('agent.loss.exporter'),
  lossReason: key('agent.loss.reason'),
  lossCount: key('agent.loss.count'),
  lossFirst: key('agent.loss.first_seq'),
  lossLast: key('agent.loss.last_seq'),
  lossFirstNumber: key('agent.loss.first_exporter_seq'),
  lossLastNumber: key('agent.loss.last_exporter_seq'),
  runPhase: key('agent.run.phase'),
  runPrevious: key('agent.run.previous'),
  runHeartbeat: key('agent.run.heartbeat_ms'),
} as const

export const LABEL_PREFIX = 'tetragon.arg.'
const LABELS = new Map<string, Key>()
/** Limits the cache: labels come from policies, which may be reloaded for years. */
const MAX_LABELS = 10_000

/** `tetragon.arg.<label>` */
export function labelKey(label: string): Key {
  let found = LABELS.get(label)
  if (found === undefined) {
    if (LABELS.size >= MAX_LABELS) LABELS.clear()
    LABELS.set(label, (found = key(LABEL_PREFIX + label)))
  }
  return found
}
