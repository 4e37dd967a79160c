import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Batch, Exporter, Outcome } from '../../../../exporters/contract/exporter.ts'
import { ConcurrencyLimit } from '../../../../exporters/sending/concurrency.ts'
import { Sender } from '../../../../exporters/sending/sender.ts'
import { FakeClock, settle } from '../support/fake-clock.ts'
import { idsOf, lines, numbers, retryable } from '../support/lines.ts'
import type { ChainConfig } from '../../../../exporters/sending/config.ts'

/** A sink that answers in `rttMs` up to `capacity` calls at once, and slower in proportion above. */
function drive(limit: ConcurrencyLimit, rounds: number, capacity: number, pushesBack = false): number {
  let nowMs = 0
  for (let i = 0; i < rounds; i++) {
    const calls = limit.limit
    const rttMs = 10 * Math.max(1, calls / capacity)
    for (let call = 0; call < calls; call++) limit.started(call)
    nowMs += rttMs
    for (let call = 0; call < calls; call++) limit.answered(rttMs, pushesBack && calls > capacity, nowMs)
  }
  return limit.limit
}

test('concurrency: begins with one and grows to the maximum while the sink keeps its pace', () => {
  const limit = new ConcurrencyLimit(16)
  assert.equal(limit.limit, 1)
  assert.equal(drive(limit, 100, 1000), 16)
})

test('concurrency: a sink with backpressure keeps it near the capacity of the sink', () => {
  const reached = drive(new ConcurrencyLimit(16), 500, 4, true)
  assert.ok(reached >= 2 && reached <= 5, `${reached}`)
})

test('concurrency: a sink that gets slower keeps it below the maximum', () => {
  const reached = drive(new ConcurrencyLimit(200), 500, 4)
  assert.ok(reached >= 4 && reached <= 40, `${reached}`)
})

test('concurrency: does not grow while it is not used', () => {
  const limit = new ConcurrencyLimit(16)
  drive(limit, 100, 1000)
  const one = new ConcurrencyLimit(16)
  one.started(0)
  one.answered(10, false, 10)
  assert.equal(one.limit, 2)
  for (let i = 2; i < 50; i++) {
    one.started(0)
    one.answered(10, false, i * 20)
  }
  assert.equal(one.limit, 2)
})

for (const max of [1, 0, -3, 0.5]) {
  test(`concurrency: with a maximum of ${max} there is always one call`, () => {
    assert.equal(drive(new ConcurrencyLimit(max), 50, 1000), 1)
  })
}

const OPTIONS: ChainConfig = {
  queue: { max_bytes: 100_000, max_events: 1000, when_full: 'drop_newest' },
  batch: { max_events: 4, max_bytes: 1000, max_wait: 0 },
  retry: { initial: 100, max: 100 },
  timeout: 60_000,
}

class Parallel implements Exporter {
  readonly type = 'parallel'
  readonly encoding = 'json'
  readonly maxConcurrency = 4
  readonly ids: number[] = []
  most = 0
  #now = 0
  readonly #answer: (call: number) => Promise<Outcome>
  #calls = 0

  constructor(answer: (call: number) => Promise<Outcome>) {
    this.#answer = answer
  }

  async send(batch: Batch): Promise<Outcome> {
    this.most = Math.max(this.most, ++this.#now)
    const outcome = await this.#answer(this.#calls++)
    this.#now--
    if (outcome.status === 'delivered') {
      this.ids.push(...batch.parts.flatMap(({ bytes }) => idsOf(Buffer.from(bytes).toString())))
    }
    return outcome
  }

  start(): Promise<void> {
    return Promise.resolve()
  }

  stop(): Promise<void> {
    return Promise.resolve()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve()
  }
}

test('sender: a sink that takes four calls gets up to four, and every event once', async () => {
  const clock = new FakeClock()
  const exporter = new Parallel(async () => {
    await new Promise<void>((resolve) => clock.after(10, resolve))
    return { status: 'delivered' }
  })
  const sender = new Sender('p', exporter, OPTIONS, { clock })
  await sender.start()
  for (let id = 0; id < 400; id += 4) void sender.offer(lines(id, 4))
  for (let i = 0; i < 200 && sender.accounting().heldEvents > 0; i++) {
    await clock.turn(10)
    assert.equal(sender.imbalance(), 0)
  }
  assert.equal(exporter.most, 4)
  assert.deepEqual(
    exporter.ids.toSorted((a, b) => a - b),
    numbers(0, 400),
  )
  await sender.stop(0)
})

test('sender: a partial batch is sent once the sink is idle', async () => {
  const clock = new FakeClock()
  const exporter = new Parallel(async () => {
    await new Promise<void>((resolve) => clock.after(10, resolve))
    return { status: 'delivered' }
  })
  const batch = { max_events: 40, max_bytes: 10_000, max_wait: 1_000_000 }
  const sender = new Sender('p', exporter, { ...OPTIONS, batch }, { clock })
  await sender.start()
  // Several may be in flight from then on.
  for (let id = 0; id < 800; id += 40) void sender.offer(lines(id, 40))
  for (let i = 0; i < 50; i++) await clock.turn(10)
  assert.ok(exporter.most > 1)
  void sender.offer(lines(800, 40))
  await settle()
  void sender.offer(lines(840, 10))
  await clock.turn(9)
  assert.equal(sender.accounting().heldEvents, 50)
  await clock.turn(11)
  assert.equal(sender.accounting().heldEvents, 0)
  await sender.stop(0)
})

test('sender: while one call is retried, no other begins', async () => {
  const clock = new FakeClock()
  let down = false
  const exporter = new Parallel(async () => {
    await settle()
    return down ? retryable() : { status: 'delivered' }
  })
  const sender = new Sender('p', exporter, OPTIONS, { clock, random: () => 1 })
  await sender.start()
  for (let id = 0; id < 80; id += 4) void sender.offer(lines(id, 4))
  for (let i = 0; i < 50; i++) await clock.turn(1)
  assert.equal(sender.accounting().heldEvents, 0)
  down = true
  for (let id = 80; id < 160; id += 4) void sender.offer(lines(id, 4))
  for (let i = 0; i < 20; i++) await clock.turn(1)
  const { retry } = sender.stats().requests
  assert.ok(retry >= 1 && retry <= 4, `${retry} calls`)
  assert.equal(sender.accounting().state, 'retrying')
  down = false
  for (let i = 0; i < 300; i++) await clock.turn(1)
  assert.deepEqual(
    exporter.ids.toSorted((a, b) => a - b),
    numbers(0, 160),
  )
  assert.equal(sender.imbalance(), 0)
})
