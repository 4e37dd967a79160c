/**
 * The contract every exporter keeps. An exporter knows one sink and nothing else: the sending chain
 * (`sending/`) queues, batches, retries, times out and counts around it.
 */
import type { Event } from './event.ts'

/** Names of the encodings that exporters share; each batch is encoded once per name. */
export type Encoding = 'json' | 'compact' | 'otlp' | 'otlp_json'

/** Bytes that have several users (runtime/memory.ts). */
export interface SharedMemory {
  /** There are so many users more. */
  hold(more?: number): void
  /** One user less. */
  done(): void
}

/**
 * Consecutive events in one encoding. `bytes` holds `count` lines; line i ends at `ends[i]` and begins where the
 * line before ended. Immutable and shared by every exporter of that encoding: nobody writes into it.
 */
export interface Encoded {
  readonly encoding: Encoding
  readonly bytes: Uint8Array
  readonly ends: Uint32Array
  readonly count: number
  /** Sequence number of the first event; the others follow, without gap but where a filter took some: Described says. */
  readonly firstSeq: number
  /** Of `bytes`: each sender that has it, and each part that it is cut into, is a user. Absent: left to the garbage collector. */
  readonly memory?: SharedMemory
}

/** Turns events into one Encoded. Pure apart from renderings cached on processes. */
export interface Encoder {
  readonly encoding: Encoding
  encode(events: readonly Event[]): Encoded
  /** The same for who copies the bytes at once: they stay the encoder's and are written over by its next call. */
  borrow?(events: readonly Event[]): Encoded
}

/** What is sent in one call: one or more Encoded, in order. */
export interface Batch {
  readonly parts: readonly Encoded[]
  readonly count: number
  readonly sizeBytes: number
}

/** Events of a batch that were refused for good, for one reason. */
export interface Refusal {
  /** One of a few words: it becomes a metric's label. */
  readonly reason: string
  readonly events: number
  /** Which, as indexes into the batch in ascending order; absent where the sink told only how many. */
  readonly which?: readonly number[]
  /** What the sink said, as a sentence. */
  readonly message: string
}

/** What became of a batch. Whoever sees the sink's answer decides; nobody else interprets it. */
export type Outcome =
  | { readonly status: 'delivered' }
  /** Some events of the batch were refused for good, the others taken. */
  | { readonly status: 'partial'; readonly refusals: readonly Refusal[] }
  /**
   * Not taken, worth trying again; `afterMs` when the sink named a time, of which an hour is believed. `taken` counts events at the head of the
   * batch that are settled: they were taken, but for those in `refusals`; only the rest is sent again.
   */
  | {
      readonly status: 'retryable'
      readonly afterMs?: number
      readonly taken?: number
      /**
       * How many of the rest the sink may have all the same, for want of an answer: sent again they may be there twice.
       * All of them when absent.
       */
      readonly unacknowledged?: number
      readonly refusals?: readonly Refusal[]
      readonly error: Error
    }
  /** All refused for good, for one reason. */
  | { readonly status: 'rejected'; readonly reason: string; readonly error: Error }
  /**
   * Not taken because of something a person must mend (credentials, address, rights): keep, try slowly, say so. `forGood`: and nobody
   * can while this process runs; an agent all of whose exporters say so ends.
   */
  | { readonly status: 'hold'; readonly forGood?: boolean; readonly error: Error }

/** What was sent once more within a call of `send`, although the sink may have had it. */
export interface Resent {
  readonly requests: number
  readonly events: number
}

export interface Exporter extends AsyncDisposable {
  readonly type: string
  readonly encoding: Encoding
  /**
   * Calls of `send` that it can take at once; 1 when absent. With more than one, batches may arrive in another order:
   * only for sinks to which order means nothing.
   */
  readonly maxConcurrency?: number
  /**
   * Nothing of this exporter reads the bytes of a batch once `send` has returned `delivered`, whatever the sink does: their memory
   * may be given back at once.
   */
  readonly releases?: boolean
  /** Opens the sink. Throws ExportError when the configuration can never work (then the agent does not start). */
  start(): Promise<void>
  /**
   * Delivers the batch or says what became of it; never throws for what a sink does. At most
   * `maxConcurrency` calls are under way at once. When `signal` aborts, settles soon with 'retryable'.
   */
  send(batch: Batch, signal: AbortSignal): Promise<Outcome>
  /** Reopens what a log rotator has moved away (SIGUSR1, SIGHUP). */
  reopen?(): Promise<void>
  /** Flushes and closes. A second call does nothing. */
  stop(): Promise<void>
  /** Limits on single events that the sink has named in its answers and that hold now, by the sink's own names; for people. */
  readonly learnedLimits?: Readonly<Record<string, number>>
  /** What only this kind of sink can count (rotations, torn lines mended …), by name; always the current values. */
  readonly counters?: Readonly<Record<string, number>>
  /** Of all calls so far; absent where a call sends nothing twice. Calls that are repeated count for themselves. */
  readonly resent?: Resent
}
