import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ExportError } from '../../../../exporters/contract/errors.ts'
import type { Outcome } from '../../../../exporters/contract/exporter.ts'
import { waitAtMost } from '../../../../config/base/time/deadline.ts'
import { sendWithin } from '../../../../exporters/runtime/timeout.ts'
import { FakeClock, settle } from '../support/fake-clock.ts'
import { batch, FakeExporter, gate, lines, retryable } from '../support/lines.ts'

const one = batch(lines(1, 1))

interface Watched {
  outcome: Outcome | undefined
  readonly deaf: ExportError[]
}

function watch(exporter: FakeExporter, clock: FakeClock, stop: AbortSignal): Watched {
  const result: Watched = { outcome: undefined, deaf: [] }
  const patience = { timeoutMs: 500, stop, clock, onUnresponsive: (error: ExportError) => result.deaf.push(error) }
  void sendWithin(exporter, one, patience).then((outcome) => (result.outcome = outcome))
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

test('timeout: the exporter is aborted at the limit and the outcome contains the limit', async () => {
  const clock = new FakeClock()
  const result = watch(new FakeExporter(gate().answer), clock, new AbortController().signal)
  await clock.turn(499)
  assert.equal(result.outcome, undefined)
  await clock.turn(1)
  assert.equal(codeOf(result.outcome), 'retryable TIMEOUT')
  assert.match(sentence(result), /500 ms/)
})

test('timeout: events that the sink took before the limit still count', async () => {
  const clock = new FakeClock()
  const exporter = new FakeExporter(async (_batch, _call, signal) => {
    await new Promise((resolve) => signal.addEventListener('abort', resolve))
    return retryable({ taken: 1 })
  })
  const result = watch(exporter, clock, new AbortController().signal)
  await clock.turn(500)
  assert.deepEqual(result.outcome?.status === 'retryable' && result.outcome.taken, 1)
})

test('timeout: an exporter that ignores the abort is reported, and awaited, because it must not be called twice', async () => {
  const clock = new FakeClock()
  const answer = Promise.withResolvers<Outcome>()
  const result = watch(new FakeExporter(() => answer.promise), clock, new AbortController().signal)
  await clock.turn(1499)
  assert.deepEqual(result.deaf, [])
  await clock.turn(1)
  assert.deepEqual(
    result.deaf.map(({ code, message }) => `${code}: ${message}`),
    [
      'TIMEOUT: exporter "fake" has not ended a send 1000 ms after its timeout of 500 ms: it gets no more events until ' +
        'it does; if it never does, restart the agent',
    ],
  )
  await clock.turn(100_000)
  assert.equal(result.outcome, undefined)
  assert.equal(result.deaf.length, 1)
  answer.resolve({ status: 'delivered' })
  await settle()
  assert.equal(codeOf(result.outcome), 'delivered')
})

test('timeout: an exporter that reacts to the abort in time is not reported', async () => {
  const clock = new FakeClock()
  const result = watch(new FakeExporter(gate().answer), clock, new AbortController().signal)
  await clock.turn(100_000)
  assert.equal(codeOf(result.outcome), 'retryable TIMEOUT')
  assert.deepEqual(result.deaf, [])
  assert.deepEqual(clock.pending, [])
})

for (const late of [400, 1000, 5000]) {
  test(`timeout: an exporter that ignores the abort and, after ${late} ms, a stop is given up after a second`, async () => {
    const clock = new FakeClock()
    const stop = new AbortController()
    const result = watch(new FakeExporter(() => new Promise(() => undefined)), clock, stop.signal)
    await clock.turn(late)
    stop.abort()
    await clock.turn(999)
    assert.equal(result.outcome, undefined)
    await clock.turn(1)
    assert.equal(codeOf(result.outcome), 'retryable ' + (late < 500 ? 'ABORTED' : 'TIMEOUT'))
    assert.equal(result.deaf.length, late < 1500 ? 0 : 1)
    assert.deepEqual(clock.pending, [])
  })
}

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

test('timeout: an exporter that throws breaks its contract and is retried', async () => {
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
