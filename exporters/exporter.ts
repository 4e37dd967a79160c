/**
 * The contract every exporter keeps. An exporter knows one sink and nothing else: the sending chain
 * (`sending/`) queues, batches, retries, times out and counts around it.
 */
import type { Event } from '../collector/event.ts'

/** Names of the encodings that exporters share; each batch is encoded once per name. */
export type Encoding = 'json' | 'compact' | 'otlp' | 'otlp_json'

/**
 * Consecutive events in one encoding. `bytes` holds `count` lines; line i ends at `ends[i]` and begins where the
 * line before ended. Immutable and shared by every exporter of that encoding: nobody writes into it.
 */
export interface Encoded {
  readonly encoding: Encoding
  readonly bytes: Uint8Array
  readonly ends: Uint32Array
  readonly count: number
  /** Sequence number of the first event; the others follow without gap. */
  readonly firstSeq: number
}

/** Turns events into one Encoded. Pure apart from renderings cached on processes. */
export interface Encoder {
  readonly encoding: Encoding
  encode(events: readonly Event[]): Encoded
}

/** What is sent in one call: one or more Encoded, in order. */
export interface Batch {
  readonly parts: readonly Encoded[]
  readonly count: number
  readonly sizeBytes: number
}

/** What became of a batch. Whoever sees the sink's answer decides; nobody else interprets it. */
export type Outcome =
  | { readonly status: 'delivered' }
  /** `rejected` events of the batch were refused for good, the others taken. */
  | { readonly status: 'partial'; readonly rejected: number; readonly reason: string }
  /**
   * Not taken, worth trying again; `afterMs` when the sink named a time. `taken` counts events at the head of the
   * batch that the sink did take: they are delivered, only the rest is sent again. Of these, `refused` were not taken
   * but refused for good.
   */
  | {
      readonly status: 'retryable'
      readonly afterMs?: number
      readonly taken?: number
      readonly refused?: { readonly rejected: number; readonly reason: string }
      readonly error: Error
    }
  /** Refused for good. */
  | { readonly status: 'rejected'; readonly reason: string; readonly error: Error }
  /** Not taken because of something a person must mend (credentials, address, rights): keep, try slowly, say so. */
  | { readonly status: 'hold'; readonly error: Error }

export interface Exporter extends AsyncDisposable {
  readonly type: string
  readonly encoding: Encoding
  /** Opens the sink. Throws ExportError when the configuration can never work (then the agent does not start). */
  start(): Promise<void>
  /**
   * Delivers the batch or says what became of it; never throws for what a sink does. Called again only after the
   * promise of the call before has settled. When `signal` aborts, settles soon with 'retryable'.
   */
  send(batch: Batch, signal: AbortSignal): Promise<Outcome>
  /** Reopens what a log rotator has moved away (SIGHUP). */
  reopen?(): Promise<void>
  /** Flushes and closes. A second call does nothing. */
  stop(): Promise<void>
  /** What only this kind of sink can count (rotations, torn lines mended …), by name; always the current values. */
  readonly counters?: Readonly<Record<string, number>>
}

/** Why events were dropped: a closed list, so that the books can balance. */
export type DropReason = 'queue_full' | 'expired' | 'shutdown'

/**
 * One exporter's books: accepted = delivered + rejected + dropped (each reason) + held, at every moment.
 * `held` is what sits in the queue, in the batch being built and in flight.
 */
export interface Books {
  readonly accepted: number
  readonly delivered: number
  readonly deliveredBytes: number
  readonly rejected: Readonly<Record<string, number>>
  readonly dropped: Readonly<Record<DropReason, number>>
  readonly heldEvents: number
  readonly heldBytes: number
  readonly retries: number
  readonly lastError: string
  readonly state: 'starting' | 'healthy' | 'retrying' | 'hold' | 'draining' | 'stopped'
}
