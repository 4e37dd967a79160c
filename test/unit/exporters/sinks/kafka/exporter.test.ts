import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { About, Described } from '../../../../../exporters/contract/described.ts'
import type { Outcome } from '../../../../../exporters/contract/exporter.ts'
import { ExportError } from '../../../../../exporters/contract/errors.ts'
import type { KafkaConfig } from '../../../../../exporters/sinks/kafka/client/connection.ts'
import type { KafkaExporter } from '../../../../../exporters/sinks/kafka/exporter.ts'
import { slice } from '../../../../../exporters/contract/encoded.ts'
import { describe } from '../../../../../exporters/contract/described.ts'
import type { Event } from '../../../../../exporters/contract/event.ts'
import { createJsonEncoder } from '../../../../../exporters/encoding/json-line.ts'
import { makeExec, makeLoss, makeParent, makePod, makeProcess } from '../../support/events.ts'
import { settle } from '../../support/fake-clock.ts'
import { batch, idsOf, lines, numbers } from '../../support/lines.ts'
import { kafkaExporter } from './support/config.ts'
import { fault, FakeClient } from './support/fake-client.ts'

const NEVER = new AbortController().signal
const KPROBE: About = { type: 'process_kprobe', policy: 'a' }

async function start(
  client: FakeClient,
  change: Partial<KafkaConfig> = {},
  nowMs: () => number = Date.now,
): Promise<KafkaExporter> {
  const exporter = kafkaExporter(change, { makeClient: () => client, nowMs })
  await exporter.start()
  return exporter
}

function described(firstSeq: number, abouts: readonly About[]): Described {
  const times = Float64Array.from(abouts, (_, i) => 1_790_000_000_000 + i + 0.75)
  return { ...lines(firstSeq, abouts.length), abouts, times, seqs: Float64Array.from(abouts, (_, i) => firstSeq + i) }
}

const stored = (client: FakeClient, topic?: string, partition?: number): number[] =>
  idsOf(
    client
      .lines(topic, partition)
      .map((line) => `${line}\n`)
      .join(''),
  )

test('kafka: a record is the line without its end, with event time, key and headers', async () => {
  const client = new FakeClient()
  const exporter = await start(client)
  await exporter.send(batch(described(7, [KPROBE])), NEVER)
  const record = client.topics.get('events')?.[0]?.[0]
  assert.equal(record?.value.toString(), '{"id":7}')
  assert.equal(record?.key?.toString(), 'n')
  assert.equal(record?.timestampMs, 1_790_000_000_000)
  assert.deepEqual(
    { ...record?.common, ...record?.own },
    { 'content-type': 'application/json', 'event-type': 'process_kprobe', node: 'n', schema: '1', seq: 'e1-7' },
  )
})

test('kafka: events that a spool kept over a restart have the number of the run that created them', async () => {
  const client = new FakeClient()
  const exporter = await start(client)
  const old = { ...described(7, [KPROBE, KPROBE, KPROBE]), epoch: 'e0' }
  await exporter.send(batch(slice(old, 1, 3), described(7, [KPROBE])), NEVER)
  const records = client.topics.get('events')?.[0] ?? []
  assert.deepEqual(
    records.map(({ own }) => own['seq']),
    ['e0-8', 'e0-9', 'e1-7'],
  )
})

test('kafka: a template sends each event to its topic, in order within it', async () => {
  const client = new FakeClient({ 'k.a': 1, 'k.b_c': 1, 'k.none': 1 })
  const exporter = await start(client, { topic: 'k.{policy}' })
  const policies = ['a', 'b c', 'a', '', 'b c']
  const part = described(
    0,
    policies.map((policy) => ({ type: 'process_kprobe', policy })),
  )
  assert.deepEqual(await exporter.send(batch(part), NEVER), { status: 'delivered' })
  assert.deepEqual(stored(client, 'k.a'), [0, 2])
  assert.deepEqual(stored(client, 'k.b_c'), [1, 4])
  assert.deepEqual(stored(client, 'k.none'), [3])
})

test('kafka: a template by namespace sends the events of each to its topic, those of the host to another, by its JSON line', async () => {
  const client = new FakeClient({ 'k.shop': 2, 'k.bank': 2, 'k.none': 2 })
  const exporter = await start(client, { topic: 'k.{namespace}', key: 'pod' })
  const inPod = (namespace: string, name: string): Event =>
    makeExec({ process: makeProcess({ pod: makePod({ namespace, name }) }), parent: undefined })
  const host = makeExec({
    process: makeProcess({ pod: undefined }),
    parent: makeParent({ pod: makePod({ namespace: 'shop' }) }),
  })
  const events = [inPod('shop', 'a'), inPod('bank', 'b'), host, inPod('shop', 'c'), makeLoss()].map((event, seq) => ({
    ...event,
    seq,
  }))
  const part = describe(createJsonEncoder({ nodeName: 'n' }).encode(events), events)
  assert.deepEqual(await exporter.send(batch({ ...part, firstSeq: 0, count: events.length }), NEVER), {
    status: 'delivered',
  })
  const found = (topic: string): string[] =>
    (client.topics.get(topic) ?? [])
      .flat()
      .map(({ key, own }) => `${key?.toString()} ${own['seq']}`)
      .toSorted()
  assert.deepEqual(found('k.shop'), ['shop/a e1-0', 'shop/c e1-3'])
  assert.deepEqual(found('k.bank'), ['bank/b e1-1'])
  assert.deepEqual(found('k.none'), ['n e1-2', 'n e1-4'])
})

test('kafka: events acknowledged before another partition failed are not sent again', async () => {
  const client = new FakeClient({ a: 1, b: 1 })
  const exporter = await start(client, { topic: '{policy}' })
  let broken = true
  client.plan = ({ topic }) => (topic === 'b' && broken ? fault('retry') : undefined)
  const part = described(
    0,
    ['a', 'b', 'a', 'b'].map((policy) => ({ type: 'process_kprobe', policy })),
  )
  const whole = batch(described(9, [{ type: 'process_kprobe', policy: 'a' }]), part)
  const outcome = await exporter.send(whole, NEVER)
  // The first part is delivered and reported as such; the second stays unchanged.
  assert.ok(outcome.status === 'retryable' && outcome.taken === 1)
  broken = false
  assert.deepEqual(await exporter.send(batch(part), NEVER), { status: 'delivered' })
  assert.deepEqual(stored(client, 'a'), [9, 0, 2])
  assert.deepEqual(stored(client, 'b'), [1, 3])
})

test('kafka: after a failed request, no later one of its partition overtakes it', async () => {
  const client = new FakeClient()
  const exporter = await start(client, { max_request_size: 600 })
  let call = 0
  client.plan = () => (++call === 2 ? fault('retry') : undefined)
  const whole = batch(lines(0, 8))
  const outcome = await exporter.send(whole, NEVER)
  assert.deepEqual(outcome.status === 'retryable' && outcome.unacknowledged, 2)
  assert.deepEqual(stored(client), [0, 1])
  assert.equal((await exporter.send(whole, NEVER)).status, 'delivered')
  assert.deepEqual(stored(client), numbers(0, 8))
})

test('kafka: a request that fails after the sender gave up is reported before its events are sent again', async () => {
  const client = new FakeClient()
  const exporter = await start(client)
  const answer = Promise.withResolvers<ReturnType<typeof fault>>()
  client.plan = () => answer.promise
  const controller = new AbortController()
  const whole = batch(lines(0, 5))
  const sending = exporter.send(whole, controller.signal)
  await settle()
  controller.abort()
  const aborted = await sending
  assert.deepEqual(aborted.status === 'retryable' && aborted.unacknowledged, 0)
  answer.resolve(fault('retry'))
  client.plan = () => undefined
  const reported = await exporter.send(whole, NEVER)
  assert.deepEqual(reported.status === 'retryable' && reported.unacknowledged, 5)
  assert.deepEqual(stored(client), [])
  assert.deepEqual(await exporter.send(whole, NEVER), { status: 'delivered' })
  assert.deepEqual(stored(client), numbers(0, 5))
})

test('kafka: an answer after the sender gave up counts, and its events are not sent again', async () => {
  const client = new FakeClient()
  const exporter = await start(client)
  const answer = Promise.withResolvers<undefined>()
  client.plan = () => answer.promise
  const controller = new AbortController()
  const whole = batch(lines(0, 5))
  const sending = exporter.send(whole, controller.signal)
  await settle()
  controller.abort()
  assert.equal((await sending).status, 'retryable')
  const again = exporter.send(whole, NEVER)
  await settle()
  answer.resolve(undefined)
  assert.deepEqual(await again, { status: 'delivered' })
  assert.deepEqual(stored(client), numbers(0, 5))
  assert.equal(client.calls.length, 1)
})

test('kafka: a request that hangs over two sends makes it reconnect', async () => {
  const client = new FakeClient()
  const exporter = await start(client)
  client.plan = () => new Promise(() => undefined)
  for (const resets of [0, 1]) {
    const controller = new AbortController()
    const sending = exporter.send(batch(lines(0, 1)), controller.signal)
    await settle()
    controller.abort()
    assert.equal((await sending).status, 'retryable')
    assert.equal(client.resets, resets)
  }
})

test('kafka: only the record that is too large for the broker is rejected, found by halving', async () => {
  const client = new FakeClient()
  const exporter = await start(client)
  const bad = '{"id":5}'
  client.plan = ({ records }) =>
    records.some(({ value }) => value.toString() === bad) ? fault('too_large') : undefined
  const outcome = await exporter.send(batch(lines(0, 16)), NEVER)
  const refusal = { reason: 'too_large', events: 1, which: [5], message: 'planned: too_large' }
  assert.deepEqual(outcome, { status: 'partial', refusals: [refusal] })
  assert.deepEqual(
    stored(client),
    numbers(0, 16).filter((id) => id !== 5),
  )
})

test('kafka: an event larger than a request is rejected without a request, the others are sent', async () => {
  const client = new FakeClient()
  const exporter = await start(client, { max_request_size: 2000 })
  const outcome = await exporter.send(batch(lines(0, 2), lines(2, 1, 3000), lines(3, 2)), NEVER)
  const message = 'expected at most 2000 bytes with key and headers, got 3245'
  const refusal = { reason: 'too_large', events: 1, which: [2], message }
  assert.deepEqual(outcome, { status: 'partial', refusals: [refusal] })
  assert.deepEqual(stored(client), [0, 1, 3, 4])
  const alone = await exporter.send(batch(lines(9, 1, 3000)), NEVER)
  assert.ok(alone.status === 'rejected' && alone.reason === 'too_large')
})

test('kafka: a rejected event stays rejected and counted once when the rest has to be retried', async () => {
  const client = new FakeClient({ a: 1, b: 1 })
  const exporter = await start(client, { topic: '{policy}' })
  let broken = true
  client.plan = ({ topic }) => {
    if (topic === 'a') return fault('permanent')
    return broken ? fault('moved') : undefined
  }
  const part = described(
    0,
    ['a', 'b'].map((policy) => ({ type: 'process_kprobe', policy })),
  )
  const first = await exporter.send(batch(part), NEVER)
  assert.ok(first.status === 'retryable' && first.taken === 0)
  broken = false
  const refusal = { reason: 'invalid', events: 1, which: [0], message: 'planned: permanent' }
  assert.deepEqual(await exporter.send(batch(part), NEVER), { status: 'partial', refusals: [refusal] })
})

test('kafka: two reasons in one batch are two refusals, also if all its events are rejected', async () => {
  const client = new FakeClient({ a: 1, b: 1, c: 1 })
  const exporter = await start(client, { topic: '{policy}' })
  client.plan = ({ topic }) => {
    if (topic === 'c') return undefined
    return topic === 'a' ? fault('permanent') : fault('too_large')
  }
  const of = (policies: string): Described =>
    described(
      0,
      [...policies].map((policy) => ({ type: 'process_kprobe', policy })),
    )
  const tooLarge = { reason: 'too_large', message: 'planned: too_large' }
  const invalid = { reason: 'invalid', message: 'planned: permanent' }
  assert.deepEqual(await exporter.send(batch(of('cab'), of('bca')), NEVER), {
    status: 'partial',
    refusals: [
      { ...tooLarge, events: 2, which: [2, 3] },
      { ...invalid, events: 2, which: [1, 5] },
    ],
  })
  assert.deepEqual(stored(client, 'c'), [0, 1])
  assert.deepEqual(await exporter.send(batch(of('ab')), NEVER), {
    status: 'partial',
    refusals: [
      { ...tooLarge, events: 1, which: [1] },
      { ...invalid, events: 1, which: [0] },
    ],
  })
})

test('kafka: a missing topic holds its events and is reported, the others continue, and it recovers once created', async () => {
  const client = new FakeClient({ a: 1 })
  const exporter = await start(client, { topic: '{policy}' })
  const part = described(
    0,
    ['a', 'b'].map((policy) => ({ type: 'process_kprobe', policy })),
  )
  const outcome = await exporter.send(batch(part), NEVER)
  assert.ok(outcome.status === 'hold')
  assert.match(outcome.error.message, /UNKNOWN_TOPIC/)
  assert.deepEqual(stored(client, 'a'), [0])
  client.create('b', 1)
  assert.deepEqual(await exporter.send(batch(part), NEVER), { status: 'delivered' })
  assert.deepEqual(stored(client, 'a'), [0])
  assert.deepEqual(stored(client, 'b'), [1])
})

const OUTCOMES = [
  { name: 'a sequence error', kind: 'reset', status: 'retryable', resets: 1 },
  { name: 'no right', kind: 'config', status: 'hold', resets: 0 },
  { name: 'a timeout', kind: 'retry', status: 'retryable', resets: 0 },
  { name: 'a moved leader', kind: 'moved', status: 'retryable', resets: 0 },
  { name: 'a timeout of an idempotent producer', kind: 'retry', status: 'retryable', resets: 0, idempotent: true },
] as const

for (const row of OUTCOMES) {
  test(`kafka: ${row.name} is ${row.status}, with ${row.resets} resets before the next try`, async () => {
    const client = new FakeClient()
    const exporter = await start(client, { idempotent: 'idempotent' in row })
    client.plan = () => fault(row.kind)
    const whole = batch(lines(0, 3))
    const outcome: Outcome = await exporter.send(whole, NEVER)
    assert.equal(outcome.status, row.status)
    client.plan = () => undefined
    assert.equal((await exporter.send(whole, NEVER)).status, 'delivered')
    assert.equal(client.resets, row.resets)
  })
}

test('kafka: events acknowledged before a missing topic are counted before it holds', async () => {
  const client = new FakeClient({ a: 1 })
  const exporter = await start(client, { topic: '{policy}' })
  client.plan = ({ records }) =>
    records.some(({ value }) => value.toString() === '{"id":1}') ? fault('permanent') : undefined
  const of = (firstSeq: number, policy: string): Described =>
    described(
      firstSeq,
      [0, 1].map(() => ({ type: 'process_kprobe', policy })),
    )
  const [first, second] = [of(0, 'a'), of(2, 'b')]
  const outcome = await exporter.send(batch(first, second), NEVER)
  const refusal = { reason: 'invalid', events: 1, which: [1], message: 'planned: permanent' }
  assert.ok(outcome.status === 'retryable' && outcome.taken === 2 && outcome.afterMs === 0)
  assert.deepEqual(outcome.refusals, [refusal])
  assert.equal((await exporter.send(batch(second), NEVER)).status, 'hold')
})

test('kafka: an unknown number of partitions does not stop topics for which it is known', async () => {
  let now = 0
  const client = new FakeClient()
  const exporter = await start(client, {}, () => now)
  await exporter.send(batch(lines(0, 1)), NEVER)
  now += 300_000
  client.silence = fault('retry')
  assert.deepEqual(await exporter.send(batch(lines(1, 1)), NEVER), { status: 'delivered' })
  assert.deepEqual(await exporter.send(batch(lines(2, 1)), NEVER), { status: 'delivered' })
  assert.equal(client.asked, 2)
  client.silence = undefined
  client.create('events', 2)
  now += 30_000
  await exporter.send(batch(lines(3, 1)), NEVER)
  assert.equal(client.asked, 3)
  assert.equal(stored(client, 'events', 0).length + stored(client, 'events', 1).length, 1)
})

test('kafka: all topics are requested at once, and after a failure of one only that one', async () => {
  const client = new FakeClient({ a: 1, b: 1 })
  const questions: string[][] = []
  const ask = client.partitions.bind(client)
  client.partitions = (topics) => (questions.push([...topics]), ask(topics))
  const exporter = await start(client, { topic: '{policy}' })
  const part = described(
    0,
    ['a', 'b'].map((policy) => ({ type: 'process_kprobe', policy })),
  )
  client.plan = ({ topic }) => (topic === 'b' ? fault('moved') : undefined)
  await exporter.send(batch(part), NEVER)
  client.plan = () => undefined
  await exporter.send(batch(part), NEVER)
  assert.deepEqual(questions, [['a', 'b'], ['b']])
})

test('kafka: a size that a topic refuses is not tried again with each batch', async () => {
  const client = new FakeClient()
  const exporter = await start(client)
  client.plan = ({ records }) => (records.length > 5 ? fault('too_large') : undefined)
  await exporter.send(batch(lines(0, 16)), NEVER)
  const before = client.calls.length
  await exporter.send(batch(lines(16, 16)), NEVER)
  assert.deepEqual(
    client.calls.slice(before).map(({ records }) => records.length),
    [4, 4, 4, 4],
  )
  assert.deepEqual(stored(client), numbers(0, 32))
})

test('kafka: only a request without a known result can duplicate a record', async () => {
  const client = new FakeClient()
  const exporter = await start(client)
  const unacknowledged: number[] = []
  for (const kind of ['unwritten', 'moved', 'reset', 'retry'] as const) {
    client.plan = () => fault(kind)
    const outcome = await exporter.send(batch(lines(0, 3)), NEVER)
    unacknowledged.push((outcome.status === 'retryable' ? outcome.unacknowledged : undefined) ?? -1)
  }
  assert.deepEqual(unacknowledged, [0, 0, 0, 3])
})

test('kafka: an idempotent producer sends an unanswered request again unchanged, before all else', async () => {
  const client = new FakeClient()
  const exporter = await start(client, { idempotent: true, max_request_size: 900 })
  const [first, second] = [lines(0, 2), lines(2, 4)]
  client.plan = () => fault('retry')
  await exporter.send(batch(first), NEVER)
  client.plan = () => undefined
  await exporter.send(batch(first, second), NEVER)
  assert.deepEqual(
    client.calls.map(({ records }) => records.length),
    [2, 2, 3, 1],
  )
  assert.equal(client.resets, 0)
})

test('kafka: an idempotent producer is created again if an unanswered request is not sent again', async () => {
  const client = new FakeClient()
  const exporter = await start(client, { idempotent: true })
  client.plan = () => fault('retry')
  await exporter.send(batch(lines(0, 2)), NEVER)
  client.plan = () => undefined
  assert.equal((await exporter.send(batch(lines(5, 2)), NEVER)).status, 'delivered')
  assert.equal(client.resets, 1)
})

test('kafka: with any failures, every key keeps its order, nothing is lost and one request a partition is in flight', async () => {
  const execIds = numbers(0, 12).map((i) => Buffer.from(`n:${i}`).toString('base64'))
  const keyed = (seq: number): string =>
    `{"process_exit":{"process":{"exec_id":"${execIds[(seq * 5) % 12]}"},"id":${seq}}}\n`
  const steps = fc.array(fc.tuple(fc.integer({ min: 1, max: 30 }), fc.array(fc.nat(4), { maxLength: 6 })), {
    maxLength: 8,
  })
  await fc.assert(
    fc.asyncProperty(steps, async (rounds) => {
      const client = new FakeClient({ events: 3 })
      const exporter = await start(client, { key: 'exec_id', max_request_size: 2500 })
      let seq = 0
      for (const [count, failures] of rounds) {
        const texts = numbers(seq, seq + count).map(keyed)
        let end = 0
        const ends = Uint32Array.from(texts, (text) => (end += text.length))
        const part = { encoding: 'json' as const, bytes: Buffer.from(texts.join('')), ends, count, firstSeq: seq }
        seq += count
        const script = [...failures]
        client.plan = () => {
          const kind = (['retry', 'moved', 'reset'] as const)[script.shift() ?? 9]
          return kind === undefined ? undefined : fault(kind)
        }
        while ((await exporter.send(batch(part), NEVER)).status !== 'delivered');
      }
      const all = [0, 1, 2].flatMap((partition) => client.lines('events', partition))
      assert.equal(new Set(all).size, seq)
      assert.equal(all.length, seq)
      for (const id of execIds) {
        const own = all.filter((line) => line.includes(`"${id}"`))
        assert.deepEqual(
          own,
          numbers(0, seq)
            .map((i) => keyed(i).trimEnd())
            .filter((line) => line.includes(`"${id}"`)),
        )
      }
      assert.ok(client.mostAtOnce <= 1)
    }),
    { numRuns: 60 },
  )
})

test('kafka: cannot be created with a missing codec', async () => {
  await assert.rejects(
    start(new FakeClient(), { compression: 'lz4' }),
    (error) => error instanceof ExportError && /compression: expected/.test(error.message),
  )
})
