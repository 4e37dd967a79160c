/** A recording played through the agent's user space, repeatedly. */
import type { KnownHook } from '../../../collector/ingest/call.ts'
import { Normalizer } from '../../../collector/ingest/normalize.ts'
import { decodeChunk } from '../../../collector/wire/decode.ts'
import type { Chunk } from '../../../collector/wire/decode.ts'
import type { ProcessEvent } from '../../../exporters/contract/event.ts'
import { SequenceTracker } from '../../../collector/ingest/sequence-tracker.ts'
import { WallClock } from '../../../collector/process/clock.ts'
import { ProcessTable } from '../../../collector/process/table.ts'
import { knownHook } from '../../support/recording/recording.ts'
import type { Recording } from '../../support/recording/recording.ts'
import { RecordedRing } from '../../support/recording/ring.ts'

export const NODE_NAME = 'node-a.example'

/** Everything between ring and fan-out, with the processes at the beginning of the recording. */
export class Line {
  readonly table: ProcessTable
  readonly clock: WallClock
  readonly normalizer: Normalizer
  readonly tracker: SequenceTracker = new SequenceTracker()
  #nowMs = 0
  #seq = 0

  constructor(recording: Recording) {
    this.clock = new WallClock(() => recording.clockOffsetNs)
    this.table = new ProcessTable(NODE_NAME, this.clock, 128 << 20)
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
    for (const event of events) event.seq = this.#seq++
    return events
  }

  /** Advances the recording's time: ended processes leave the table at the rate at which they ended. */
  pass(ms: number): void {
    this.#nowMs += ms
    this.table.sweep(this.#nowMs)
  }
}

/** The recording cut into chunks as the source would read them, for measuring single stages. */
export function chunksOf(recording: Recording, chunkBytes = 128 << 10): Chunk[] {
  const ring = new RecordedRing(recording.bytes, { rounds: 1 })
  const chunks: Chunk[] = []
  for (;;) {
    const bytes = Buffer.alloc(chunkBytes)
    const length = ring.read(bytes)
    if (length === 0) return chunks
    chunks.push({ bytes, length })
  }
}
