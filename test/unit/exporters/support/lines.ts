/** Encoded values whose lines contain their own sequence number, and fake exporters that record them. */
import type { Described } from '../../../../exporters/contract/described.ts'
import { ExportError } from '../../../../exporters/contract/errors.ts'
import type { Batch, Encoded, Encoding, Exporter, Outcome } from '../../../../exporters/contract/exporter.ts'
import { batchOf } from '../../../../exporters/contract/encoded.ts'
import { idsOf, lines } from '../../../../exporters/testing/lines.ts'

export { idsOf, lines, numbers } from '../../../../exporters/testing/lines.ts'

export const batch = (...parts: Encoded[]): Batch => batchOf(parts)

/** Answers by script; keeps the ids of the events that it took. `answer` gets the batch and the number of calls. */
export class FakeExporter implements Exporter {
  readonly type = 'fake'
  encoding: Encoding = 'json'
  releases = false
  readonly ids: number[] = []
  calls = 0
  inSend = 0
  stops = 0
  readonly #answer: (batch: Batch, call: number, signal: AbortSignal) => Outcome | Promise<Outcome>

  constructor(answer: FakeExporter['answer'] = () => ({ status: 'delivered' })) {
    this.#answer = answer
  }

  get answer(): (batch: Batch, call: number, signal: AbortSignal) => Outcome | Promise<Outcome> {
    return this.#answer
  }

  start(): Promise<void> {
    return Promise.resolve()
  }

  async send(sent: Batch, signal: AbortSignal): Promise<Outcome> {
    if (++this.inSend > 1) throw new Error('send was called while a send was going on')
    try {
      const outcome = await this.#answer(sent, this.calls++, signal)
      const all = sent.parts.flatMap(({ bytes }) => idsOf(Buffer.from(bytes).toString()))
      if (outcome.status === 'delivered') this.ids.push(...all)
      if (outcome.status === 'retryable') this.ids.push(...all.slice(0, outcome.taken ?? 0))
      return outcome
    } finally {
      this.inSend--
    }
  }

  stop(): Promise<void> {
    this.stops++
    return Promise.resolve()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }
}

type Retryable = Extract<Outcome, { status: 'retryable' }>

export const retryable = (more: Partial<Retryable> = {}): Outcome => ({
  status: 'retryable',
  error: new ExportError('IO', 'try again'),
  ...more,
})
export const rejected = (reason: string): Outcome => ({
  status: 'rejected',
  reason,
  error: new ExportError('IO', 'refused'),
})
export const hold = (): Outcome => ({ status: 'hold', error: new ExportError('UNUSABLE', 'needs manual action') })

/** Answers only on request, or with `retryable` if aborted. */
export function gate(): { answer: FakeExporter['answer']; open: (outcome: Outcome) => void } {
  let resolve: ((outcome: Outcome) => void) | undefined
  const answer: FakeExporter['answer'] = (_batch, _call, signal) =>
    new Promise((done) => {
      resolve = done
      signal.addEventListener('abort', () => done(retryable()), { once: true })
    })
  return { answer, open: (outcome) => resolve?.(outcome) }
}

/** As `lines`, with the description that a spool needs; every event happened at `timeMs`. */
export function describedLines(firstSeq: number, count: number, timeMs = 0, lineBytes = 0): Described {
  const about = { type: 'process_exec', policy: '' } as const
  return {
    ...lines(firstSeq, count, lineBytes),
    abouts: Array.from({ length: count }, () => about),
    times: new Float64Array(count).fill(timeMs),
    seqs: Float64Array.from({ length: count }, (_, i) => firstSeq + i),
  }
}
