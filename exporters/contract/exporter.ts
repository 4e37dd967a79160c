// Authors of exporters may compile for a library without it.
/// <reference lib="esnext.disposable" preserve="true" />
/**
 * The contract of every exporter. An exporter only knows its sink: the sending chain (`sending/`) queues, batches, retries,
 * times out and counts.
 */
import type { Event } from './event.ts'

/** Encodings that exporters share: events are encoded once for all exporters of the same encoding. */
export type Encoding = 'json' | 'compact' | 'otlp' | 'otlp_json'

/** Reference-counted bytes (`Memory` of encoded.ts). */
export interface SharedMemory {
  /** Adds users. */
  hold(more?: number): void
  /** Removes one user. */
  done(): void
}

/**
 * Consecutive events in one encoding. `bytes` has `count` lines; line i ends at `ends[i]` and begins at the end of the line
 * before. Shared by all exporters of the encoding and immutable.
 */
export interface Encoded {
  readonly encoding: Encoding
  readonly bytes: Uint8Array
  readonly ends: Uint32Array
  readonly count: number
  /** Sequence number of the first event. The others follow without gaps, unless a filter removed some (see Described). */
  readonly firstSeq: number
  /** Number of the first event among those of its exporter (numbering.ts); the others follow without gaps. Absent: not numbered. */
  readonly number?: number
  /** The memory of `bytes`: each sender and each piece cut from it is a user. Absent: left to the garbage collector. */
  readonly memory?: SharedMemory
}

/** Encodes events. Only `Process.rendered` changes. */
export interface Encoder {
  readonly encoding: Encoding
  encode(events: readonly Event[]): Encoded
  /** For callers that copy the bytes at once: the bytes remain the encoder's and the next call overwrites them. */
  borrow?(events: readonly Event[]): Encoded
}

/** The events of one `send` call: one or more Encoded, in order. */
export interface Batch {
  readonly parts: readonly Encoded[]
  readonly count: number
  readonly sizeBytes: number
}

/** Events of a batch that the sink permanently refused for one reason. */
export interface Refusal {
  /** One of a few words; a metric label. */
  readonly reason: string
  readonly events: number
  /** Indexes into the batch, ascending; absent if the sink reported only a number. */
  readonly which?: readonly number[]
  /** The sink's explanation. */
  readonly message: string
}

/** The result of sending a batch. The exporter alone interprets the sink's response. */
export type Outcome =
  | { readonly status: 'delivered' }
  /** Some events were permanently refused, the others taken. */
  | { readonly status: 'partial'; readonly refusals: readonly Refusal[] }
  /**
   * Not taken; try again, after `afterMs` if the sink named a time (at most one hour). The first `taken` events are settled: taken
   * by the sink or listed in `refusals`. Only the rest is sent again.
   */
  | {
      readonly status: 'retryable'
      readonly afterMs?: number
      readonly taken?: number
      /** How many of the rest the sink may have stored unacknowledged: possible duplicates when sent again. Absent: all. */
      readonly unacknowledged?: number
      /**
       * Indexes, ascending, of events after the first `taken` that the sink has acknowledged. The exporter does not send them
       * again; they count as delivered even if the rest of the batch is never sent.
       */
      readonly acknowledged?: readonly number[]
      readonly refusals?: readonly Refusal[]
      readonly error: Error
    }
  /** All permanently refused for one reason. */
  | { readonly status: 'rejected'; readonly reason: string; readonly error: Error }
  /**
   * Not taken because of a problem that needs manual action (credentials, address, permissions): keep the events, retry slowly,
   * report it. `forGood`: cannot be fixed while this process runs. The agent ends when all exporters report that. When `repaired`
   * resolves, the problem may be solved, and the events are tried at once. `acknowledged`: as in `retryable`.
   */
  | {
      readonly status: 'hold'
      readonly forGood?: boolean
      readonly repaired?: Promise<void>
      readonly acknowledged?: readonly number[]
      readonly error: Error
    }

/** Requests and events that one `send` call sent again although the sink may already have them. */
export interface Resent {
  readonly requests: number
  readonly events: number
}

export interface Exporter extends AsyncDisposable {
  readonly type: string
  readonly encoding: Encoding
  /**
   * Maximum concurrent `send` calls; 1 when absent. With more than one, batches may arrive out of order: only for sinks that
   * do not need order.
   */
  readonly maxConcurrency?: number
  /** Never reads the bytes of a batch after `send` returned `delivered`, so their memory may be freed at once. */
  readonly releases?: boolean
  /** Opens the sink. Throws ExportError if the configuration can never work; the agent then does not start. */
  start(): Promise<void>
  /**
   * Sends the batch and reports the result; never throws for a failure of the sink. At most `maxConcurrency` calls run at
   * once. When `signal` aborts, it settles soon with 'retryable'.
   */
  send(batch: Batch, signal: AbortSignal): Promise<Outcome>
  /**
   * Connects to the sink as `send` would and sends no event; resolves to its findings, for people. Called instead of `start`, and followed by
   * `stop`. Rejects with an Error that names the failure and the remedy. When `signal` aborts, the caller no longer waits for it.
   */
  probe?(signal: AbortSignal): Promise<string>
  /** Reopens files after log rotation (SIGUSR1, SIGHUP). */
  reopen?(): Promise<void>
  /** Flushes and closes. A second call does nothing. */
  stop(): Promise<void>
  /** All reasons that its refusals may have. Their counters are published from 0 on, so that the first refusals are an increase. */
  readonly refusalReasons?: readonly string[]
  /** Current limits on single events that the sink reported in its responses, by the sink's names. For display. */
  readonly learnedLimits?: Readonly<Record<string, number>>
  /** Current values of counters specific to this kind of sink (rotations, repaired lines …), by name. */
  readonly counters?: Readonly<Record<string, number>>
  /** Total of all calls, repeated calls included; absent if a call never sends anything twice. */
  readonly resent?: Resent
}
