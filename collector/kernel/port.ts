/**
 * The kernel as the agent sees it. `KernelSide` is a real one; test/support/kernel/replay.ts replays the recording of one, so that
 * everything above this port runs without a kernel.
 */
import type { Policy } from '../../config/policy/policy.ts'
import type { RingReader } from '../../native/types.ts'
import type { MapEnds, StartKey } from '../wire/decode.ts'
import type { COUNTERS } from '../wire/wire.ts'
import type { Done, DoneByHook } from './actions/acted.ts'
import type { Lookups } from './conditions/lookups.ts'
import type { FileContents } from './files/contents.ts'
import type { Files } from './files/files.ts'
import type { LoadedPolicy, PlannedHook } from '../plan/plan.ts'
import type { ScreenedFunction } from './programs/gate.ts'
import type { Finding } from './watched/finding.ts'
import type { Runs } from './watched/watched-link.ts'

export type CounterName = (typeof COUNTERS)[number]

export interface KernelCounts {
  /** Sequence numbers taken. */
  readonly taken: number
  readonly counters: Readonly<Record<CounterName, number>>
  /** Runs of the agent's own programs, which follow processes, cgroups and hard links, by program. */
  readonly programs: ReadonlyMap<string, Runs>
  /** Runs of the programs of functions, also of detached ones, by function. */
  readonly functions: ReadonlyMap<string, Runs>
}

/** An entry of the kernel's process table. */
export interface KernelProcess {
  readonly pid: number
  readonly start: StartKey
  readonly parentTgid: number
  readonly parentStart: StartKey
}

export interface Kernel extends Disposable {
  readonly ring: RingReader
  /** Size of the ring. */
  readonly ringBytes: number
  /** Calls `wake` when the bytes that wait in the ring reach the watermark. */
  watch(wake: () => void): Disposable
  readonly policies: KernelPrograms

  /** Enters a process that was already running; an entry of the hooks wins. False when there is an entry, or the table is full. */
  seedProcess(pid: number, startNs: bigint, parentPid: number): boolean
  /** Enters the programs of processes that were forked before their parents were entered. Call it when all earlier processes are entered. */
  seedImages(): void
  forgetProcess(pid: number): void
  /** Start time of this pid's image in the kernel's table. */
  processStart(pid: number): bigint | undefined
  /** The kernel's process table, in parts. Entries that exist during the whole iteration are certain to be included. */
  processes(): Iterable<readonly KernelProcess[]>

  /** Clears the memory of functions: the next call in each cgroup runs the whole program. */
  forgetCgroups(): void
  /** The kernel's counters, read together, so that they are consistent. */
  counts(): KernelCounts
  /** Whether the kernel counts runs and their time (sysctl kernel.bpf_stats_enabled). */
  readonly keepsStatistics: boolean
  /** Finds changes by other processes; repairs what it can. */
  check(): Finding[]
}

/** Policies in a kernel. */
export interface KernelPrograms {
  /**
   * Detaches policies and attaches others, as a whole or not at all. One change at a time. Throws CollectorError POLICY_REFUSED with the position
   * in the file for anything that this kernel lacks or refuses. `planned` gets the hooks before any of their records can arrive.
   */
  change(
    remove: readonly LoadedPolicy[],
    add: readonly Policy[],
    planned?: (hooks: readonly PlannedHook[]) => void,
  ): Promise<LoadedPolicy[]>
  /** Detaches everything; a running change fails. */
  detachAll(): Promise<void>
  readonly lookups: KernelLookups

  /** Bytes of the kernel's memory for a policy. */
  memoryOf(policy: LoadedPolicy): number
  /** The functions, each with the link at its entry, and the number of calls that its program began. */
  functions(): ScreenedFunction[]
  /** Actions on matched calls, also of detached hooks. */
  doneByHook(): DoneByHook
  /** Actions of an attached hook, by selector. */
  doneBy(hookId: number): ReadonlyMap<number, Done>

  /** Calls that wait for their return in the kernel's map; undefined until a function is joined. */
  readonly joins: { calls(): ReadonlySet<string>; readonly fromMap: number } | undefined
  /** Ends of calls since the last time that the ring does not report. Their records are in the ring by now. */
  takeEnds(): MapEnds
  /** Removes calls whose return will never come; call it every few seconds. */
  sweepJoins(): void
}

/** Tables of the kernel's side beside the calls. */
export interface KernelLookups extends Pick<Lookups, 'takeAggregate'> {
  readonly files: Pick<Files, 'pathOf' | 'refresh'>
  readonly contents: Pick<FileContents, 'read' | 'idle'>
}
