/**
 * Data that a sink may need besides an event's bytes: policy (for a Kafka topic), time, sequence number. Separate from the
 * bytes, so that exporters still share one encoding.
 */
import { isHookEvent } from './event.ts'
import type { Change, ChangeEvent, Event, LossEvent, LossKind, ProcessEvent, RunEvent } from './event.ts'
import type { Encoded } from './exporter.ts'

/** Contents of a record about the run for the sink of one exporter, as members of its JSON, without undefined ones. */
export function runOf(about: RunAbout, exporter: string): RunMembers {
  const { phase, heartbeatMs, previous, filtered, moved = {}, from, until } = about
  return {
    phase,
    heartbeat_ms: heartbeatMs,
    previous: (Object.hasOwn(previous, exporter) ? previous[exporter] : undefined) ?? '',
    ...(filtered && { events: filtered.includes(exporter) ? 'filtered' : 'all' }),
    ...(Object.hasOwn(moved, exporter) && { moved: moved[exporter] ?? 0 }),
    ...(from && { from }),
    ...(until && { until }),
  }
}

interface RunMembers {
  readonly phase: RunEvent['phase']
  readonly heartbeat_ms: number
  /** The exporter's run before that of the record; '' when not known. */
  readonly previous: string
  /** Whether its filter leaves events out; absent in records of older releases. */
  readonly events?: 'all' | 'filtered'
  readonly moved?: number
  readonly from?: string
  readonly until?: string
}

/** One object for all events of the same type and policy. */
export interface About {
  readonly type: Event['type']
  /** '' for events that belong to no policy. */
  readonly policy: string
  /** Only of loss records. */
  readonly loss?: LossAbout
  /** Only of records about the run. */
  readonly run?: RunAbout
  /** Only of records about a change. */
  readonly change?: Change
}

/** Content of a loss record, without the agent's numbers. */
export type LossAbout = LossKind & Pick<LossEvent, 'count' | 'numbers'>

export type RunAbout = Omit<RunEvent, 'type' | 'seq' | 'time'>

/** The change, without the members of all events. */
export function changeOf({ what, by, names, count, mode, modeBefore }: ChangeEvent): Change {
  return { what, by, names, count, ...(mode && { mode }), ...(modeBefore && { modeBefore }) }
}

/** A change; one that was read of a sink may be of another release. */
type ChangeTexts = Pick<Change, 'by' | 'names' | 'count'> & {
  readonly what: string
  readonly mode?: string | undefined
  readonly modeBefore?: string | undefined
}

/** A readable line: `policy_removed read-secrets (enforce) by api uid=0 pid=812`. */
export function changeText({ what, by, names, count, mode, modeBefore }: ChangeTexts): string {
  const more = count === names.length ? [] : [`(${count} in all)`]
  const modes = mode === undefined ? [] : [modeBefore === undefined ? `(${mode})` : `(${modeBefore} to ${mode})`]
  return [what, names.join(', '), ...more, ...modes, 'by', by].join(' ')
}

/** An Encoded that describes each of its events, by index. */
export interface Described extends Encoded {
  readonly abouts: readonly About[]
  /** Event time, milliseconds since 1970. */
  readonly times: Float64Array
  readonly seqs: Float64Array
  /** The agent run that `seqs` belong to. Set for events read back from a spool, which may be of an earlier run. */
  readonly epoch?: string
}

const ofPolicies: Readonly<Record<ProcessEvent['type'], Map<string, About>>> = {
  process_exec: new Map(),
  process_exit: new Map(),
  process_kprobe: new Map(),
  process_lsm: new Map(),
  process_tracepoint: new Map(),
}

function aboutOf(event: Event): About {
  // Abouts of the agent's own events are not cached: they are rare, and almost every one differs.
  if (event.type === 'events_lost') {
    const { type, loss, count, numbers } = event
    return { type, policy: '', loss: { ...loss, count, ...(numbers && { numbers }) } }
  }
  if (event.type === 'agent_run') {
    const { type, seq: _, time: __, ...run } = event
    return { type, policy: '', run }
  }
  if (event.type === 'agent_change') return { type: event.type, policy: '', change: changeOf(event) }
  const policy = isHookEvent(event) ? event.hook.policy : ''
  const ofType = ofPolicies[event.type]
  const known = ofType.get(policy)
  if (known !== undefined) return known
  const about: About = { type: event.type, policy }
  ofType.set(policy, about)
  return about
}

/** Adds the descriptions of `events`, from which `encoded` was made. */
export function describe(encoded: Encoded, events: readonly Event[]): Described {
  const times = new Float64Array(events.length)
  const seqs = new Float64Array(events.length)
  const list = events.map((event, i) => {
    times[i] = event.time.sec * 1000 + Math.floor(event.time.nsec / 1_000_000)
    seqs[i] = event.seq
    return aboutOf(event)
  })
  return { ...encoded, abouts: list, times, seqs }
}
