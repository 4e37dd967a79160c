/** Messages of the API as events, for filters and compact lines. */
import { KprobeAction, KprobeActionSchema, KprobeArgumentSchema } from '../../proto/tetragon/events_pb.js'
import type {
  GetEventsResponse,
  KprobeArgument,
  Process as ProcessMessage,
  StackTraceEntry,
} from '../../proto/tetragon/events_pb.js'
import type { Aggregate as AggregateMessage } from '../../proto/ktrail/events_pb.js'
import type {
  Aggregate,
  Argument,
  Event,
  Hook,
  NamedContainer,
  Pod,
  Process,
  StackFrame,
  Timestamp,
} from '../../../exporters/contract/event.ts'
import { callText } from '../../ingest/call.ts'
import { endText, flowText } from '../../ingest/arguments/sockets.ts'
import { Renderings } from '../../../exporters/index.ts'

/** Nothing is cached: a process is read from one message. */
const NO_CACHE = new Renderings(0)
const TYPES = {
  processKprobe: 'process_kprobe',
  processLsm: 'process_lsm',
  processTracepoint: 'process_tracepoint',
} as const
const NO_TIME: Timestamp = { sec: 0, nsec: 0 }

/** undefined for kinds of events that ktrail does not make, for losses, and for events without a process. */
export function toEvent({ event, time, ktrail, aggregate }: GetEventsResponse): Event | undefined {
  if (!isOurs(event)) return undefined
  const { value } = event
  if (value.process === undefined) return undefined
  const base = {
    seq: 0,
    time: timeOf(time),
    process: processOf(value.process, ktrail?.container),
    parent: value.parent === undefined ? undefined : processOf(value.parent),
    refcnt: value.process.refcnt,
  }
  switch (event.case) {
    case 'processExec':
      return { type: 'process_exec', ...base }
    case 'processExit':
      return { type: 'process_exit', ...base, signal: event.value.signal, status: event.value.status }
    case 'processLsm':
    case 'processTracepoint':
    case 'processKprobe': {
      const { args, policyName, action, message, tags } = event.value
      const functionName =
        event.case === 'processTracepoint' ? `${event.value.subsys}:${event.value.event}` : event.value.functionName
      const {
        return: returned = undefined,
        returnAction = KprobeAction.POST,
        data = [],
        kernelStackTrace = [],
        userStackTrace = [],
      } = event.case === 'processKprobe' ? event.value : {}
      const type = TYPES[event.case]
      const hook: Hook = {
        id: 0,
        type,
        policy: policyName,
        functionName,
        action: actionOf(action),
        returnAction: actionOf(returnAction),
        message,
        tags,
        labels: args.map(({ label }) => label),
        indexes: [],
        ...(data.length === 0 ? {} : { dataLabels: data.map(({ label }) => label) }),
      }
      return {
        type,
        ...base,
        tid: value.process.tid ?? 0,
        hook,
        args: args.map(argumentOf),
        ...(data.length === 0 ? {} : { data: data.map(argumentOf) }),
        returned: returned === undefined ? undefined : argumentOf(returned),
        ...(kernelStackTrace.length === 0 ? {} : { kernelStack: kernelStackTrace.map(frameOf) }),
        ...(userStackTrace.length === 0 ? {} : { userStack: userStackTrace.map(frameOf) }),
        ...(aggregate === undefined ? {} : { aggregate: aggregateOf(aggregate) }),
      }
    }
  }
}

const frameOf = ({ address, offset, symbol, module }: StackTraceEntry): StackFrame => ({
  address,
  offset: Number(offset),
  symbol,
  module,
})

function aggregateOf({ count, bytes, lastTime }: AggregateMessage): Aggregate {
  const known = { count: Number(count), last: timeOf(lastTime) }
  return bytes === undefined ? known : { ...known, bytes: Number(bytes) }
}

type Kinds = GetEventsResponse['event']

function isOurs(event: Kinds): event is Extract<Kinds, { case: 'processExec' | 'processExit' | keyof typeof TYPES }> {
  return event.case !== undefined && ['processExec', 'processExit', ...Object.keys(TYPES)].includes(event.case)
}

function processOf(message: ProcessMessage, container?: NamedContainer): Process {
  const pod = podOf(message.pod)
  return {
    execId: message.execId,
    parentExecId: message.parentExecId,
    pid: message.pid ?? 0,
    uid: message.uid,
    auid: message.auid,
    cwd: message.cwd,
    binary: message.binary,
    arguments: message.arguments,
    argv: '',
    flags: message.flags,
    startTime: timeOf(message.startTime),
    docker: message.docker,
    nspid: message.pod?.container?.pid ?? 0,
    pod,
    container,
    execProbe: message.pod?.container?.maybeExecProbe === true,
    inInitTree: message.inInitTree,
    refcnt: message.refcnt,
    rendered: NO_CACHE.make(),
  }
}

function podOf(pod: ProcessMessage['pod']): Pod | undefined {
  if (pod === undefined) return undefined
  const { namespace, name, uid, podLabels: labels, workload, workloadKind, container } = pod
  const known = { namespace, name, uid, labels, workload, workloadKind }
  if (container === undefined) return known
  const { id, name: own, image, startTime, securityContext } = container
  return {
    ...known,
    container: {
      id,
      name: own,
      image: image?.name ?? '',
      imageId: image?.id ?? '',
      ...(startTime === undefined ? {} : { startTime: timeOf(startTime) }),
      privileged: securityContext?.privileged === true,
    },
  }
}

/** An argument of a type that ktrail does not have yet becomes a text without content. */
function argumentOf({ arg }: KprobeArgument): Argument {
  const field = arg.case === undefined ? '' : KprobeArgumentSchema.field[arg.case].name
  switch (arg.case) {
    case 'fileArg':
    case 'pathArg':
    case 'linuxBinprmArg': {
      const { path, flags } = arg.value
      const unresolved = flags.includes('unresolvedPathComponents')
      const unstable = flags.includes('unstablePath')
      // Facts that only the JSON form shows are left out.
      const unknown = { raw: undefined, mode: 0, inode: 0, device: 0, deleted: false, details: undefined }
      return { kind: 'file', field, path, unresolved, unstable, ...unknown }
    }
    case 'sockArg':
    case 'skbArg': {
      const { saddr, sport, daddr, dport, protocol } = arg.value
      return { kind: 'struct', field, members: [], text: flowText(protocol, saddr, sport, daddr, dport) }
    }
    case 'sockaddrArg':
      return { kind: 'struct', field, members: [], text: endText(arg.value.addr, arg.value.port) }
    case 'sockaddrunArg':
      return { kind: 'struct', field, members: [], text: arg.value.path }
    case 'syscallId': {
      const { id, abi } = arg.value
      return { kind: 'struct', field, members: [], text: callText(id, abi) }
    }
    case 'bpfAttrArg':
    case 'bpfProgArg': {
      const { ProgType, InsnCnt, ProgName } = arg.value
      return structOf(field, { ProgType, InsnCnt, ProgName }, `${ProgType} ${ProgName}`)
    }
    case 'bpfMapArg': {
      const { MapType, KeySize, ValueSize, MaxEntries, MapName } = arg.value
      return structOf(field, { MapType, KeySize, ValueSize, MaxEntries, MapName }, `${MapType} ${MapName}`)
    }
    case 'perfEventArg': {
      const { Type, KprobeFunc } = arg.value
      return structOf(field, { Type, KprobeFunc }, `${Type} ${KprobeFunc}`)
    }
    case 'moduleArg':
    case 'capabilityArg':
      return structOf(field, {}, arg.value.name)
    case 'processCredentialsArg':
      return structOf(field, {}, `${arg.value.uid ?? 0} ${arg.value.euid ?? 0}`)
    case 'bytesArg':
      return { kind: 'bytes', field, value: arg.value, size: BigInt(arg.value.length) }
    case 'truncatedBytesArg':
      return { kind: 'bytes', field, value: arg.value.bytesArg, size: arg.value.origSize }
    case 'errorArg':
      return { kind: 'error', field, message: arg.value.Message }
    default: {
      const { value } = arg
      if (typeof value === 'number') return { kind: 'number', field, value }
      if (typeof value === 'bigint') return { kind: 'wide', field, value }
      return { kind: 'string', field, value: typeof value === 'string' ? value : '', raw: undefined, truncated: false }
    }
  }
}

function structOf(field: string, members: Readonly<Record<string, string | number>>, text: string): Argument {
  return { kind: 'struct', field, members: Object.entries(members), text: text.trimEnd() }
}

function actionOf(action: KprobeAction): string {
  return KprobeActionSchema.value[action]?.name.replace('KPROBE_ACTION_', '').toLowerCase() ?? 'unknown'
}

function timeOf(time: { readonly seconds: bigint; readonly nanos: number } | undefined): Timestamp {
  return time === undefined ? NO_TIME : { sec: Number(time.seconds), nsec: time.nanos }
}
