import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ExportError } from '../../../../../exporters/contract/errors.ts'
import { GuardedExporter } from '../../../../../exporters/sinks/npm/guarded.ts'
import type { PackageExporter } from '../../../../../exporters/sinks/npm/api.ts'
import { FakeClock, settle } from '../../support/fake-clock.ts'
import { batch, lines } from '../../support/lines.ts'

const NEVER = new AbortController().signal
const nothing = (): Promise<void> => Promise.resolve()

function guarded(
  change: Partial<PackageExporter>,
  warnings: string[] = [],
  clock: FakeClock = new FakeClock(),
): GuardedExporter {
  const good: PackageExporter = {
    type: 'x',
    encoding: 'json',
    start: nothing,
    send: () => Promise.resolve({ status: 'delivered' }),
    stop: nothing,
  }
  return new GuardedExporter('npm:x', { ...good, ...change }, { warn: (text) => warnings.push(text), clock })
}

/** Answers as unchecked code could give them. */
const answer =
  (outcome: unknown): PackageExporter['send'] =>
  () =>
    Promise.resolve(outcome as never)

test('guard: an invalid outcome holds the batch, and the error has the package and the reason', async () => {
  const exporter = guarded({ send: answer({ status: 'retryable', error: new Error('x'), taken: 3 }) })
  await exporter.start()
  const outcome = await exporter.send(batch(lines(0, 2)), NEVER)
  assert.ok(outcome.status === 'hold')
  assert.ok(outcome.error instanceof ExportError)
  assert.equal(outcome.error.code, 'CONTRACT')
  assert.equal(
    outcome.error.message,
    'npm:x broke the contract of send: taken: expected 0 to 2, got 3; report it to the authors of the package',
  )
})

test('guard: a valid outcome passes unchanged', async () => {
  const outcome = { status: 'partial', refusals: [{ reason: 'x', events: 1, which: [1], message: 'm' }] }
  const exporter = guarded({ send: answer(outcome) })
  await exporter.start()
  assert.equal(await exporter.send(batch(lines(0, 2)), NEVER), outcome)
})

test('guard: a package that requests no wait does not cause retries without a pause', async () => {
  const error = new Error('busy')
  const exporter = guarded({ send: answer({ status: 'retryable', error, afterMs: 0, taken: 1 }) })
  await exporter.start()
  assert.deepEqual(await exporter.send(batch(lines(0, 2)), NEVER), { status: 'retryable', error, taken: 1 })
})

test('guard: an error of start is UNUSABLE and contains the package', async () => {
  const exporter = guarded({ start: () => Promise.reject(new Error('no such host')) })
  await assert.rejects(exporter.start(), { code: 'UNUSABLE', message: 'npm:x: cannot start: no such host' })
})

test('guard: a hanging start is given up after 10 s, and opens nothing if it ends later', async () => {
  const clock = new FakeClock()
  const started = Promise.withResolvers<void>()
  const exporter = guarded({ start: () => started.promise }, [], clock)
  const refused = assert.rejects(exporter.start(), {
    code: 'TIMEOUT',
    message: 'npm:x: did not start within 10 s: it must not wait for its sink; report it to the authors of the package',
  })
  await clock.turn(9_999)
  assert.deepEqual(clock.pending, [1])
  await clock.turn(1)
  await refused
  started.resolve()
  await settle()
  assert.equal((await exporter.send(batch(lines(0, 1)), NEVER)).status, 'retryable')
})

test('guard: a start in time leaves no timer', async () => {
  const clock = new FakeClock()
  await guarded({}, [], clock).start()
  assert.deepEqual(clock.pending, [])
})

test('guard: no call reaches a package that is not open', async () => {
  let calls = 0
  const exporter = guarded({ send: () => Promise.reject(new Error(`called ${++calls} times`)) })
  assert.equal((await exporter.send(batch(lines(0, 1)), NEVER)).status, 'retryable')
  await exporter.start()
  await exporter.stop()
  assert.equal((await exporter.send(batch(lines(0, 1)), NEVER)).status, 'retryable')
  assert.equal(calls, 0)
})

test('guard: a package is stopped once, and one that cannot stop does not prevent the end of the agent', async () => {
  const warnings: string[] = []
  let stops = 0
  const exporter = guarded({ stop: () => Promise.reject(new Error(`stuck ${++stops}`)) }, warnings)
  await exporter.start()
  await exporter.stop()
  await exporter[Symbol.asyncDispose]()
  assert.deepEqual(warnings, ['npm:x: cannot stop: stuck 1'])
})

test('guard: reopen exists if the package has it', async () => {
  let reopened = 0
  const exporter = guarded({ reopen: async () => void reopened++ })
  await exporter.reopen?.()
  assert.equal(reopened, 1)
  assert.equal(guarded({}).reopen, undefined)
})

test('guard: counters that are invalid as metrics are left out', () => {
  const counters = {
    requests: 5,
    'Bad Name': 1,
    not_a_number: Number.NaN,
    below: -1,
    endless: Infinity,
    text: 'x' as never,
  }
  assert.deepEqual(guarded({ counters }).counters, { requests: 5 })
  assert.deepEqual(guarded({}).counters, {})
  const throwing: PackageExporter = {
    ...guarded({}),
    start: nothing,
    send: answer(undefined),
    stop: nothing,
    get counters(): never {
      throw new Error('no')
    },
  }
  assert.deepEqual(new GuardedExporter('npm:x', throwing, { warn: () => {} }).counters, {})
})
