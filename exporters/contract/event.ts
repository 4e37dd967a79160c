/**
 * The normalised event, as every exporter and encoder sees it.
 * Field names follow Tetragon's records (docs/reference/records.md) in camelCase.
 *
 * Texts are JavaScript strings. Bytes that are not UTF-8 become U+FFFD, as protobuf JSON requires; `raw` then has the exact bytes.
 */
import type { AgentEvent, EventBase, Timestamp } from './agent-event.ts'
import type { FileDetails } from './file-details.ts'
import type { Rendered } from './renderings.ts'

export type {
  AgentEvent,
  Change,
  ChangeEvent,
  LossEvent,
  LossKind,
  NumberRange,
  PolicyMode,
  RunEvent,
  Timestamp,
} from './agent-event.ts'

/**
 * One image of a process, created by a fork or an exec. Only these members change: `refcnt`; arguments, if the process table lacks
 * memory; the place (`docker`, `pod`, `container` and members with them), which may become known later (`collector/process/table.ts`).
 * `rendered` belongs to the encoders.
 */
export interface Process {
  readonly execId: string
  readonly parentExecId: string
  readonly pid: number
  /** Effective uid: of a call, else of the exec; undefined for an unknown process. */
  readonly uid: number | undefined
  /** Login uid; 4294967295 when unset, undefined for an unknown process. */
  readonly auid: number | undefined
  readonly cwd: string
  readonly binary: string
  /** As Tetragon prints them: without argv[0], a word with a space in quotes. */
  readonly arguments: string
  /** argv[0]; if `arguments` does not separate the words, all words with NUL between. '' if unknown or absent. */
  readonly argv: string
  /** Space-separated words in Tetragon's order (docs/reference/records/process.md). */
  readonly flags: string
  readonly startTime: Timestamp
  /** First 31 characters of the container id; '' on the host. */
  readonly docker: string
  /** Pid in its own pid namespace; absent or 0 in the host's. */
  readonly nspid?: number
  /** The id in the name of its pod's cgroup, a uid or the hash of a manifest; absent outside of pods. */
  readonly podUid?: string | undefined
  /** The Kubernetes pod it runs in; absent on the host and while the pod is not known. */
  readonly pod?: Pod | undefined
  /** The container runtime's description of it; absent on the host, in a pod known from Kubernetes, and while it is not known. */
  readonly container?: NamedContainer | undefined
  /** The command may be an exec probe of its container. */
  readonly execProbe?: boolean
  /** undefined when unknown; Tetragon then omits the key. */
  readonly inInitTree: boolean | undefined
  /** Current references: the process itself and each living child. An event copies the value. */
  refcnt: number
  /** Forked, no exec yet. Tetragon reports a refcnt of 1 for these in exits and as a parent. */
  readonly forked?: boolean
  /** Further fields, if the config requests them. */
  readonly details?: ProcessDetails | undefined
  /** Inode number of a binary without a name (deleted or memfd). */
  readonly unlinkedInode?: bigint | undefined
  readonly rendered: Rendered
}

/** A pod, with one of its containers. Shared by all processes in it. */
export interface Pod {
  readonly namespace: string
  readonly name: string
  readonly uid: string
  readonly labels: Readonly<Record<string, string>>
  /** The owner of the pod, such as a Deployment; a pod without one is its own workload, of the kind Pod. */
  readonly workload: string
  readonly workloadKind: string
  /** Absent while only the pod is known. */
  readonly container?: Container | undefined
}

export interface Container {
  /** `containerd://ID` */
  readonly id: string
  readonly name: string
  readonly image: string
  /** With its digest. */
  readonly imageId: string
  /** Absent when it does not run. */
  readonly startTime?: Timestamp
  readonly privileged: boolean
}

/** A container by its runtime, such as Docker, instead of Kubernetes. Shared by all processes in it. */
export interface NamedContainer {
  /** 64 characters. */
  readonly id: string
  readonly name: string
  /** As it was requested: `nginx:1.27`. */
  readonly image: string
  /** `sha256:…`, or the image's name with its digest. */
  readonly imageId: string
  /** The labels that the config requests. */
  readonly labels: Readonly<Record<string, string>>
}

/** A bigint is a text in JSON, a list one of names, a map an object. */
export type MemberValue = string | number | bigint | boolean | readonly string[] | Members

/** Members of a message, in the order of the record. */
export type Members = ReadonlyMap<string, MemberValue>

/** By their keys in Tetragon's records. Processes share them. */
export interface ProcessDetails {
  readonly cap?: Members
  readonly ns?: Members
  readonly process_credentials?: Members
  readonly user?: Members
}

/** Data of a process that only the event of its exec has; other events of the process have less. */
export interface Executed {
  /** In full; those of the process are cut. */
  readonly arguments?: string
  /** Instead of the process's. */
  readonly flags?: string
  readonly environment?: ReadonlyArray<readonly [name: string, value: string]>
  /** Changes by the file of the exec: members of `binary_properties`. */
  readonly raised?: Members
}

/** An argument. Its key in Tetragon's records depends on the type in the policy. */
interface ArgumentBase {
  /** Such as `int_arg`. */
  readonly field: string
}

/** A text in a buffer, not decoded: it may have bytes that are not UTF-8. */
export interface TextBytes {
  readonly bytes: Uint8Array
  readonly from: number
  readonly to: number
}

/** `file_arg`, `path_arg` */
export interface FileArgument extends ArgumentBase {
  readonly kind: 'file'
  /** The bytes of `path` if it is decoded on demand. */
  readonly utf8?: TextBytes
  /** '' for a pathless file (pipe, socket, the task's root): the JSON then has no `path` key. */
  readonly path: string
  /** Exact bytes, only when `path` could not hold them. */
  readonly raw: Uint8Array | undefined
  readonly mode: number
  readonly inode: bigint | number
  readonly device: number
  /** Leading components are missing. */
  readonly unresolved: boolean
  /** Its folders were renamed during every read: `path` may mix two states or be missing. */
  readonly unstable: boolean
  /** The file is unlinked; `path` then ends in ` (deleted)`. */
  readonly deleted: boolean
  /** Present if the hook has `fileDetails`. */
  readonly details: FileDetails | undefined
}

/** `int_arg`, `uint_arg`: an integer of at most 32 bits. */
export interface NumberArgument extends ArgumentBase {
  readonly kind: 'number'
  readonly value: number
}

/** `long_arg`, `size_arg`: an integer of 64 bits; a string in JSON. */
export interface WideArgument extends ArgumentBase {
  readonly kind: 'wide'
  readonly value: bigint
}

/** `string_arg` */
export interface StringArgument extends ArgumentBase {
  readonly kind: 'string'
  readonly value: string
  readonly raw: Uint8Array | undefined
  readonly truncated: boolean
}

/** `bytes_arg`, or `truncated_bytes_arg` when there were more than `value` has. */
export interface BytesArgument extends ArgumentBase {
  readonly kind: 'bytes'
  readonly value: Uint8Array
  /** The full number of bytes. */
  readonly size: bigint
}

/** `sock_arg`, `process_credentials_arg` and others: some values of a kernel struct. */
export interface StructArgument extends ArgumentBase {
  readonly kind: 'struct'
  /** Keys and values in the order of the record, without those that Tetragon leaves out if they are 0 or empty. */
  readonly members: ReadonlyArray<readonly [key: string, value: MemberValue]>
  /** For people, such as `tcp 10.0.0.1:40000 -> 10.0.0.2:443`. */
  readonly text: string
}

/** `error_arg`: the argument could not be read. */
export interface ErrorArgument extends ArgumentBase {
  readonly kind: 'error'
  readonly message: string
}

export type Argument =
  | FileArgument
  | NumberArgument
  | WideArgument
  | StringArgument
  | BytesArgument
  | StructArgument
  | ErrorArgument

/** The common data of all events of one hook; shared by reference. */
export interface Hook {
  readonly id: number
  /** The type of its events; absent: process_kprobe. */
  readonly type?: HookEvent['type']
  readonly policy: string
  /** The events go to one client only; an exporter never gets them. */
  readonly private?: boolean
  /** Kernel symbol, with the architecture's prefix for system calls; of process_lsm the security hook; of process_tracepoint `subsystem:event`. */
  readonly functionName: string
  /** The policy's action on a call and on its return: Tetragon's `KprobeAction` in lower case, such as `post`. */
  readonly action: string
  readonly returnAction: string
  readonly message: string
  readonly tags: readonly string[]
  /** Labels by position in an event's `args`, which has no nop arguments; '' for none. */
  readonly labels: readonly string[]
  /** Index of the function's argument, by position in an event's `args`; empty if unknown. */
  readonly indexes: readonly number[]
  /** Labels by position in an event's `data`; absent without any. */
  readonly dataLabels?: readonly string[]
}

/** Unknown members are empty or 0. Resolved after the event is made, and before it is delivered: `collector/enrich/stacks`. */
export interface StackFrame {
  /** 0 unless the config requests addresses. */
  readonly address: bigint
  /** In the kernel from the start of the function; else from the start of the file `module`. */
  readonly offset: number
  /** The function. */
  readonly symbol: string
  /** The mapped file; '' in the kernel. */
  readonly module: string
}

interface ProcessEventBase extends EventBase {
  readonly process: Process
  /** undefined when unknown; the key is then omitted. */
  readonly parent: Process | undefined
  /** The parent's parent and so on; absent unless the config requests them. */
  readonly ancestors?: readonly Process[]
  /** `process.refcnt` when the event was created. */
  readonly refcnt: number
}

export interface ExecEvent extends ProcessEventBase {
  readonly type: 'process_exec'
  readonly executed?: Executed
}

export interface ExitEvent extends ProcessEventBase {
  readonly type: 'process_exit'
  /** Such as `SIGKILL`; '' without a signal. */
  readonly signal: string
  readonly status: number
}

/** A call that a policy's hook reports. */
export interface HookEvent extends ProcessEventBase {
  readonly type: 'process_kprobe' | 'process_lsm' | 'process_tracepoint'
  readonly tid: number
  readonly hook: Hook
  readonly args: readonly Argument[]
  /** Values of the calling task; undefined if the policy requests none. */
  readonly data?: readonly Argument[] | undefined
  readonly returned: Argument | undefined
  /** The values above for immediate reading: the next call, of any event, overwrites them. Absent: the event has only its own. */
  view?(): Pick<HookEvent, 'args' | 'data' | 'returned'>
  /**
   * The path of the first argument, if the other values are a few numbers; else undefined. Calls of a hook that differ only in this path and
   * its inode share the object: encoders keep the bytes around the path by it. The next call with these values overwrites the path.
   */
  onlyPath?(): TextBytes | undefined
  /** The functions that led to the call, the innermost first; absent if the policy does not request them, or the kernel has none. */
  readonly kernelStack?: readonly StackFrame[]
  readonly userStack?: readonly StackFrame[]
  /** With `aggregate`: summary of the equal calls of this event. `time`, arguments and return value are those of the first call. */
  readonly aggregate?: Aggregate
}

/** Equal calls of one process. */
export interface Aggregate {
  /** The first included. */
  readonly count: number
  /** Sum of the positive return values; absent where they are no bytes. */
  readonly bytes?: number
  readonly last: Timestamp
}

/** An event of a process. */
export type ProcessEvent = ExecEvent | ExitEvent | HookEvent

export type Event = ProcessEvent | AgentEvent

export function isHookEvent(event: Event): event is HookEvent {
  return event.type === 'process_kprobe' || event.type === 'process_lsm' || event.type === 'process_tracepoint'
}

/** A changed copy. A spread alone would lose values that the event reads on demand. */
export function changed(event: HookEvent, change: Partial<HookEvent>): HookEvent {
  const { args, data, returned } = event
  return { ...event, args, data, returned, ...change }
}

/** Subsystem and event of a tracepoint. */
export function tracepointOf({
  functionName,
}: Pick<Hook, 'functionName'>): readonly [subsystem: string, event: string] {
  const colon = functionName.indexOf(':')
  return [functionName.slice(0, colon), functionName.slice(colon + 1)]
}

/** Whether the event is about the agent itself and has no process. */
export function isAboutAgent(event: Event): event is AgentEvent {
  return event.type === 'events_lost' || event.type === 'agent_run' || event.type === 'agent_change'
}
