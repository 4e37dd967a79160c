import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ExportError } from '../../../../exporters/errors.ts'
import type { Outcome } from '../../../../exporters/exporter.ts'
import { sendWithin, waitAtMost } from '../../../../exporters/sending/timeout.ts'
import { FakeClock, settle } from '../support/fake-clock.ts'
import { batch, FakeExporter, gate, lines, retryable } from '../support/lines.ts'

const one = batch(lines(1, 1))

function watch(exporter: FakeExporter, clock: FakeClock, stop: AbortSignal): { outcome: Outcome | undefined } {
  const result: { outcome: Outcome | undefined } = { outcome: undefined }
  void sendWithin(exporter, one, 500, stop, clock).then((outcome) => (result.outcome = outcome))
  return result
}

function sentence({ outcome }: { readonly outcome: Outcome | undefined }): string {
  return outcome !== undefined && 'error' in outcome ? outcome.error.message : ''
}

function codeOf(outcome: Outcome | undefined): string {
  if (outcome === undefined || !('error' in outcome)) return outcome?.status ?? 'none'
  return outcome.error instanceof ExportError ? `${outcome.status} ${outcome.error.code}` : outcome.status
}

test('timeout: an answer in time is passed on and leaves no timer', async () => {
  const clock = new FakeClock()
  const result = watch(new FakeExporter(), clock, new AbortController().signal)
  await settle()
  assert.equal(codeOf(result.outcome), 'delivered')
  assert.deepEqual(clock.pending, [])
})

test('timeout: the exporter is aborted at the limit and the outcome says how long it was given', async () => {
  const clock = new FakeClock()
  const result = watch(new FakeExporter(gate().answer), clock, new AbortController().signal)
  await clock.turn(499)
  assert.equal(result.outcome, undefined)
  await clock.turn(1)
  assert.equal(codeOf(result.outcome), 'retryable TIMEOUT')
  assert.match(sentence(result), /500 ms/)
})

test('timeout: what the sink took before the limit still counts', async () => {
  const clock = new FakeClock()
  const exporter = new FakeExporter(async (_batch, _call, signal) => {
    await new Promise((resolve) => signal.addEventListener('abort', resolve))
    return retryable({ taken: 1 })
  })
  const result = watch(exporter, clock, new AbortController().signal)
  await clock.turn(500)
  assert.deepEqual(result.outcome?.status === 'retryable' && result.outcome.taken, 1)
})

test('timeout: an exporter that ignores the abort is waited for, because it must not be called twice', async () => {
  const clock = new FakeClock()
  const result = watch(new FakeExporter(() => new Promise(() => undefined)), clock, new AbortController().signal)
  await clock.turn(100_000)
  assert.equal(result.outcome, undefined)
})

test('timeout: an exporter that ignores a stop is given up after a second', async () => {
  const clock = new FakeClock()
  const stop = new AbortController()
  const result = watch(new FakeExporter(() => new Promise(() => undefined)), clock, stop.signal)
  stop.abort()
  await clock.turn(999)
  assert.equal(result.outcome, undefined)
  await clock.turn(1)
  assert.equal(codeOf(result.outcome), 'retryable ABORTED')
})

test('timeout: an exporter that throws has broken its contract and is tried again', async () => {
  const throws = new FakeExporter(() => {
    throw new Error('oops')
  })
  const result = watch(throws, new FakeClock(), new AbortController().signal)
  await settle()
  assert.equal(codeOf(result.outcome), 'retryable CONTRACT')
})

test('timeout: waiting for work ends with the work or with the time', async () => {
  const clock = new FakeClock()
  await waitAtMost(Promise.resolve(), 10, clock)
  assert.deepEqual(clock.pending, [])
  const never = waitAtMost(new Promise(() => undefined), 10, clock)
  await clock.turn(10)
  await never
  await assert.rejects(waitAtMost(Promise.reject(new Error('failed')), 10, clock), /failed/)
})
