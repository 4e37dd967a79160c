/**
 * The attributes, severity and text of an event in OTLP (docs/reference/otlp-records.md). The protobuf encoder, the JSON encoder and
 * the SDK's serializer all use it through AttributeSink. Attributes of processes and hooks are separate, because encoders
 * cache their bytes.
 */
import { SEVERITY_BY_TAG } from '../../../config/agent/exporters/otlp-records.ts'
import type { RecordConfig } from '../../../config/agent/exporters/otlp-records.ts'
import { runOf } from '../../contract/described.ts'
import { isAboutAgent, isHookEvent } from '../../contract/event.ts'
import type {
  Aggregate,
  Argument,
  Change,
  Event,
  Hook,
  HookEvent,
  LossEvent,
  NamedContainer,
  Process,
  RunEvent,
} from '../../contract/event.ts'
import type { Numbering } from '../../contract/numbering.ts'
import { argumentText, isNamed } from '../arguments.ts'
import { KEYS, containerLabelKey, labelKey, podLabelKey } from './attributes.ts'
import type { AttributeSink, Key } from './attributes.ts'
import type { AttributeTest } from './attribute-filter.ts'
import { detailAttributes } from '../files/attributes.ts'
import { isoTime } from '../../runtime/iso-time.ts'
import { boundedText, boundedWords } from '../command-args.ts'
import { accessPlan, fileAccess, isRefused } from '../files/access.ts'
import { commandLine } from './text.ts'

export interface Severity {
  readonly number: number
  readonly text: string
}

/** The first number of each range of SeverityNumber in opentelemetry-proto. */
const SEVERITIES = {
  trace: { number: 1, text: 'TRACE' },
  debug: { number: 5, text: 'DEBUG' },
  info: { number: 9, text: 'INFO' },
  warn: { number: 13, text: 'WARN' },
  error: { number: 17, text: 'ERROR' },
  fatal: { number: 21, text: 'FATAL' },
} satisfies Readonly<Record<string, Severity>>

export interface MappingOptions extends RecordConfig {
  /** Identifies this run of the agent; `log.record.uid` is epoch and sequence number. */
  readonly epoch: string
  /** Numbers of the only exporter that uses the encoder; absent: records have no number. */
  readonly numbering?: Numbering
  /** Absent: records have all attributes. */
  readonly hasAttribute?: AttributeTest
}

const UNSET_AUID = 4294967295
/** Bound of a file name: most file systems take 255 bytes, FUSE up to 4095, and Loki 64 KiB of attributes a record. */
const NAME_BYTES = 1024

/** Optional attributes: arguments that the policy labels, labels of the pod, details of a file, and the command line as one text. */
export type AttributeOptions = Pick<RecordConfig, 'arg_labels' | 'pod_labels' | 'command_line' | 'file_details'>

/** All attributes in order, except those that identify the record. */
export function attributes(event: Event, options: AttributeOptions, out: AttributeSink): void {
  if (!isAboutAgent(event)) {
    ownAttributes(event.process, out)
    if (event.parent !== undefined) parentAttributes(event.parent, out)
  }
  if (isHookEvent(event)) hookAttributes(event.hook, out)
  eventAttributes(event, options, out)
}

export function runAttributes(event: RunEvent, { exporter }: Numbering, out: AttributeSink): void {
  const { previous, events, moved, from, until } = runOf(event, exporter)
  out.text(KEYS.runPrevious, previous)
  if (events !== undefined) out.text(KEYS.runEvents, events)
  if (moved !== undefined) out.integer(KEYS.runMoved, moved)
  if (from !== undefined) out.text(KEYS.runFrom, from)
  if (until !== undefined) out.text(KEYS.runUntil, until)
}

/** Attributes of an event's `process`. */
export function ownAttributes(process: Process, out: AttributeSink): void {
  out.integer(KEYS.pid, process.pid)
  // The kernel's (pid 0) is no path.
  if (process.binary !== '' && process.pid !== 0) {
    out.text(KEYS.executable, process.binary)
    const name = process.binary.slice(process.binary.lastIndexOf('/') + 1)
    if (name !== '') out.text(KEYS.executableName, boundedText(name, NAME_BYTES))
  }
  const words = commandArgs(process)
  if (words.length > 0) out.list(KEYS.commandArgs, boundedWords(words))
  if (process.cwd !== '') out.text(KEYS.cwd, process.cwd)
  if (process.uid !== undefined) out.integer(KEYS.userId, process.uid)
  const user = process.details?.user?.get('name')
  if (typeof user === 'string') out.text(KEYS.userName, user)
  if (process.auid !== undefined && process.auid !== UNSET_AUID) out.integer(KEYS.auid, process.auid)
  out.text(KEYS.created, isoTime(process.startTime))
  if (process.execId !== '') out.text(KEYS.execId, process.execId)
  if (process.parentExecId !== '') out.text(KEYS.parentExecId, process.parentExecId)
  placeAttributes(process, out)
}

/** Kinds of workloads that the semantic conventions have a name for. */
const WORKLOADS: Readonly<Record<string, Key>> = {
  Deployment: KEYS.deployment,
  ReplicaSet: KEYS.replicaSet,
  StatefulSet: KEYS.statefulSet,
  DaemonSet: KEYS.daemonSet,
  Job: KEYS.job,
  CronJob: KEYS.cronJob,
}

/** The pod and the container that a process runs in. */
function placeAttributes({ docker, pod, container: named, nspid = 0 }: Process, out: AttributeSink): void {
  const container = pod?.container
  const id = container === undefined ? (named?.id ?? docker) : container.id.slice(container.id.indexOf('://') + 3)
  if (id !== '') out.text(KEYS.container, id)
  if (pod === undefined) {
    if (named !== undefined) namedContainerAttributes(named, out)
    return
  }
  if (nspid !== 0) out.integer(KEYS.innerPid, nspid)
  out.text(KEYS.namespace, pod.namespace)
  out.text(KEYS.pod, pod.name)
  if (pod.uid !== '') out.text(KEYS.podUid, pod.uid)
  const workload = Object.hasOwn(WORKLOADS, pod.workloadKind) ? WORKLOADS[pod.workloadKind] : undefined
  // A bare pod is no workload.
  if (pod.workload !== '' && pod.workloadKind !== 'Pod') out.text(workload ?? KEYS.workload, pod.workload)
  if (container === undefined) return
  if (container.name !== '') out.text(KEYS.podContainer, container.name)
  imageAttributes(container, out)
}

function namedContainerAttributes({ name, labels, ...of }: NamedContainer, out: AttributeSink): void {
  out.text(KEYS.containerName, name)
  imageAttributes(of, out)
  for (const [label, value] of Object.entries(labels)) out.text(containerLabelKey(label), value)
}

function imageAttributes({ image, imageId }: Pick<NamedContainer, 'image' | 'imageId'>, out: AttributeSink): void {
  if (imageId !== '') out.text(KEYS.imageId, imageId)
  if (image === '') return
  // registry:5000/path/name:tag, or with @sha256:digest behind.
  const named = image.split('@', 1)[0] ?? ''
  const colon = named.lastIndexOf(':')
  const tagged = colon > named.lastIndexOf('/')
  out.text(KEYS.image, tagged ? named.slice(0, colon) : named)
  if (tagged) out.list(KEYS.imageTags, [named.slice(colon + 1)])
}

/** Attributes of an event's `parent`. */
export function parentAttributes(parent: Process, out: AttributeSink): void {
  out.integer(KEYS.parentPid, parent.pid)
  if (parent.binary !== '') out.text(KEYS.parentBinary, parent.binary)
}

/** Attributes that are the same in all events of a hook. */
export function hookAttributes(hook: Hook, out: AttributeSink): void {
  if (hook.functionName !== '') out.text(KEYS.functionName, hook.functionName)
  // Nearly all records would have `post`.
  if (hook.action !== 'post') out.text(KEYS.action, hook.action)
  if (hook.returnAction !== 'post') out.text(KEYS.returnAction, hook.returnAction)
  if (hook.policy !== '') out.text(KEYS.rule, hook.policy)
  if (hook.message !== '') out.text(KEYS.ruleDescription, hook.message)
  if (hook.tags.length > 0) out.list(KEYS.tags, hook.tags)
}

/** Attributes that differ between events or between exporters. `ofCall` writes those of the values of a call. */
export function eventAttributes<Sink extends AttributeSink>(
  event: Event,
  options: AttributeOptions,
  out: Sink,
  ofCall: (event: HookEvent, options: AttributeOptions, out: Sink) => void = callAttributes,
): void {
  if (options.command_line && !isAboutAgent(event) && event.process.binary !== '') {
    out.text(KEYS.commandLine, boundedText(commandLine(event.process)))
  }
  if (options.pod_labels.length > 0 && !isAboutAgent(event)) podLabelAttributes(event.process, options, out)
  switch (event.type) {
    case 'process_exec':
      return
    case 'process_exit':
      // A killed process has no exit code; 0 would mean success.
      if (event.signal === '' || event.status !== 0) out.integer(KEYS.exitCode, event.status)
      if (event.signal !== '') out.text(KEYS.signal, event.signal)
      out.text(KEYS.exitTime, isoTime(event.time))
      return
    case 'process_kprobe':
    case 'process_lsm':
    case 'process_tracepoint':
      if (event.tid !== event.process.pid) out.integer(KEYS.tid, event.tid)
      ofCall(event, options, out)
      return
    case 'agent_run':
      out.text(KEYS.runPhase, event.phase)
      out.integer(KEYS.runHeartbeat, event.heartbeatMs)
      return
    case 'agent_change':
      changeAttributes(event, out)
      return
    case 'events_lost':
      lossAttributes(event, out)
  }
}

export function callAttributes(event: HookEvent, options: AttributeOptions, out: AttributeSink): void {
  const { args, returned } = event.view?.() ?? event
  fileAttributes(event.hook, args, returned, options.file_details, out)
  const text = returned && argumentText(returned)
  if (text) out.text(KEYS.returned, text)
  if (event.aggregate !== undefined) aggregateAttributes(event.aggregate, out)
  if (options.arg_labels) labelAttributes(event.hook, args, out)
}

function changeAttributes({ what, by, names, count, mode, modeBefore }: Change, out: AttributeSink): void {
  out.text(KEYS.changeWhat, what)
  out.text(KEYS.changeBy, by)
  out.list(KEYS.changeNames, names)
  out.integer(KEYS.changeCount, count)
  if (mode !== undefined) out.text(KEYS.changeMode, mode)
  if (modeBefore !== undefined) out.text(KEYS.changeModeBefore, modeBefore)
}

function lossAttributes({ loss, count, firstSeq, lastSeq, numbers }: LossEvent, out: AttributeSink): void {
  out.text(KEYS.lossStage, loss.stage)
  if (loss.exporter !== '') out.text(KEYS.lossExporter, loss.exporter)
  out.text(KEYS.lossReason, loss.reason)
  out.integer(KEYS.lossCount, count)
  if (firstSeq !== undefined) out.integer(KEYS.lossFirst, firstSeq)
  if (lastSeq !== undefined) out.integer(KEYS.lossLast, lastSeq)
  if (numbers !== undefined) {
    out.integer(KEYS.lossFirstNumber, numbers.first)
    out.integer(KEYS.lossLastNumber, numbers.last)
  }
}

/** Writes the access, whether it was refused, the first file with a name, and the name of the second (rename, link). */
function fileAttributes(
  hook: Hook,
  args: readonly Argument[],
  returned: Argument | undefined,
  details: boolean,
  out: AttributeSink,
): void {
  const plan = accessPlan(hook)
  const access = fileAccess(plan, args)
  if (access !== undefined) out.text(KEYS.fileAccess, access)
  if (isRefused(plan, access, args, returned)) out.flag(KEYS.fileDenied, true)
  if (plan.namesAt.length > 0 && nameAttributes(plan.namesAt, args, out)) return
  let seen = false
  for (let i = 0; i < args.length; i++) {
    const argument = args[i]
    if (argument?.kind !== 'file' || !isNamed(argument)) continue
    const { utf8 } = argument
    const key = seen ? KEYS.targetPath : KEYS.filePath
    if (utf8 === undefined || out.ascii?.(key, utf8) !== true) out.text(key, argument.path)
    if (seen) return
    seen = true
    out.text(KEYS.fileMode, octal(argument.mode & 0o7777))
    if (details) detailAttributes(argument, out)
  }
}

/** Whether a text names the file; '' names none: the descriptor beside it is the file (AT_EMPTY_PATH). */
function nameAttributes(at: readonly number[], args: readonly Argument[], out: AttributeSink): boolean {
  const [name, target] = at.map((each) => args[each]).filter((each) => each?.kind === 'string' && each.value !== '')
  if (name?.kind !== 'string') return false
  out.text(KEYS.namedPath, name.value)
  if (target?.kind === 'string') out.text(KEYS.namedTargetPath, target.value)
  return true
}

function aggregateAttributes({ count, bytes, last }: Aggregate, out: AttributeSink): void {
  out.integer(KEYS.aggregateCount, count)
  if (bytes !== undefined) out.integer(KEYS.aggregateBytes, bytes)
  out.text(KEYS.aggregateLast, isoTime(last))
}

function podLabelAttributes({ pod }: Process, { pod_labels: names }: AttributeOptions, out: AttributeSink): void {
  if (pod === undefined) return
  for (const name of names) if (Object.hasOwn(pod.labels, name)) out.text(podLabelKey(name), pod.labels[name] ?? '')
}

function labelAttributes(hook: Hook, args: readonly Argument[], out: AttributeSink): void {
  for (let i = 0; i < args.length; i++) {
    const argument = args[i]
    const label = hook.labels[i] ?? ''
    if (argument === undefined || label === '' || argument.kind === 'file') continue
    // Keys must be unique: of two arguments with the same label the first is used.
    if (hook.labels.indexOf(label) !== i) continue
    if (argument.kind === 'number') out.integer(labelKey(label), argument.value)
    else out.text(labelKey(label), argumentText(argument))
  }
}

const OCTAL: string[] = []
/** Four digits, as `stat -c %04a`. */
function octal(mode: number): string {
  return (OCTAL[mode] ??= mode.toString(8).padStart(4, '0'))
}

/** Actions that interfere with the watched program. */
const ENFORCING: ReadonlySet<string> = new Set(['sigkill', 'signal', 'override', 'notifyenforcer'])

/** Severity of an event; for a kprobe it only depends on the hook. */
export function severityOf(event: Event, options: MappingOptions): Severity {
  const { lifecycle, policies, tags } = options.severity
  if (event.type === 'events_lost') return SEVERITIES.error
  if (event.type === 'agent_run') return SEVERITIES.info
  if (event.type === 'agent_change') return SEVERITIES.warn
  if (!isHookEvent(event)) return SEVERITIES[lifecycle]
  const { policy, tags: own, action, returnAction } = event.hook
  const byTag = firstOf(own, tags) ?? firstOf(own, SEVERITY_BY_TAG)
  const byAction = ENFORCING.has(action) || ENFORCING.has(returnAction) ? 'warn' : 'info'
  return SEVERITIES[(Object.hasOwn(policies, policy) ? policies[policy] : byTag) ?? byAction]
}

function firstOf(names: readonly string[], severities: typeof SEVERITY_BY_TAG): keyof typeof SEVERITIES | undefined {
  const name = names.find((each) => Object.hasOwn(severities, each))
  return name === undefined ? undefined : severities[name]
}

/** Tetragon's key of the record under our prefix: event names are namespaced. */
export const EVENT_NAMES: Readonly<Record<Event['type'], string>> = {
  process_exec: 'ktrail.process_exec',
  process_exit: 'ktrail.process_exit',
  process_kprobe: 'ktrail.process_kprobe',
  process_lsm: 'ktrail.process_lsm',
  process_tracepoint: 'ktrail.process_tracepoint',
  events_lost: 'ktrail.events_lost',
  agent_run: 'ktrail.run',
  agent_change: 'ktrail.change',
}

function commandArgs({ argv, arguments: text }: Process): readonly string[] {
  if (argv === '' && text === '') return []
  return argv.includes('\0') ? argv.split('\0') : [argv, ...(text === '' ? [] : text.split(' '))]
}
