/** Encoded values whose lines say their own sequence number, and fake exporters that remember them. */
import { ExportError } from '../../../../exporters/errors.ts'
import type { Batch, Encoded, Exporter, Outcome } from '../../../../exporters/exporter.ts'
import { batchOf } from '../../../../exporters/sending/encoded.ts'

/** `count` lines `{"id":N}` from `firstSeq` on, each padded to `lineBytes` when that is larger. */
export function lines(firstSeq: number, count: number, lineBytes = 0): Encoded {
  const texts = Array.from({ length: count }, (_, i) => `${`{"id":${firstSeq + i}`.padEnd(lineBytes - 2)}}\n`)
  let end = 0
  const ends = Uint32Array.from(texts, (line) => (end += line.length))
  return { encoding: 'json', bytes: Buffer.from(texts.join('')), ends, count, firstSeq }
}

export const batch = (...parts: Encoded[]): Batch => batchOf(parts)

/** The numbers of whole lines; throws where a line is torn. */
export function idsOf(text: string): number[] {
  if (text === '') return []
  if (!text.endsWith('\n')) throw new Error(`torn last line: ${text.slice(-40)}`)
  return text.slice(0, -1).split('\n').map(idOf)
}

function idOf(line: string): number {
  const value: unknown = JSON.parse(line)
  if (typeof value === 'object' && value !== null && 'id' in value && typeof value.id === 'number') return value.id
  throw new Error(`not a numbered line: ${line}`)
}

export const numbers = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i)

/** Answers by script; keeps the ids of what it took. `answer` sees the batch and how often it was called. */
export class FakeExporter implements Exporter {
  readonly type = 'fake'
  readonly encoding = 'json'
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

export const retryable = (more: { afterMs?: number; taken?: number } = {}): Outcome => ({
  status: 'retryable',
  error: new ExportError('IO', 'try again'),
  ...more,
})
export const rejected = (reason: string): Outcome => ({
  status: 'rejected',
  reason,
  error: new ExportError('IO', 'refused'),
})
export const hold = (): Outcome => ({ status: 'hold', error: new ExportError('UNUSABLE_PATH', 'mend me') })

/** Answers only when told to, or with `retryable` when aborted. */
export function gate(): { answer: FakeExporter['answer']; open: (outcome: Outcome) => void } {
  let resolve: ((outcome: Outcome) => void) | undefined
  const answer: FakeExporter['answer'] = (_batch, _call, signal) =>
    new Promise((done) => {
      resolve = done
      signal.addEventListener('abort', () => done(retryable()), { once: true })
    })
  return { answer, open: (outcome) => resolve?.(outcome) }
}
