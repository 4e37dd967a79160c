/**
 * The normalised event: what every exporter and encoder sees. A leaf: imports nothing.
 * Field names follow Tetragon's records (docs/reference/records.md) in camelCase.
 *
 * Texts are JavaScript strings in which bytes that are not UTF-8 have become U+FFFD, as protobuf JSON demands;
 * where that lost something the exact bytes stand beside in `raw`.
 */

/** A wall-clock instant, UTC, kept as two integers so that nanoseconds survive. */
export interface Timestamp {
  readonly sec: number
  readonly nsec: number
}

/**
 * One image of one process: made by a fork or an exec, never changed after, except `refcnt`, and arguments that the memory of the
 * process table has no room for (`collector/process/table.ts`).
 * Encoders may cache their rendering of it under `rendered` (one slot each, see Rendered).
 */
export interface Process {
  readonly execId: string
  readonly parentExecId: string
  readonly pid: number
  /** Effective uid; undefined for a process that is not known. */
  readonly uid: number | undefined
  /** Login uid; 4294967295 when unset, undefined for a process that is not known. */
  readonly auid: number | undefined
  readonly cwd: string
  readonly binary: string
  readonly arguments: string
  /** Space-separated words in Tetragon's order (docs/reference/records.md). */
  readonly flags: string
  readonly startTime: Timestamp
  /** First 31 characters of the container id; '' on the host. */
  readonly docker: string
  /** The Kubernetes pod it runs in; absent on the host. */
  readonly pod?: Pod
  /** undefined: not known for this process (Tetragon omits the key then). */
  readonly inInitTree: boolean | undefined
  /** References now held: itself, each living child. Copied into an event when the event is made. */
  refcnt: number
  /** Made by a fork, no exec yet. Tetragon keeps a count of 1 with these, which shows in exits and as a parent. */
  readonly forked?: boolean
  /** Inode number of a binary that has no name: deleted, or in memory only (memfd). undefined for any other. */
  readonly unlinkedInode?: bigint | undefined
  readonly rendered: Rendered
}

/** What is known of a process's pod. Absent parts are not known. */
export interface Pod {
  readonly namespace: string
  readonly name: string
  readonly labels?: Readonly<Record<string, string>>
  /** Name of the container in the pod. */
  readonly container?: string
  /** The command is that of an exec probe of its container. */
  readonly execProbe?: boolean
}

/**
 * Bytes that encoders keep with a process. A cache: a slot may be empty again at any time. Slots are read by the encoder that
 * owns them and by nobody else, after `touch` (`exporters/encoding/kept.ts`), and filled by `cache.keep` alone.
 */
export interface Rendered {
  /** `exporters/encoding/json-process.ts`: the JSON object from `{` up to where refcnt and tid go, and all of `,"parent":{…}`. */
  json: Uint8Array | undefined
  jsonParent: Uint8Array | undefined
  /** `exporters/encoding/otlp/encode.ts`: attributes as an event's own process, and as a parent. */
  otlp: Uint8Array | undefined
  otlpParent: Uint8Array | undefined
  /** Key of WeakMaps for what filters and redactors know of the process: another one once that has to go. */
  key: object
  /** Generation of the cache in which it was last used. */
  used: number
  /** What it is charged in the cache. */
  bytes: number
  /** Those of redacted copies of the process: they go with this one. */
  copies: Rendered[] | undefined
  readonly cache: RenderingCache
}

export type RenderingSlot = 'json' | 'jsonParent' | 'otlp' | 'otlpParent'

/** What bounds all of them together: `collector/process/renderings.ts`. */
export interface RenderingCache {
  readonly generation: number
  /** Notes a use, once a generation. */
  use(rendered: Rendered): void
  /** Puts bytes into their slot, where there is room for them; returns them. */
  keep(rendered: Rendered, slot: RenderingSlot, bytes: Uint8Array): Uint8Array
  /** Charges what somebody keeps by `key`. */
  charge(rendered: Rendered, bytes: number): void
  /** For a copy of the process that `rendered` belongs to. */
  forCopy(rendered: Rendered): Rendered
}

/** An argument is a union on what it holds. Each has its key in Tetragon's records, which a policy's type decides. */
interface ArgumentBase {
  /** Such as `int_arg`. */
  readonly field: string
}

/** `file_arg`, `path_arg` */
export interface FileArgument extends ArgumentBase {
  readonly kind: 'file'
  /** '' for a pathless file (pipe, socket, the task's root): the JSON then has no `path` key. */
  readonly path: string
  /** Exact bytes, only when `path` could not hold them. */
  readonly raw: Uint8Array | undefined
  readonly mode: number
  readonly inode: bigint | number
  readonly device: number
  /** Leading components are missing. */
  readonly unresolved: boolean
  /** Its folders were renamed each time it was read: `path` may be of two moments, or missing. */
  readonly unstable: boolean
  /** The file is unlinked; `path` then ends in ` (deleted)`. */
  readonly deleted: boolean
}

/** `int_arg`, `uint_arg`: an integer of at most 32 bits. */
export interface NumberArgument extends ArgumentBase {
  readonly kind: 'number'
  readonly value: number
}

/** `long_arg`, `size_arg`: an integer of 64 bits, a text in JSON. */
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

/** `error_arg`: it could not be read. */
export interface ErrorArgument extends ArgumentBase {
  readonly kind: 'error'
  readonly message: string
}

export type Argument = FileArgument | NumberArgument | WideArgument | StringArgument | ErrorArgument

/** What is the same for every event of one hook; shared by reference. */
export interface Hook {
  readonly id: number
  readonly policy: string
  /** Kernel symbol, with the architecture's prefix for system calls. */
  readonly functionName: string
  /** What the policy does with a call and its return, as Tetragon's `KprobeAction` in lower case: `post`. */
  readonly action: string
  readonly returnAction: string
  readonly message: string
  readonly tags: readonly string[]
  /** By position in an event's `args` (an argument of type nop has none): label, '' for none. */
  readonly labels: readonly string[]
}

interface EventBase {
  /** Position in this agent's gap-free sequence; with the epoch it names the event for ever. */
  seq: number
  readonly time: Timestamp
}

interface ProcessEventBase extends EventBase {
  readonly process: Process
  /** undefined when unknown: the key is then left out. */
  readonly parent: Process | undefined
  /** `process.refcnt` at this moment. */
  readonly refcnt: number
}

export interface ExecEvent extends ProcessEventBase {
  readonly type: 'process_exec'
}

export interface ExitEvent extends ProcessEventBase {
  readonly type: 'process_exit'
  /** `SIGKILL`; '' when it ended by itself. */
  readonly signal: string
  readonly status: number
}

export interface KprobeEvent extends ProcessEventBase {
  readonly type: 'process_kprobe'
  readonly tid: number
  readonly hook: Hook
  readonly args: readonly Argument[]
  readonly returned: Argument | undefined
}

/** Where events went missing and why; what a loss record says beside how many. */
export interface LossKind {
  /** `kernel`: before they were read, so that they have no number; `exporter`: between the fan-out and a sink. */
  readonly stage: 'kernel' | 'exporter'
  /** Name of the exporter that did not deliver them; '' in the stage `kernel`. */
  readonly exporter: string
  /** One of few words, the label of the metric that counts them too. */
  readonly reason: string
}

/** Events that will not come, added up over some seconds. Has no process. */
export interface LossEvent extends EventBase {
  readonly type: 'events_lost'
  readonly loss: LossKind
  readonly count: number
  /**
   * Lowest and highest sequence number among them, where those of all are known; both or none. The range holds nothing else
   * when it is as long as `count`; a longer one also holds events that were not lost, or were never this exporter's.
   */
  readonly firstSeq: number | undefined
  readonly lastSeq: number | undefined
}

/** What a process did. */
export type ProcessEvent = ExecEvent | ExitEvent | KprobeEvent

export type Event = ProcessEvent | LossEvent
