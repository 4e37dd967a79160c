/** Events about the agent itself, and members of all events. */

/** A UTC time in two integers, to keep nanoseconds. */
export interface Timestamp {
  readonly sec: number
  readonly nsec: number
}

export interface EventBase {
  /** Position in the gap-free sequence of this agent run. Epoch and `seq` together identify the event. */
  seq: number
  readonly time: Timestamp
}

/** Where and why events were lost. */
export interface LossKind {
  /** `kernel`: before they were read, so they have no sequence number; `exporter`: between the fan-out and a sink. */
  readonly stage: 'kernel' | 'exporter'
  /** Name of the exporter that lost them; '' in stage `kernel`. */
  readonly exporter: string
  /** The label of the metric that counts them; one of a few words. */
  readonly reason: string
}

/** Lost events, summed over some seconds. Has no process. */
export interface LossEvent extends EventBase {
  readonly type: 'events_lost'
  readonly loss: LossKind
  readonly count: number
  /**
   * Lowest and highest lost sequence number; both undefined unless all numbers are known. If the range is longer than `count`, it also
   * covers events that were not lost or not for this exporter.
   */
  readonly firstSeq: number | undefined
  readonly lastSeq: number | undefined
  /** Their exporter numbers (numbering.ts); absent unless all are known. */
  readonly numbers?: NumberRange | undefined
}

/** Both inclusive. */
export interface NumberRange {
  readonly first: number
  readonly last: number
}

/** Record for readers of a sink that a run starts, continues or ends (docs/explanation/audit-algorithm.md). Has no process. */
export interface RunEvent extends EventBase {
  readonly type: 'agent_run'
  readonly phase: 'start' | 'heartbeat' | 'stop'
  /** The next such record of the run comes after this time. */
  readonly heartbeatMs: number
  /** The last run before this one, by exporter; absent if it is not known. */
  readonly previous: Readonly<Record<string, string>>
  /** Exporters that do not get all events, because they have a filter. */
  readonly filtered?: readonly string[]
  /**
   * Exporters that write to a new sink, and the number below which records may be in the old one. 0: moved between two runs.
   */
  readonly moved?: Readonly<Record<string, number>>
  /** RFC 3339: the run has everything from this time on. Absent in records of older releases. */
  readonly from?: string
  /**
   * The stop has it: the run has everything until this time. If the next run is `from` the same time, it took over, and has later events of this run,
   * too. Else nothing was watched between the two times.
   */
  readonly until?: string
}

/** A change of policies or config while the agent runs, and its author. Names and keys, never values. Has no process. */
export interface Change {
  readonly what:
    | 'policy_added'
    | 'policy_replaced'
    | 'policy_removed'
    | 'policy_enabled'
    | 'policy_disabled'
    | 'config_changed'
  /** `file PATH`, `api uid=… pid=…`, `api ADDRESS:PORT` or `cluster`; `several` for changes that share a record. */
  readonly by: string
  /** Policies, with their namespace and a slash before, or keys of the config. */
  readonly names: readonly string[]
  /** Number of all changes: `names` is bounded and has each name once. */
  readonly count: number
  /** The mode of the policies. Only an enforcing one sends signals or makes calls fail. */
  readonly mode?: PolicyMode | undefined
  /** The mode before, of replaced policies whose mode has changed. */
  readonly modeBefore?: PolicyMode | undefined
}

export type PolicyMode = 'enforce' | 'monitor'

export interface ChangeEvent extends EventBase, Change {
  readonly type: 'agent_change'
}

export type AgentEvent = LossEvent | RunEvent | ChangeEvent
