/**
 * What a sink may need to know of events beside their bytes: a Kafka topic by policy, a record's time, a sequence header.
 * Kept apart from the bytes so that encodings stay shared.
 */
import type { Event } from '../collector/event.ts'
import type { Encoded } from './exporter.ts'

/** Shared by all events that agree in it. */
export interface About {
  readonly type: Event['type']
  /** '' for events that belong to no policy. */
  readonly policy: string
}

/** An Encoded with a description of each of its events, index by index. */
export interface Described extends Encoded {
  readonly abouts: readonly About[]
  /** Event time, milliseconds since 1970. */
  readonly times: Float64Array
  readonly seqs: Float64Array
}
