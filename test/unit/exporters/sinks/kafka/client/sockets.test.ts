/** The client with brokers that stop answering, cut their answers or send garbage: it fails soon, and continues after. */
import assert from 'node:assert/strict'
import dns from 'node:dns'
import { networkInterfaces } from 'node:os'
import { test } from 'node:test'
import { KafkaClient } from '../../../../../../exporters/sinks/kafka/client/client.ts'
import { KafkaFault } from '../../../../../../exporters/sinks/kafka/client/faults.ts'
import type { KafkaConnection } from '../../../../../../exporters/sinks/kafka/client/connection.ts'
import { until } from '../../../support/fake-clock.ts'
import { kafkaConfig } from '../support/config.ts'
import { AUTHENTICATE, FakeBroker, METADATA, PRODUCE } from '../support/fake-broker.ts'
import type { Deed } from '../support/fake-broker.ts'

const RECORDS = [{ key: null, value: Buffer.from('{}'), common: {}, own: {}, timestampMs: 1_790_000_000_000 }]
const LOGIN = { mechanism: 'plain', username: 'me', password: 'p' } as const

function clientOf(brokers: readonly FakeBroker[], change: Partial<KafkaConnection> = {}): KafkaClient {
  const plain = { ...kafkaConfig(), tls: undefined, sasl: undefined }
  const connection = { ...plain, brokers: brokers.map(({ address }) => address), ...change }
  return new KafkaClient(connection, { warn: () => undefined, codec: { id: 0, compress: undefined } })
}

type LookedUp = (error: NodeJS.ErrnoException | null, found: dns.LookupAddress[]) => void

const addresses = Object.values(networkInterfaces()).flatMap((own) => own?.map(({ address }) => address) ?? [])
const NO_IPV6 = addresses.includes('::1') ? false : 'this host has no address ::1'

const faultIn = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  )

for (const deed of ['half', 'garbage', 'reset'] as const satisfies readonly Deed[]) {
  test(`kafkajs connections: after an answer that is ${deed} the send fails, and the next one is delivered`, async () => {
    await using broker = await FakeBroker.start()
    const client = clientOf([broker])
    await client.send('events', 0, RECORDS)
    let bad = 1
    broker.deed = (apiKey) => (apiKey === PRODUCE && bad-- > 0 ? deed : 'answer')
    const fault = await faultIn(client.send('events', 0, RECORDS))
    assert.ok(fault instanceof KafkaFault && fault.kind === 'retry', String(fault))
    await client.send('events', 0, RECORDS)
    await client.close()
  })
}

test('kafkajs connections: a broker that accepts and never answers does not block the next one', async () => {
  await using hung = await FakeBroker.start()
  await using well = await FakeBroker.start()
  hung.deed = () => 'silence'
  // Long enough for an answer of a busy machine, or the client sends to the silent broker again.
  const client = clientOf([hung, well], { request_timeout: 1500 })
  assert.deepEqual([...(await client.partitions(['events']))], [['events', 1]])
  await client.send('events', 0, RECORDS)
  assert.equal(hung.connections, 1)
  await client.close()
})

test('kafkajs connections: all topics are requested at once, and an error of one is reported for that one', async () => {
  await using broker = await FakeBroker.start()
  Object.assign(broker.topics, { a: 0, forbidden: 29 })
  const client = clientOf([broker])
  const found = await client.partitions(['a', 'forbidden', 'missing', 'events'])
  assert.equal(broker.connections, 1)
  const reported = [...found].map(([name, value]) => [
    name,
    value instanceof KafkaFault ? [value.kind, value.code] : value,
  ])
  assert.deepEqual(Object.fromEntries(reported), {
    a: 1,
    forbidden: ['config', 'TOPIC_AUTHORIZATION_FAILED'],
    missing: ['config', 'UNKNOWN_TOPIC_OR_PARTITION'],
    events: 1,
  })
  await client.close()
})

test('kafkajs connections: a topic that is forbidden later does not prevent writes to others', async () => {
  await using broker = await FakeBroker.start()
  Object.assign(broker.topics, { a: 0, b: 0, c: 0 })
  const client = clientOf([broker])
  await client.send('a', 0, RECORDS)
  await client.send('b', 0, RECORDS)
  broker.topics['b'] = 29
  // A new topic makes the client request all of its topics.
  await client.send('c', 0, RECORDS)
  await client.send('a', 0, RECORDS)
  await client.close()
})

test('kafkajs connections: an interrupted login is a lost connection, a refused one is a wrong password', async () => {
  await using broker = await FakeBroker.start()
  const client = clientOf([broker], { sasl: LOGIN })
  broker.deed = (apiKey) => (apiKey === AUTHENTICATE ? 'reset' : 'answer')
  const cut = await faultIn(client.partitions(['events']))
  assert.ok(cut instanceof KafkaFault && cut.kind === 'unwritten', String(cut))
  broker.deed = () => 'answer'
  const refused = await faultIn(client.partitions(['events']))
  assert.ok(refused instanceof KafkaFault && refused.kind === 'config', String(refused))
  assert.match(refused.message, /SASL_AUTHENTICATION_FAILED, wrong password/)
  await client.close()
})

for (const end of ['reset', 'close'] as const) {
  test(`kafkajs connections: requests in flight fail at once with a ${end}`, async () => {
    await using broker = await FakeBroker.start()
    const client = clientOf([broker])
    await client.send('events', 0, RECORDS)
    broker.deed = (apiKey) => (apiKey === METADATA ? 'answer' : 'silence')
    const sending = faultIn(client.send('events', 0, RECORDS))
    await until('it is under way', () => broker.requests.filter((key) => key === PRODUCE).length === 2)
    await client[end]()
    const fault = await sending
    assert.ok(fault instanceof KafkaFault && fault.kind === 'retry', String(fault))
    await client.close()
  })
}

test(
  'kafkajs connections: an IPv6 address in brackets, and the same in the metadata, are used',
  { skip: NO_IPV6 },
  async () => {
    await using broker = await FakeBroker.start('::1')
    const client = clientOf([broker])
    assert.deepEqual([...(await client.partitions(['events']))], [['events', 1]])
    await client.send('events', 0, RECORDS)
    await client.close()
  },
)

test('kafkajs connections: for a name with both kinds of addresses IPv6 comes first, IPv4 if that fails', async (t) => {
  const found = ['::1', '127.0.0.1'].map((address, i) => ({ address, family: i === 0 ? 6 : 4 }))
  const lookup = dns.lookup
  t.mock.method(dns, 'lookup', (name: string, options: dns.LookupAllOptions, done: LookedUp) =>
    name === 'broker.example' ? process.nextTick(done, null, found) : lookup(name, options, done),
  )
  await using old = await FakeBroker.start()
  const { port } = old
  const named = (): KafkaClient => clientOf([], { brokers: [`broker.example:${port}`] })
  const onlyOld = named()
  assert.deepEqual([...(await onlyOld.partitions(['events']))], [['events', 1]])
  await onlyOld.close()
  const before = old.connections
  if (NO_IPV6 === false) {
    await using broker = await FakeBroker.start('::1', port)
    const both = named()
    assert.deepEqual([...(await both.partitions(['events']))], [['events', 1]])
    await both.close()
    assert.ok(broker.connections > 0)
  } else t.diagnostic(NO_IPV6)
  assert.equal(old.connections, before)
  await old[Symbol.asyncDispose]()
  const none = named()
  const fault = await faultIn(none.partitions(['events']))
  assert.ok(fault instanceof KafkaFault && fault.code === 'ECONNREFUSED', String(fault))
  assert.match(fault.message, /connect \w+ ::1:\d+.*, connect ECONNREFUSED 127\.0\.0\.1:\d+$/)
  await none.close()
})
