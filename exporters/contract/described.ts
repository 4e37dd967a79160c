/**
 * What a sink may need to know of events beside their bytes: a Kafka topic by policy, a record's time, a sequence header.
 * Kept apart from the bytes so that encodings stay shared.
 */
import type { Event, LossKind } from './event.ts'
import type { Encoded } from './exporter.ts'

/** Shared by all events that agree in it. */
export interface About {
  readonly type: Event['type']
  /** '' for events that belong to no policy. */
  readonly policy: string
  /** Only of loss records. */
  readonly loss?: LossKind
}

/** An Encoded with a description of each of its events, index by index. */
export interface Described extends Encoded {
  readonly abouts: readonly About[]
  /** Event time, milliseconds since 1970. */
  readonly times: Float64Array
  readonly seqs: Float64Array
  /** Run of the agent that `seqs` count in, where it may be another than this one: of what a spool gave back. */
  readonly epoch?: string
}

/** All events of a kind share one. */
const ofProcesses: Readonly<Record<'process_exec' | 'process_exit', About>> = {
  process_exec: { type: 'process_exec', policy: '' },
  process_exit: { type: 'process_exit', policy: '' },
}
const ofPolicies = new Map<string, About>()

function aboutOf(event: Event): About {
  // Rare, and of another kind nearly every time.
  if (event.type === 'events_lost') return { type: event.type, policy: '', loss: event.loss }
  if (event.type !== 'process_kprobe') return ofProcesses[event.type]
  const { policy } = event.hook
  const known = ofPolicies.get(policy)
  if (known !== undefined) return known
  const about: About = { type: event.type, policy }
  ofPolicies.set(policy, about)
  return about
}

/** `encoded` with the descriptions of the events that it was made from. */
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

export function isDescribed(encoded: Encoded): encoded is Described {
  return 'abouts' in encoded
}
