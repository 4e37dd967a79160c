/** A recording played through the agent's user space, repeatedly. */
import type { KnownHook } from '../../../collector/ingest/normalize.ts'
import { Normalizer } from '../../../collector/ingest/normalize.ts'
import { decodeChunk } from '../../../collector/wire/decode.ts'
import type { Chunk } from '../../../collector/wire/decode.ts'
import type { ProcessEvent } from '../../../exporters/contract/event.ts'
import { Sequence } from '../../../collector/delivery/sequence.ts'
import { SequenceTracker } from '../../../collector/ingest/sequence-tracker.ts'
import { WallClock } from '../../../collector/process/clock.ts'
import { ProcessTable } from '../../../collector/process/table.ts'
import { EVENT_HEADER } from '../../../collector/wire/wire.ts'
import type { RingReader } from '../../../native/types.ts'
import { knownHook } from '../../support/recording/recording.ts'
import type { Recording } from '../../support/recording/recording.ts'

export const NODE_NAME = 'node-a.example'
/** As RingReader.read: it stops when less space than a largest record is left. */
const LARGEST_RECORD = 64 << 10

/** Everything between ring and fan-out, with the processes at the beginning of the recording. */
export class Line {
  readonly table: ProcessTable
  readonly clock: WallClock
  readonly normalizer: Normalizer
  readonly tracker: SequenceTracker = new SequenceTracker()
  readonly sequence: Sequence = new Sequence()
  #nowMs = 0

  constructor(recording: Recording) {
    this.clock = new WallClock(() => recording.clockOffsetNs)
    this.table = new ProcessTable(NODE_NAME, this.clock)
    const hooks = new Map<number, KnownHook>(recording.hooks.map((each) => [each.hook.id, knownHook(each)]))
    this.normalizer = new Normalizer({
      table: this.table,
      clock: this.clock,
      hook: (id) => hooks.get(id),
      nowMs: () => this.#nowMs,
    })
    for (const process of recording.processes) this.table.addScanned(process)
  }

  /** One chunk as ingest takes it, numbered. */
  take(chunk: Chunk): readonly ProcessEvent[] {
    this.clock.refresh()
    const events: ProcessEvent[] = []
    decodeChunk(chunk, (raw, bytes) => {
      this.tracker.see(raw.cpu, raw.seq)
      if (raw.op === 'return') return
      const event = this.normalizer.event(raw, bytes)
      if (event !== undefined) events.push(event)
    })
    return this.sequence.number(events)
  }

  /** Advances the recording's time: ended processes leave the table at the rate at which they ended. */
  pass(ms: number): void {
    this.#nowMs += ms
    this.table.sweep(this.#nowMs)
  }
}

/**
 * A ring that contains the recording `rounds` times. `onRound` is called at the end of each. `due` is called before each read and
 * returns how many records exist by then; all if absent.
 */
export class RecordedRing implements RingReader {
  readonly #bytes: Buffer
  readonly #onRound: () => void
  readonly #due: () => number
  #at = 0
  #rounds: number

  constructor(bytes: Buffer, rounds: number, onRound: () => void, due: () => number = () => Infinity) {
    this.#bytes = bytes
    this.#rounds = rounds
    this.#onRound = onRound
    this.#due = due
  }

  read(into: Uint8Array): number {
    if (this.#at === this.#bytes.length) {
      this.#onRound()
      this.#rounds--
      this.#at = 0
    }
    if (this.#rounds <= 0) return 0
    const most = Math.min(this.#bytes.length, this.#at + into.length - LARGEST_RECORD + 1)
    let end = this.#at
    for (let left = this.#due(); left > 0 && end < most; left--) end = this.#next(end)
    into.set(this.#bytes.subarray(this.#at, end))
    const length = end - this.#at
    this.#at = end
    return length
  }

  #next(at: number): number {
    return at + ((this.#bytes.readUInt32LE(at + EVENT_HEADER.size) + 7) & ~7)
  }

  available(): number {
    return 0
  }

  malformed(): number {
    return 0
  }

  close(): void {}

  [Symbol.dispose](): void {}
}

/** The recording cut into chunks as the source would read them, for measuring single stages. */
export function chunksOf(recording: Recording, chunkBytes = 128 << 10): Chunk[] {
  const ring = new RecordedRing(recording.bytes, 1, () => {})
  const chunks: Chunk[] = []
  for (;;) {
    const bytes = Buffer.alloc(chunkBytes)
    const length = ring.read(bytes)
    if (length === 0) return chunks
    chunks.push({ bytes, length })
  }
}
