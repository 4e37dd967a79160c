/**
 * A validated policy, the input of `collector/kernel/plan.ts`. Made only by `parsePolicy`.
 * Names follow Tetragon's TracingPolicy (docs/reference/policy-language.md); defaults are filled in.
 */

import type { Position } from '../yaml/problems.ts'
import type { Places, Resolve } from './types/places.ts'
import type { ArgumentType } from './arguments.ts'
import type { IdentityOperator, Operator } from './operators.ts'

/** What says how many bytes a buffer has. */
export interface BytesSize {
  /** The parameter that has the number of bytes, or of parts; undefined: none has. */
  readonly param: number | undefined
  readonly read: ArgumentType['read']
  /** How the return value is read, which says how many bytes the function filled in; undefined: they are those of the entry. */
  readonly returned: ArgumentType['read'] | undefined
}

export interface ArgumentSpec {
  /** Position in the function's prototype, 0 to 4; of a tracepoint see `KprobeSpec.type`. */
  readonly index: number
  readonly type: ArgumentType
  readonly label: string
  /** The value is a member of what the argument points to. */
  readonly resolve?: Resolve | undefined
  /** Where it is in this kernel; absent: it is the parameter itself. */
  readonly places?: Places | undefined
  /** Of bytes: what says how many there are; absent: the argument itself. */
  readonly size?: BytesSize | undefined
  /** Of bytes: DATA_MAX of bpf/filter.h are read, not BYTES_MAX. */
  readonly maxData?: true
  /** Source of an item of `data`; `index` is PARAM_TASK of bpf/filter.h. With the task, `resolve` begins there and not at a parameter. */
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

/** What bytes begin with, first byte first. */
export interface BitPrefix {
  /** Of an address of IPv6; else of one of IPv4, or of a number of 16 bits. */
  readonly ipv6: boolean
  readonly bits: number
  readonly bytes: readonly number[]
}

/** On a member of what a sock, socket, skb or sockaddr says. */
export interface SocketFilter {
  readonly class: 'socket'
  readonly arg: number
  readonly operator: 'Equal' | 'NotEqual'
  readonly member: 'saddr' | 'daddr' | 'sport' | 'dport' | 'protocol' | 'family' | 'state'
  /** Any of them, or none. */
  readonly values: readonly BitPrefix[]
  readonly at: Position
}

/** On what kind of file an argument leads to. */
export interface FileTypeFilter {
  readonly class: 'fileType'
  readonly arg: number
  readonly operator: 'Equal' | 'NotEqual'
  /** Bits of a mode. */
  readonly values: readonly bigint[]
  readonly at: Position
}

/** On which file the argument leads to, whatever its path. */
export interface IdentityFilter extends FilterBase {
  /** What leaves the folders by a rename is still wanted. */
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
  /** Descendants of what the values name count too. */
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

/** On the process of a call, whatever the call. */
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
  /** Any of them, or none. */
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

/** Likewise of capabilities: one of these was gained or lost. */
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

/** On where the calling task runs. With neither pods nor containers: host processes only. */
export interface WorkloadFilter {
  /** Only pods of this namespace; '' for any. */
  readonly namespace: string
  /** By their labels; undefined: all pods, if containers are asked for. */
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
  /** For counts by selector, of which nothing else says what they are. */
  readonly label?: string
  readonly matchArgs: readonly ArgumentFilter[]
  /** On the return value of the calls that it matches: others have no event. `arg` is 0. */
  readonly matchReturnArgs?: readonly NumberFilter[]
  readonly process?: readonly ProcessFilter[]
  readonly task?: readonly TaskFilter[]
  /** Its own, and the policy's; all must match. */
  readonly workloads?: readonly WorkloadFilter[]
  /** Absent: an event, and nothing else. */
  readonly actions?: Actions
  /** Events tell who made the call; absent: they do not. */
  readonly stacks?: Stacks
}

/** Which stacks of a call its events have. */
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

/** What is done about a call that a selector matches. */
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
  /** What is to be done about the next call of the thread to one of the policy's enforcer. */
  readonly notify?: EnforcerNote
  /** The call is one of the enforcer: what is noted is done. */
  readonly enforces?: Enforcement
  /** In mode monitor: what is only counted, and neither sent nor made to fail. */
  readonly monitored?: Pick<Actions, 'signals' | 'error' | 'notify'>
}

/** Neither: an earlier one is taken back. */
export interface EnforcerNote {
  /** Negative: the call is not made, and gives this; 0: it is made. */
  readonly error: number
  /** Sent to the process; 0: none. */
  readonly signal: number
}

/** What notes of the policy ask for. */
export interface Enforcement {
  readonly denies: boolean
}

/** No event for the same arguments by the same caller within the time after an event. */
export interface RateLimit {
  readonly ms: number
  /** Whose repeats count as such. */
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
  /** What files of at most so many bytes have is hashed. */
  readonly hash?: { readonly maxBytes: number }
  readonly at: Position
}

/** Fields of every kind of hook. */
interface HookBase {
  readonly aggregate?: Aggregate
  /** More than the path of files is read. */
  readonly fileDetails?: FileDetailsSpec
  /** Then the items of `data`. */
  readonly args: readonly ArgumentSpec[]
  /** Tested in order; the first whose filters all match decides. Without selectors every call matches. */
  readonly selectors: readonly Selector[]
  readonly action: Action
  readonly message: string
  readonly tags: readonly string[]
  /** The number of the policy's enforcer, which notes carry. Only the plan knows it. */
  readonly enforcer?: number
  readonly at: Position
}

/** Functions that only a kernel can list: its system calls, or what ftrace can trace and the regular expression (RE2) matches. */
export type GeneratedCalls = { readonly of: 'syscalls' } | { readonly of: 'ftrace'; readonly pattern: string }

export interface KprobeSpec extends HookBase {
  /**
   * `lsm`: `call` is what the BPF LSM has for one of the kernel's security hooks. The others: it is `subsystem:event`; the indexes of a `tracepoint`'s
   * arguments are positions among the fields of its format, those of a `rawTracepoint` among what the kernel gives to it.
   */
  readonly type: 'kprobe' | 'lsm' | 'tracepoint' | 'rawTracepoint'
  /** `call` only names a list: a hook for each of its functions, which `collector/kernel/generated.ts` makes. */
  readonly generated?: GeneratedCalls
  /** As written. */
  readonly call: string
  /** `ignore.callNotFound`: on a kernel without the function the hook is skipped, and the policy is not refused. */
  readonly optional: boolean
  readonly syscall: boolean
  readonly return: boolean
  readonly returnArg: ArgumentSpec | undefined
  readonly returnAction: Action
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

export interface Policy {
  readonly name: string
  /** Of a TracingPolicyNamespaced, whose pods it is for; absent: none. */
  readonly namespace?: string
  /** As given to the parser; used in messages. */
  readonly file: string
  readonly hooks: readonly HookSpec[]
  readonly groups: readonly HookGroup[]
  /** Nodes that load the policy, by their labels, when it comes from the API server; absent: all. */
  readonly nodes?: LabelSelector
  /** Each function has a kprobe of its own. */
  readonly singleProbes?: boolean
}
