/**
 * A validated policy, the input of `collector/plan/plan.ts`. Made only by `parsePolicy`.
 * Names follow Tetragon's TracingPolicy (docs/reference/policy/README.md); defaults are filled in.
 */

import type { Position } from '../yaml/problems.ts'
import type { Places, Resolve } from './types/places.ts'
import type { ArgumentType } from './arguments.ts'
import type { IdentityOperator, Operator } from './operators.ts'

/** Sources of the number of bytes in a buffer. */
export interface BytesSize {
  /** The parameter that has the number of bytes, or of parts; undefined: no parameter has it. */
  readonly param: number | undefined
  readonly read: ArgumentType['read']
  /** Type of the return value, which is the number of bytes that the function filled in; undefined: the bytes are read at the entry. */
  readonly returned: ArgumentType['read'] | undefined
}

export interface ArgumentSpec {
  /** Position in the function's prototype, 0 to 4; of a tracepoint see `KprobeSpec.type`. */
  readonly index: number
  readonly type: ArgumentType
  readonly label: string
  /** The value is a member of the struct at which the argument points. */
  readonly resolve?: Resolve | undefined
  /** Its place in this kernel; absent: the value is the parameter itself. */
  readonly places?: Places | undefined
  /** For bytes: the source of their number; absent: the argument itself. */
  readonly size?: BytesSize | undefined
  /** For bytes: the limit is DATA_MAX of bpf/frame/filter.h, not BYTES_MAX. */
  readonly maxData?: true
  /** Source of an item of `data`; `index` is PARAM_TASK of bpf/frame/filter.h. With the task, `resolve` begins there and not at a parameter. */
  readonly source?: 'current_task' | 'pt_regs' | undefined
  /** Register that an item of `data` reads (config/policy/types/registers.ts). */
  readonly register?: string | undefined
  readonly at: Position
}

interface FilterBase {
  /** Position in the hook's `args` list (not in the prototype). */
  readonly arg: number
  readonly operator: Operator
  readonly at: Position
}

export interface NumberFilter extends FilterBase {
  readonly class: 'number'
  readonly values: readonly bigint[]
}

export interface TextFilter extends FilterBase {
  readonly class: 'text' | 'path'
  /** As written, trailing NULs cut. */
  readonly values: readonly string[]
}

/** The first bits of a value, first byte first. */
export interface BitPrefix {
  /** True for an IPv6 address; false for an IPv4 address or a 16-bit number. */
  readonly ipv6: boolean
  readonly bits: number
  readonly bytes: readonly number[]
}

/** On a member of a sock, socket, skb or sockaddr. */
export interface SocketFilter extends FilterBase {
  readonly class: 'socket'
  readonly operator: 'Equal' | 'NotEqual'
  readonly member: 'saddr' | 'daddr' | 'sport' | 'dport' | 'protocol' | 'family' | 'state'
  /** Equal: one of these; NotEqual: none. */
  readonly values: readonly BitPrefix[]
}

/** On the type of the file that an argument leads to. */
export interface FileTypeFilter extends FilterBase {
  readonly class: 'fileType'
  readonly operator: 'Equal' | 'NotEqual'
  /** Bits of a mode. */
  readonly values: readonly bigint[]
}

/** On the file that the argument leads to, whatever its path. */
export interface IdentityFilter extends FilterBase {
  /** A file or folder still matches after a rename moves it out of the folders. */
  readonly sticky?: true
  readonly class: 'identity'
  readonly operator: IdentityOperator
  /** Absolute paths, without a slash at the end. */
  readonly values: readonly string[]
}

/** By the class of the argument's type. */
export type ArgumentFilter = NumberFilter | TextFilter | SocketFilter | FileTypeFilter | IdentityFilter

/** On the path of a program: of the process, or of its parent. */
export interface ProgramFilter {
  readonly class: 'program' | 'parent'
  readonly operator: 'Equal' | 'NotEqual' | 'Prefix' | 'NotPrefix' | 'Postfix' | 'NotPostfix'
  readonly values: readonly string[]
  /** Descendants of processes that the values name count too. */
  readonly descendants: boolean
  readonly at: Position
}

export interface PidFilter {
  /** `innerPid`: in the process's own pid namespace. */
  readonly class: 'pid' | 'innerPid'
  readonly operator: 'Equal' | 'NotEqual'
  readonly values: readonly number[]
  readonly descendants: boolean
  readonly at: Position
}

/** A filter on the process of a call. */
export type ProcessFilter = ProgramFilter | PidFilter

export type NamespaceKind =
  | 'uts'
  | 'ipc'
  | 'mnt'
  | 'pid'
  | 'pidForChildren'
  | 'net'
  | 'time'
  | 'timeForChildren'
  | 'cgroup'
  | 'user'

export interface NamespaceFilter {
  readonly class: 'namespace'
  readonly namespace: NamespaceKind
  readonly operator: 'Equal' | 'NotEqual'
  /** Inode numbers; `host`: that of the host's namespace. */
  readonly values: ReadonlyArray<number | 'host'>
  readonly at: Position
}

export interface CapabilityFilter {
  readonly class: 'capability'
  readonly set: 'effective' | 'inheritable' | 'permitted'
  /** Mask: a bit of `mask`; NotMask: none. */
  readonly operator: 'Mask' | 'NotMask'
  readonly mask: bigint
  /** Only tasks outside the host's user namespace match. */
  readonly outsideHost: boolean
  readonly at: Position
}

/** The process has had other namespaces of one of these kinds, at its last fork or exec or when the selector last matched. */
export interface NamespaceChangeFilter {
  readonly class: 'namespaceChange'
  readonly namespaces: readonly NamespaceKind[]
  readonly at: Position
}

/** Likewise, one of these capabilities was gained or lost. */
export interface CapabilityChangeFilter extends Omit<CapabilityFilter, 'class' | 'operator'> {
  readonly class: 'capabilityChange'
}

/** One requirement on a label; without values `In` is never met, and `NotIn` always. */
export interface LabelRequirement {
  readonly key: string
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist'
  readonly values: readonly string[]
}

/** All must be met; none: everything matches. */
export type LabelSelector = readonly LabelRequirement[]

/** On the pod, container or host of the calling task. With neither pods nor containers: host processes only. */
export interface WorkloadFilter {
  /** Only pods of this namespace; '' for any. */
  readonly namespace: string
  /** By their labels; undefined: all pods, if `containers` is set. */
  readonly pods: LabelSelector | undefined
  /** By their `name` and `repo`; undefined: all of the pods. */
  readonly containers: LabelSelector | undefined
  /** Whether processes outside of pods match. */
  readonly host: boolean
  readonly at: Position
}

/** On the calling task, as it is at the call. */
export type TaskFilter = NamespaceFilter | CapabilityFilter | NamespaceChangeFilter | CapabilityChangeFilter

export interface Selector {
  /** Identifies the selector in counts by selector. */
  readonly label?: string
  readonly matchArgs: readonly ArgumentFilter[]
  /** Filters on the return value: other matched calls have no event. `arg` is 0. */
  readonly matchReturnArgs?: readonly NumberFilter[]
  readonly process?: readonly ProcessFilter[]
  readonly task?: readonly TaskFilter[]
  /** Its own, and the policy's; all must match. */
  readonly workloads?: readonly WorkloadFilter[]
  /** Absent: an event, and nothing else. */
  readonly actions?: Actions
  /** Events have the stacks of the call; absent: they do not. */
  readonly stacks?: Stacks
}

/** The stacks of a call that its events have. */
export interface Stacks {
  readonly kernel: boolean
  readonly user: boolean
}

/** Tetragon's `KprobeAction` in lower case. */
export type Action =
  | 'post'
  | 'nopost'
  | 'sigkill'
  | 'signal'
  | 'override'
  | 'notifyenforcer'
  | 'cleanupenforcernotification'

/** Actions on a call that a selector matches. */
export interface Actions {
  /** The last one, which records name. */
  readonly last: Action
  /** Sent to the calling process, in order. */
  readonly signals: readonly number[]
  /** Negative: the call is not made, and gives this. Absent: it is made. */
  readonly error?: number
  /** Whether there is an event. */
  readonly reports: boolean
  readonly limit: RateLimit | undefined
  /** The action on the thread's next call to a function of the policy's enforcer. */
  readonly notify?: EnforcerNote
  /** The call is one of the enforcer's: the noted action is done. */
  readonly enforces?: Enforcement
  /** In mode monitor: the actions that are only counted. */
  readonly monitored?: Pick<Actions, 'signals' | 'error' | 'notify'>
}

/** A note with two zeros withdraws an earlier one. */
export interface EnforcerNote {
  /** Negative: the call is not made, and gives this; 0: it is made. */
  readonly error: number
  /** Sent to the process; 0: none. */
  readonly signal: number
}

/** Actions that the policy's notes may request. */
export interface Enforcement {
  readonly denies: boolean
}

/** No event for the same arguments by the same caller within the time after an event. */
export interface RateLimit {
  readonly ms: number
  /** Repeats count within this scope. */
  readonly scope: 'thread' | 'process' | 'global'
}

/** Equal calls of a process have one event, with their count. */
export interface Aggregate {
  /** Longest time from the first call to the event. */
  readonly windowMs: number
  /** Equal calls have equal arguments that are no numbers. */
  readonly byFile: boolean
  /** Equal calls have equal numbers, and the same error. */
  readonly byKind: boolean
  readonly at: Position
}

export interface FileDetailsSpec {
  /** The content of files up to this size is hashed. */
  readonly hash?: { readonly maxBytes: number }
  readonly at: Position
}

/** Functions that only a kernel can list: its system calls, or what ftrace can trace and the regular expression (RE2) matches. */
export type GeneratedCalls = { readonly of: 'syscalls' } | { readonly of: 'ftrace'; readonly pattern: string }

export interface KprobeSpec {
  /**
   * `lsm`: `call` is the BPF LSM's function for one of the kernel's security hooks. Tracepoints: `call` is `subsystem:event`. An `index` is a position
   * among the fields of a `tracepoint`'s format, or among the arguments that the kernel passes to a `rawTracepoint`.
   */
  readonly type: 'kprobe' | 'lsm' | 'tracepoint' | 'rawTracepoint'
  /** `call` only names a list: a hook for each of its functions, which `collector/plan/functions/generated.ts` makes. */
  readonly generated?: GeneratedCalls
  /** As written. */
  readonly call: string
  /** `ignore.callNotFound`: on a kernel without the function the hook is skipped, and the policy is not refused. */
  readonly optional: boolean
  readonly syscall: boolean
  readonly return: boolean
  readonly returnArg: ArgumentSpec | undefined
  readonly returnAction: Action
  readonly aggregate?: Aggregate
  /** More than the path of files is read. */
  readonly fileDetails?: FileDetailsSpec
  /** `args`, then `data`. */
  readonly args: readonly ArgumentSpec[]
  /** Tested in order; the first whose filters all match decides. Without selectors every call matches. */
  readonly selectors: readonly Selector[]
  readonly action: Action
  readonly message: string
  readonly tags: readonly string[]
  /** The number of the policy's enforcer, which notes carry. Only the plan sets it. */
  readonly enforcer?: number
  readonly at: Position
}

/** One hook of a policy. */
export type HookSpec = KprobeSpec

/** Functions of which a kernel must have one, so that the policy sees an operation. */
export interface HookGroup {
  /** The operation, for messages. */
  readonly name: string
  /** Calls of the policy's hooks, all optional, in order of preference: the first that the kernel has is hooked. */
  readonly calls: readonly string[]
  readonly at: Position
}

/** On a kernel without bpf_loop: `by-name`: paths match instead of files. `no-aggregate`: each call has an event. */
export type WithoutLoops = 'by-name' | 'no-aggregate'

export interface Policy {
  readonly name: string
  /** The namespace of a TracingPolicyNamespaced, which applies only to its pods; absent: no namespace. */
  readonly namespace?: string
  /** As given to the parser; used in messages. */
  readonly file: string
  readonly hooks: readonly HookSpec[]
  readonly groups: readonly HookGroup[]
  /** Nodes that load the policy, by their labels, when it comes from the API server; absent: all. */
  readonly nodes?: LabelSelector
  /** Each function has a kprobe of its own. */
  readonly singleProbes?: boolean
  /** Its events go to the client that added it, and to no exporter; the agent is ready without the functions that it lacks. */
  readonly private?: boolean
  /** Permitted on a kernel without bpf_loop; absent: such a kernel refuses files by identity, and counted calls. */
  readonly withoutLoops?: readonly WithoutLoops[]
}
