import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Outcome } from '../../../../exporters/contract/exporter.ts'
import type { Accounting } from '../../../../exporters/contract/accounting.ts'
import { Sender } from '../../../../exporters/sending/sender.ts'
import { FakeClock, settle } from '../support/fake-clock.ts'
import { FakeExporter, gate, hold, lines, numbers, rejected, retryable } from '../support/lines.ts'
import type { ChainConfig } from '../../../../exporters/sending/config.ts'

const BASE: ChainConfig = {
  queue: { max_bytes: 10_000, max_events: 10, when_full: 'drop_newest' },
  batch: { max_events: 4, max_bytes: 1000, max_wait: 200 },
  retry: { initial: 100, max: 1000 },
  timeout: 60_000,
}
const whenFull = (how: ChainConfig['queue']['when_full']): ChainConfig => ({
  ...BASE,
  queue: { ...BASE.queue, when_full: how },
})

interface Rig {
  readonly sender: Sender
  readonly exporter: FakeExporter
  readonly clock: FakeClock
}

async function rig(answer?: FakeExporter['answer'], options = BASE): Promise<Rig> {
  const clock = new FakeClock()
  const exporter = new FakeExporter(answer)
  const sender = new Sender('test', exporter, options, { clock, random: () => 0.5 })
  await sender.start()
  return { sender, exporter, clock }
}

/** The counters that show where the events went. */
function sums(accounting: Accounting): Record<string, number> {
  const { queue_full, expired, shutdown } = accounting.dropped
  const rejects = Object.values(accounting.rejected).reduce((sum, n) => sum + n, 0)
  const { accepted, delivered, heldEvents } = accounting
  const all = { accepted, delivered, rejected: rejects, queue_full, expired, shutdown, held: heldEvents }
  return Object.fromEntries(Object.entries(all).filter(([, n]) => n !== 0))
}

function balanced(sender: Sender): void {
  assert.equal(sender.imbalance(), 0)
  const { accepted = 0, ...rest } = sums(sender.accounting())
  assert.equal(
    accepted,
    Object.values(rest).reduce((sum, n) => sum + n, 0),
  )
}

test('sender: delivered events are counted, in events and bytes', async () => {
  const { sender, exporter } = await rig()
  assert.equal(sender.offer(lines(0, 4, 10)), undefined)
  assert.deepEqual(sums(sender.accounting()), { accepted: 4, held: 4 })
  assert.equal(sender.accounting().queueBytes, 40)
  await settle()
  assert.deepEqual(exporter.ids, numbers(0, 4))
  assert.deepEqual(sums(sender.accounting()), { accepted: 4, delivered: 4 })
  assert.equal(sender.accounting().deliveredBytes, 40)
  assert.equal(sender.accounting().queueBytes, 0)
  assert.equal(sender.accounting().state, 'healthy')
})

test('sender: accepts events before the start and sends them after it', async () => {
  const exporter = new FakeExporter()
  const sender = new Sender('test', exporter, BASE, { clock: new FakeClock() })
  sender.offer(lines(0, 4))
  assert.equal(sender.accounting().state, 'starting')
  await sender.start()
  await settle()
  assert.deepEqual(exporter.ids, numbers(0, 4))
})

test('sender: a large Encoded is cut so that no batch passes its limits', async () => {
  const sizes: number[] = []
  const { sender, exporter } = await rig((sent) => {
    sizes.push(sent.count)
    return { status: 'delivered' }
  })
  sender.offer(lines(0, 10))
  await settle()
  assert.deepEqual(sizes, [4, 4, 2])
  assert.deepEqual(exporter.ids, numbers(0, 10))
})

test('sender: a full queue drops the newest and counts them', async () => {
  const { sender } = await rig(gate().answer)
  for (let i = 0; i < 5; i++) sender.offer(lines(i * 4, 4))
  assert.deepEqual(sums(sender.accounting()), { accepted: 20, queue_full: 12, held: 8 })
})

test('sender: drop_oldest drops waiting events and never in-flight ones', async () => {
  const { answer, open } = gate()
  const { sender, exporter } = await rig(answer, whenFull('drop_oldest'))
  sender.offer(lines(0, 4))
  await settle()
  sender.offer(lines(4, 4))
  sender.offer(lines(8, 4))
  assert.deepEqual(sums(sender.accounting()), { accepted: 12, queue_full: 4, held: 8 })
  open({ status: 'delivered' })
  await settle()
  open({ status: 'delivered' })
  await settle()
  assert.deepEqual(exporter.ids, [...numbers(0, 4), ...numbers(8, 12)])
  balanced(sender)
})

test('sender: drop_oldest drops the newest if the whole queue is in flight', async () => {
  const options = whenFull('drop_oldest')
  const { sender } = await rig(gate().answer, { ...options, queue: { ...options.queue, max_events: 4 } })
  sender.offer(lines(0, 4))
  await settle()
  sender.offer(lines(4, 4))
  assert.deepEqual(sums(sender.accounting()), { accepted: 8, queue_full: 4, held: 4 })
})

test('sender: block makes the caller wait, loses nothing, and ends the wait once there is space', async () => {
  const { answer, open } = gate()
  const { sender, exporter } = await rig(answer, whenFull('block'))
  assert.equal(sender.offer(lines(0, 8)), undefined)
  const wait = sender.offer(lines(8, 8))
  assert.ok(wait instanceof Promise)
  let released = false
  void wait.then(() => (released = true))
  await settle()
  assert.equal(released, false)
  assert.deepEqual(sums(sender.accounting()), { accepted: 16, held: 16 })
  for (let i = 0; i < 4; i++) {
    open({ status: 'delivered' })
    await settle()
    balanced(sender)
  }
  assert.equal(released, true)
  assert.deepEqual(exporter.ids, numbers(0, 16))
})

test('sender: block does not wait for a full batch while a caller waits for space', async () => {
  const options = whenFull('block')
  const small = { ...options, queue: { ...options.queue, max_events: 3 } }
  const { sender, exporter, clock } = await rig(undefined, small)
  const wait = sender.offer(lines(0, 7))
  await wait
  assert.deepEqual(exporter.ids, numbers(0, 6))
  await clock.turn(200)
  assert.deepEqual(exporter.ids, numbers(0, 7))
})

test('sender: block does not block while the sink needs manual action; the loss is counted', async () => {
  const { sender, clock, exporter } = await rig(
    (_batch, call) => (call === 0 ? hold() : { status: 'delivered' }),
    whenFull('block'),
  )
  sender.offer(lines(0, 8))
  const wait = sender.offer(lines(8, 8))
  assert.ok(wait)
  await wait
  assert.equal(sender.accounting().state, 'hold')
  assert.equal(sender.accounting().lastError, 'needs manual action')
  assert.equal(sender.offer(lines(16, 4)), undefined)
  assert.deepEqual(sums(sender.accounting()), { accepted: 20, queue_full: 12, held: 8 })
  await clock.turn(1000)
  assert.deepEqual(exporter.ids, numbers(0, 8))
  assert.equal(sender.accounting().state, 'healthy')
})

test('sender: a permanently failed sink does not block either, keeps its events, and a stop does not wait for it', async () => {
  const { sender, clock } = await rig(() => ({ ...hold(), forGood: true }), whenFull('block'))
  await sender.offer(lines(0, 12))
  assert.equal(sender.accounting().state, 'failed')
  assert.deepEqual(sums(sender.accounting()), { accepted: 12, queue_full: 4, held: 8 })
  const stopped = sender.stop(60_000)
  await settle()
  await stopped
  assert.deepEqual(sums(sender.accounting()), { accepted: 12, queue_full: 4, shutdown: 8 })
  assert.deepEqual(clock.pending, [])
})

test('sender: a line that can never fit is dropped even with block, which would wait forever', async () => {
  const { sender } = await rig(undefined, whenFull('block'))
  assert.equal(sender.offer(lines(0, 1, 10_001)), undefined)
  assert.deepEqual(sums(sender.accounting()), { accepted: 1, queue_full: 1 })
})

test('sender: retries without limit, with doubling waits, and reports state and error meanwhile', async () => {
  const { sender, exporter, clock } = await rig((_batch, call) => (call < 6 ? retryable() : { status: 'delivered' }))
  sender.offer(lines(0, 4))
  await settle()
  assert.equal(sender.accounting().state, 'retrying')
  assert.equal(sender.accounting().lastError, 'try again')
  const waits: number[] = []
  while (exporter.ids.length === 0) {
    const [next] = clock.pending
    assert.ok(next !== undefined)
    waits.push(next)
    await clock.turn(next)
  }
  assert.deepEqual(waits, [50, 100, 200, 400, 500, 500])
  assert.equal(sender.accounting().retries, 6)
  assert.equal(sender.accounting().lastError, '')
  assert.equal(sender.accounting().state, 'healthy')
})

test('sender: waits for the time that the sink requests', async () => {
  const { sender, clock } = await rig(() => retryable({ afterMs: 12_345 }))
  sender.offer(lines(0, 4))
  await settle()
  assert.deepEqual(clock.pending, [12_345])
})

test('sender: a sink that requests no wait and accepts nothing is retried after the usual pause', async () => {
  const { sender, exporter, clock } = await rig(() => retryable({ afterMs: 0 }))
  sender.offer(lines(0, 4))
  await settle()
  assert.equal(exporter.calls, 1)
  assert.deepEqual(clock.pending, [50])
  await sender.stop(0)
})

test('sender: events that the sink took are not sent again', async () => {
  const { sender, exporter, clock } = await rig((_batch, call) =>
    call === 0 ? retryable({ taken: 3 }) : { status: 'delivered' },
  )
  sender.offer(lines(0, 2))
  sender.offer(lines(2, 2))
  await settle()
  assert.deepEqual(sums(sender.accounting()), { accepted: 4, delivered: 3, held: 1 })
  balanced(sender)
  await clock.turn(50)
  assert.deepEqual(exporter.ids, numbers(0, 4))
})

for (const claimed of [-1, 5, 1_000_000]) {
  test(`sender: an exporter that claims ${claimed} of 4 events does not unbalance the accounting`, async () => {
    const { sender } = await rig((_batch, call) =>
      call === 0 ? retryable({ taken: claimed }) : { status: 'delivered' },
    )
    sender.offer(lines(0, 4))
    await settle()
    balanced(sender)
    await sender.stop(0)
    balanced(sender)
  })
  test(`sender: an exporter that rejects ${claimed} of 4 events does not unbalance the accounting`, async () => {
    const { sender } = await rig(() => ({
      status: 'partial',
      refusals: [{ reason: 'odd', events: claimed, message: '' }],
    }))
    sender.offer(lines(0, 4))
    await settle()
    balanced(sender)
  })
}

for (const [name, answers, want] of [
  ['without that number: all that are sent again', [retryable()], 4],
  ['each time anew', [retryable(), retryable()], 8],
  ['not those that it took', [retryable({ taken: 1 })], 3],
  ['with a number: that many', [retryable({ taken: 1, unacknowledged: 2 })], 2],
  ['without possible duplicates: none', [retryable({ unacknowledged: 0 }), hold()], 0],
] as const) {
  test(`sender: possible duplicates are counted after a failure ${name}`, async () => {
    const { sender, exporter, clock } = await rig((_, call) => answers[call] ?? { status: 'delivered' })
    sender.offer(lines(0, 4))
    await settle()
    assert.equal(sender.stats().duplicatesPossible, 0, 'nothing is sent again yet')
    await clock.turn(10_000)
    assert.equal(exporter.calls, answers.length + 1)
    assert.equal(sender.stats().duplicatesPossible, want)
  })
}

test('sender: rejected events are counted by reason', async () => {
  const answers: Outcome[] = [
    { status: 'partial', refusals: [{ reason: 'too_large', events: 1, message: '' }] },
    rejected('http_400'),
    rejected('http_400'),
  ]
  const { sender } = await rig((_batch, call) => answers[call] ?? { status: 'delivered' })
  for (let i = 0; i < 3; i++) {
    sender.offer(lines(i * 4, 4))
    await settle()
  }
  assert.deepEqual(sender.accounting().rejected, { too_large: 1, http_400: 8 })
  assert.deepEqual(sums(sender.accounting()), { accepted: 12, delivered: 3, rejected: 9 })
})

test('sender: after a part of a batch was taken, the waits begin at the initial one again', async () => {
  const { sender, clock } = await rig((_batch, call) => retryable(call === 3 ? { taken: 1 } : {}))
  sender.offer(lines(0, 4))
  await settle()
  const waits: number[] = []
  for (let i = 0; i < 6; i++) {
    waits.push(sender.stats().retryWaitMs)
    await clock.turn(waits.at(-1) ?? 0)
  }
  assert.deepEqual(waits, [50, 100, 200, 50, 100, 200])
  await Promise.all([sender.stop(0), clock.turn(2000)])
})

test('sender: acknowledged events of a batch that expires or is stopped are delivered, for any events', async () => {
  const some = fc.uniqueArray(fc.nat(9), { maxLength: 10 })
  await fc.assert(
    fc.asyncProperty(
      some,
      fc.nat(10),
      fc.boolean(),
      fc.integer({ min: 1, max: 5 }),
      async (which, taken, expire, size) => {
        const acknowledged = which.toSorted((a, b) => a - b).filter((index) => index >= taken)
        const batch = { ...BASE.batch, max_events: 10, max_wait: 0 }
        const options = { ...BASE, batch, retry: { initial: 100, max: 100, ...(expire && { max_age: 250 }) } }
        let calls = 0
        const { sender, clock } = await rig(
          ({ count }) =>
            calls++ === 0
              ? retryable({ taken, acknowledged, unacknowledged: 0 })
              : retryable({
                  acknowledged: acknowledged.map((index) => index - taken).filter((index) => index < count),
                }),
          options,
        )
        for (let seq = 0; seq < 10; seq += size) sender.offer(lines(seq, Math.min(size, 10 - seq)))
        await settle()
        await clock.turn(300)
        const stopped = sender.stop(0)
        await clock.turn(2000)
        await stopped
        balanced(sender)
        const { delivered, dropped } = sender.accounting()
        assert.equal(delivered, taken + acknowledged.length)
        assert.equal(dropped.expired + dropped.shutdown, 10 - delivered)
      },
    ),
    { numRuns: 60 },
  )
})

test('sender: events older than the limit are dropped as expired, newer ones of the same batch are kept', async () => {
  // Two events are too few to be sent early.
  const batch = { ...BASE.batch, max_events: 40 }
  const options = { ...BASE, batch, retry: { initial: 100, max: 100, max_age: 250 } }
  const { sender, clock, exporter } = await rig(
    (_batch, call) => (call < 3 ? retryable() : { status: 'delivered' }),
    options,
  )
  sender.offer(lines(0, 1))
  await clock.turn(100)
  sender.offer(lines(1, 1))
  await clock.turn(100)
  assert.deepEqual(sums(sender.accounting()), { accepted: 2, held: 2 })
  await clock.turn(100)
  assert.deepEqual(sums(sender.accounting()), { accepted: 2, expired: 1, held: 1 })
  await clock.turn(50)
  assert.deepEqual(exporter.ids, [1])
  balanced(sender)
})

test('sender: an exporter that throws is retried', async () => {
  const { sender, exporter, clock } = await rig((_batch, call) => {
    if (call === 0) throw new Error('oops')
    return { status: 'delivered' }
  })
  sender.offer(lines(0, 4))
  await settle()
  assert.match(sender.accounting().lastError, /threw instead of returning an outcome: oops/)
  await clock.turn(50)
  assert.deepEqual(exporter.ids, numbers(0, 4))
})

test('sender: stop sends waiting events at once, closes the exporter once and stays stopped', async () => {
  const { sender, exporter } = await rig()
  sender.offer(lines(0, 3))
  const first = sender.stop(1000)
  assert.equal(sender.accounting().state, 'draining')
  assert.equal(sender.stop(1000), first)
  await first
  assert.deepEqual(exporter.ids, numbers(0, 3))
  assert.equal(exporter.stops, 1)
  assert.equal(sender.accounting().state, 'stopped')
  sender.offer(lines(3, 2))
  assert.deepEqual(sums(sender.accounting()), { accepted: 5, delivered: 3, shutdown: 2 })
})

test('sender: at the deadline of a stop the rest is dropped as shutdown and the accounting balances', async () => {
  const { sender, clock } = await rig(gate().answer, whenFull('block'))
  sender.offer(lines(0, 10))
  const wait = sender.offer(lines(10, 10))
  await settle()
  const stopped = sender.stop(5000)
  await clock.turn(4999)
  assert.deepEqual(sums(sender.accounting()), { accepted: 20, held: 20 })
  await clock.turn(1)
  await Promise.all([stopped, wait])
  assert.deepEqual(sums(sender.accounting()), { accepted: 20, shutdown: 20 })
  assert.equal(sender.accounting().queueBytes, 0)
  assert.deepEqual(clock.pending, [])
  balanced(sender)
})

test('sender: a hanging exporter does not prevent the end of a stop', async () => {
  const { sender, clock } = await rig(() => new Promise(() => undefined))
  sender.offer(lines(0, 4))
  await settle()
  const stopped = sender.stop(100)
  await clock.turn(1100)
  await stopped
  assert.deepEqual(sums(sender.accounting()), { accepted: 4, shutdown: 4 })
})

for (const maxConcurrency of [1, 3]) {
  test(`sender: an exporter of ${maxConcurrency} at once that ignores its time-out is reported, and gets no other batch until it settles`, async () => {
    const clock = new FakeClock()
    const calls: Array<(outcome: Outcome) => void> = []
    const exporter = new FakeExporter()
    const deaf = Object.assign(Object.create(exporter), {
      maxConcurrency,
      send: () => new Promise<Outcome>((answer) => calls.push(answer)),
    })
    const reported: string[] = []
    const onFailure = (failure: string, error: string): void => void reported.push(`${failure}: ${error}`)
    const sender = new Sender('test', deaf, { ...BASE, timeout: 500 }, { clock, random: () => 0.5, onFailure })
    await sender.start()
    sender.offer(lines(0, 8))
    await settle()
    await clock.turn(1499)
    assert.deepEqual([sender.accounting().state, reported], ['healthy', []])
    await clock.turn(1)
    const sentence = /^exporter "fake" has not ended a send 1000 ms after its timeout of 500 ms: it gets no more events/
    assert.equal(sender.accounting().state, 'retrying')
    assert.match(sender.accounting().lastError, sentence)
    assert.equal(reported.length, 1)
    assert.match(reported[0] ?? '', /^retrying: exporter "fake" has not ended/)
    const counted = sender.stats()
    assert.deepEqual([counted.requests.timeout, counted.inFlight, counted.lastSuccessMs], [1, 1, 0])
    await clock.turn(1_000_000)
    await sender.reopen()
    assert.equal(calls.length, 1)
    balanced(sender)
    // Its final answer decides about the batch; the call is counted already.
    calls[0]?.({ status: 'delivered' })
    await settle()
    assert.deepEqual([sender.accounting().state, sender.accounting().delivered, reported[1]], ['healthy', 4, 'none: '])
    assert.equal(calls.length, 2)
    const { requests, requestSeconds, lastSuccessMs } = sender.stats()
    assert.deepEqual([requests.timeout, requests.ok, lastSuccessMs], [1, 0, clock.wallMs()])
    assert.equal(requestSeconds.sum, 1.5)
    const stopped = sender.stop(100)
    await clock.turn(5000)
    await stopped
    balanced(sender)
  })
}

test('sender: stopping retries soon even during a long wait', async () => {
  const { sender, clock, exporter } = await rig((_batch, call) =>
    call === 0 ? retryable({ afterMs: 60_000 }) : { status: 'delivered' },
  )
  sender.offer(lines(0, 4))
  await settle()
  const stopped = sender.stop(5000)
  await clock.turn(0)
  await stopped
  assert.deepEqual(exporter.ids, numbers(0, 4))
})

test('sender: stopping does not wait for a sink that needs manual action', async () => {
  const { sender, clock } = await rig(hold)
  sender.offer(lines(0, 8))
  await settle()
  const stopped = sender.stop(60_000)
  await clock.turn(0)
  await stopped
  assert.deepEqual(sums(sender.accounting()), { accepted: 8, shutdown: 8 })
})

test('sender: a second stop without grace ends the first at once', async () => {
  const { sender, clock } = await rig(() => retryable())
  sender.offer(lines(0, 4))
  await settle()
  const stopped = sender.stop(600_000)
  await clock.turn(1000)
  void sender.stop(0)
  await clock.turn(1000)
  await stopped
  assert.deepEqual(sums(sender.accounting()), { accepted: 4, shutdown: 4 })
})

test('sender: a sender that never started drops its events', async () => {
  const sender = new Sender('test', new FakeExporter(), BASE, { clock: new FakeClock() })
  sender.offer(lines(0, 4))
  await sender.stop(1000)
  assert.deepEqual(sums(sender.accounting()), { accepted: 4, shutdown: 4 })
})

test('sender: reopening ends the wait for manual action', async () => {
  const { sender, exporter } = await rig((_batch, call) => (call === 0 ? hold() : { status: 'delivered' }))
  sender.offer(lines(0, 4))
  await settle()
  await sender.reopen()
  await settle()
  assert.deepEqual(exporter.ids, numbers(0, 4))
})

test('sender: a failed reopen is reported and counted; waiting events are still retried', async () => {
  const { sender, exporter, clock } = await rig((_batch, call) => (call === 0 ? hold() : { status: 'delivered' }))
  const reopen = (): Promise<void> => Promise.reject(new Error('cannot reopen "x": it is a link'))
  Object.assign(exporter, { reopen })
  await assert.rejects(sender.reopen(), /cannot reopen "x"/)
  assert.equal(sender.accounting().lastError, 'cannot reopen "x": it is a link')
  sender.offer(lines(0, 4))
  await settle()
  assert.equal(sender.accounting().state, 'hold')
  await assert.rejects(sender.reopen(), /cannot reopen "x"/)
  await settle()
  assert.deepEqual(exporter.ids, numbers(0, 4))
  assert.deepEqual([sender.accounting().lastError, clock.pending], ['', []])
})

test('sender: a reopen that never ends is reported, and does not prevent retries of waiting events', async () => {
  const { sender, exporter, clock } = await rig((_batch, call) => (call === 0 ? hold() : { status: 'delivered' }), {
    ...BASE,
    retry: { initial: 60_000, max: 60_000 },
  })
  Object.assign(exporter, { reopen: () => new Promise(() => {}) })
  sender.offer(lines(0, 4))
  await settle()
  const reopening = assert.rejects(sender.reopen(), /^ExportError: exporter "fake" did not reopen within 5000 ms/)
  await clock.turn(5000)
  await reopening
  assert.deepEqual(exporter.ids, numbers(0, 4))
})

test('sender: an imbalance is detected', async () => {
  const { Counters } = await import('../../../../exporters/buffer/counters.ts')
  const accounting = new Counters()
  accounting.accept(3)
  accounting.deliver(1, 10)
  assert.equal(accounting.imbalance(2), 0)
  assert.equal(accounting.imbalance(1), 1)
})

type Step = readonly ['offer' | 'turn' | 'answer', number]

test('sender: for any answers at any time, every event is delivered once or is in a counter', async () => {
  const step: fc.Arbitrary<Step> = fc.tuple(fc.constantFrom('offer', 'turn', 'answer'), fc.nat(12))
  const scenario = fc.record({
    how: fc.constantFrom<ChainConfig['queue']['when_full']>('block', 'drop_newest', 'drop_oldest'),
    steps: fc.array(step, { maxLength: 40 }),
    answers: fc.infiniteStream(fc.nat(9)),
    maxAgeMs: fc.constantFrom(undefined, 300),
    grace: fc.constantFrom(0, 100, 5000),
  })
  await fc.assert(
    fc.asyncProperty(scenario, async ({ how, steps, answers, maxAgeMs, grace }) => {
      let refused = 0
      const answer = (sent: { count: number }): Outcome => {
        const kind = answers.next().value ?? 0
        if (kind === 0) return hold()
        if (kind <= 2) return retryable()
        if (kind === 3) return retryable({ taken: Math.floor(sent.count / 2) })
        if (kind === 4) {
          refused += sent.count
          return rejected('no')
        }
        return { status: 'delivered' }
      }
      const retry = maxAgeMs === undefined ? BASE.retry : { ...BASE.retry, maxAgeMs }
      const { sender, exporter, clock } = await rig(answer, { ...whenFull(how), retry })
      let seq = 0
      let wait: Promise<void> | undefined
      for (const [what, n] of steps) {
        if (what === 'offer') {
          wait = sender.offer(lines(seq, n, 12))
          seq += n
        } else await clock.turn(what === 'turn' ? n * 50 : 0)
        balanced(sender)
        const { heldEvents } = sender.accounting()
        assert.ok(how === 'block' || heldEvents <= 10)
      }
      const stopped = sender.stop(grace)
      await clock.turn(grace + 2000)
      await Promise.all([stopped, wait])
      balanced(sender)
      const { accepted = 0, delivered = 0, rejected: no = 0, held = 0 } = sums(sender.accounting())
      assert.deepEqual([accepted, delivered, no, held], [seq, exporter.ids.length, refused, 0])
      assert.deepEqual(
        exporter.ids,
        exporter.ids.toSorted((a, b) => a - b),
        'in order',
      )
      assert.equal(new Set(exporter.ids).size, exporter.ids.length, 'none twice')
      assert.equal(exporter.stops, 1)
    }),
    { numRuns: 150 },
  )
})
