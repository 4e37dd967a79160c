/** Live readers: the events and losses of each, without a wait for slow ones. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Delivery } from '../../../../collector/delivery/delivery.ts'
import { EventSizes } from '../../../../exporters/contract/event-size.ts'
import { LostRanges } from '../../../../collector/delivery/lost-ranges.ts'
import { Subscription } from '../../../../collector/delivery/subscription.ts'
import type { SubscriptionBound, Taken } from '../../../../collector/delivery/subscription.ts'
import { EncoderPool, FanOut } from '../../../../exporters/index.ts'
import type { Event } from '../../../../exporters/contract/event.ts'
import { file, makeExec, makeHook, makeKprobe, makeLoss, makeProcess } from '../../exporters/support/events.ts'
import { settle } from '../../exporters/support/fake-clock.ts'

const WIDE: SubscriptionBound = { bytes: 1 << 20, events: 1000 }

/** `from`: their first number, which `publish` replaces. */
const execs = (count: number, from = 0): Event[] => Array.from({ length: count }, (_, i) => makeExec({ seq: from + i }))

const seqs = ({ events }: Taken): number[] => events.map(({ seq }) => seq)

/** The taken events as text: `1,2 -3` for events 1 and 2 and then three lost ones. */
const shown = (taken: Taken): string => `${seqs(taken).join()}${taken.lost > 0 ? ` -${taken.lost}` : ''}`

const quiet = (): void => {}
const log = { info: quiet, warn: quiet, error: quiet }
const CONTEXT = { nodeName: 'n', epoch: 'e', encoders: new EncoderPool('n'), env: {}, log }
const delivery = (): Delivery => new Delivery(new FanOut([]), new LostRanges('e'), CONTEXT)

/** Everything until the end. */
async function readAll(subscription: Subscription): Promise<string[]> {
  const all: string[] = []
  for await (const taken of subscription) all.push(shown(taken))
  return all
}

test('subscription: a reader gets events in order, as they come, numbered without gaps', async () => {
  const agent = delivery()
  await using subscription = agent.subscribe(undefined, WIDE)
  const reader = subscription[Symbol.asyncIterator]()
  const first = reader.next()
  await settle()
  agent.publish(execs(2))
  assert.deepEqual(shown((await first).value), '0,1')
  agent.publish(execs(2))
  agent.publish([makeLoss({ seq: 0 })])
  assert.deepEqual(shown((await reader.next()).value), '2,3,4')
  assert.deepEqual(subscription.waiting, { bytes: 0, events: 0 })
})

test('subscription: a slow reader delays nothing, and gets the number and the position of lost events', async () => {
  const agent = delivery()
  await using subscription = agent.subscribe(undefined, { ...WIDE, events: 3 })
  const reader = subscription[Symbol.asyncIterator]()
  assert.equal(agent.publish(execs(5)), undefined)
  assert.equal(agent.publish(execs(2)), undefined)
  assert.deepEqual([subscription.waiting.events, subscription.lost], [3, 4])
  assert.equal(shown((await reader.next()).value), '0,1,2 -4')
  agent.publish(execs(4))
  assert.equal(shown((await reader.next()).value), '7,8,9 -1')
  assert.equal(subscription.lost, 5)
})

test('subscription: a loss between events is reported between them', async () => {
  const agent = delivery()
  const small = makeProcess({ arguments: '' })
  const huge = makeProcess({ arguments: 'x'.repeat(4000) })
  await using subscription = agent.subscribe(undefined, { bytes: 6000, events: 1000 })
  const [a, b, c, d] = [small, huge, huge, small].map((process, seq) => makeExec({ seq, process }))
  assert.ok(a !== undefined && b !== undefined && c !== undefined && d !== undefined)
  agent.publish([a, b, c, d])
  agent.publish([])
  subscription.end()
  assert.deepEqual(await readAll(subscription), ['0 -2', '3'])
})

test('subscription: the arguments of an event are not read while the queue is full', async () => {
  let read = 0
  const calls = (count: number): Event[] =>
    Array.from({ length: count }, (_, seq) =>
      Object.defineProperty(makeKprobe({ seq }), 'args', { get: () => (read++, []) }),
    )
  for (const bound of [
    { ...WIDE, events: 3 },
    { ...WIDE, bytes: 3000 },
  ]) {
    const subscription = new Subscription(bound, undefined)
    const reader = subscription[Symbol.asyncIterator]()
    for (const _ of [1, 2]) {
      read = 0
      subscription.put(calls(100))
      subscription.put(calls(100))
      const { events } = subscription.waiting
      // One that does not fit.
      assert.equal(read, events + 1)
      const { value } = await reader.next()
      assert.deepEqual([value?.events.length, value?.lost], [events, 200 - events])
    }
  }
})

test('subscription: the bound in bytes holds with huge events', () => {
  const hook = makeHook()
  const bound = { bytes: 100_000, events: 1_000_000 }
  const subscription = new Subscription(bound, undefined)
  for (let seq = 0; seq < 2000; seq++) {
    const args = [file('/x'.repeat(seq % 4000), { raw: Buffer.alloc(seq) })]
    subscription.put([makeKprobe({ seq, hook, args, process: makeProcess({ arguments: 'y'.repeat(seq * 3) }) })])
    assert.ok(subscription.waiting.bytes <= bound.bytes)
  }
  assert.ok(subscription.waiting.events > 10)
  assert.equal(subscription.waiting.events + subscription.lost, 2000)
})

test('subscription: the counted size is at least that of the referenced texts', () => {
  const text = 'z'.repeat(1000)
  const process = makeProcess({ arguments: text, binary: text, cwd: text })
  const event = makeKprobe({ process, args: [file(text, { raw: Buffer.alloc(500) })], returned: undefined })
  const sizes = new EventSizes()
  const [first, second] = [sizes.of(event), sizes.of(event)]
  assert.ok(first >= 4 * 1000 + 500 && second >= 1500 && second < first)
  sizes.forget()
  assert.equal(sizes.of(event), first)
})

test('subscription: each reader has its own filter', async () => {
  const agent = delivery()
  await using files = agent.subscribe({ policies: ['files'] }, WIDE)
  await using starts = agent.subscribe({ event_types: ['process_exec'] }, WIDE)
  await using all = agent.subscribe(undefined, WIDE)
  agent.publish([
    makeExec({ seq: 0 }),
    makeKprobe({ seq: 1, hook: makeHook({ policy: 'files' }) }),
    makeKprobe({ seq: 2, hook: makeHook({ policy: 'other' }) }),
    makeLoss({ seq: 3 }),
    makeExec({ seq: 4 }),
  ])
  await agent.stop(0)
  assert.deepEqual(await readAll(starts), ['0,3,4'])
  assert.deepEqual(await readAll(all), ['0,1,2,3,4'])
  // Records of losses pass every filter.
  assert.deepEqual(await readAll(files), ['1,3'])
  assert.equal(files.lost + starts.lost, 0)
})

test('subscription: a reader that leaves its loop gets no more events, and others get all', async () => {
  const agent = delivery()
  const leaving = agent.subscribe(undefined, WIDE)
  const staying = agent.subscribe(undefined, WIDE)
  agent.publish(execs(3))
  for await (const taken of leaving) {
    assert.equal(shown(taken), '0,1,2')
    agent.publish(execs(3))
    break
  }
  assert.deepEqual(leaving.waiting, { bytes: 0, events: 0 })
  agent.publish(execs(1))
  assert.deepEqual(leaving.waiting, { bytes: 0, events: 0 })
  await agent.stop(0)
  assert.deepEqual(await readAll(staying), ['0,1,2,3,4,5,6'])
})

test('subscription: dispose ends a waiting reader', async () => {
  const subscription = delivery().subscribe(undefined, WIDE)
  const reading = readAll(subscription)
  await settle()
  await subscription[Symbol.asyncDispose]()
  assert.deepEqual(await reading, [])
})

test('subscription: a subscription that ends within a batch gets none of it, and the others get all', async () => {
  const agent = delivery()
  const [first, second, third] = [1, 2, 3].map(() => agent.subscribe(undefined, WIDE))
  assert.ok(first !== undefined && second !== undefined && third !== undefined)
  const events = execs(2)
  // Evaluated while the first reader gets the batch.
  Object.defineProperty(events[1], 'type', {
    get: () => {
      void second[Symbol.asyncDispose]()
      return 'process_exec'
    },
  })
  agent.publish(events)
  await agent.stop(0)
  assert.deepEqual([await readAll(first), await readAll(second), await readAll(third)], [['0,1'], [], ['0,1']])
})

test('subscription: events + losses are exactly what was offered, in order, within its bounds', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(fc.integer({ min: 1, max: 9 }), fc.constant('read' as const)), { maxLength: 60, size: 'max' }),
      fc.integer({ min: 1, max: 12 }),
      async (steps, events) => {
        const subscription = new Subscription({ ...WIDE, events }, undefined)
        const reader = subscription[Symbol.asyncIterator]()
        let offered = 0
        let reported = 0
        const take = (taken: Taken): void => {
          for (const seq of seqs(taken)) assert.equal(seq, reported++)
          reported += taken.lost
        }
        for (const step of steps) {
          if (step !== 'read') {
            subscription.put(execs(step, offered))
            offered += step
          } else if (subscription.waiting.events > 0) take((await reader.next()).value)
          assert.ok(subscription.waiting.events <= events)
        }
        subscription.end()
        for (let next = await reader.next(); next.done !== true; next = await reader.next()) take(next.value)
        assert.equal(reported, offered)
      },
    ),
  )
})
