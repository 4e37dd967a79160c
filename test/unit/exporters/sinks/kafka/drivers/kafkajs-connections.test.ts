/** The kafkajs driver with brokers that stop answering, cut their answers or send garbage: it fails soon, and continues after. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KafkajsDriver } from '../../../../../../exporters/sinks/kafka/drivers/kafkajs-driver.ts'
import { KafkaFault } from '../../../../../../exporters/sinks/kafka/faults.ts'
import type { KafkaConnection } from '../../../../../../exporters/sinks/kafka/connection.ts'
import { until } from '../../../support/fake-clock.ts'
import { kafkaConfig } from '../support/config.ts'
import { AUTHENTICATE, FakeBroker, METADATA, PRODUCE } from '../support/fake-broker.ts'
import type { Deed } from '../support/fake-broker.ts'

const RECORDS = [{ key: null, value: Buffer.from('{}'), common: {}, own: {}, timestampMs: 1_790_000_000_000 }]
const LOGIN = { mechanism: 'plain', username: 'me', password: 'p' } as const

function driverOf(brokers: readonly FakeBroker[], change: Partial<KafkaConnection> = {}): KafkajsDriver {
  const plain = { ...kafkaConfig(), tls: undefined, sasl: undefined }
  const connection = { ...plain, brokers: brokers.map(({ address }) => address), ...change }
  return new KafkajsDriver(connection, { warn: () => undefined })
}

const faultIn = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  )

for (const deed of ['half', 'garbage', 'reset'] as const satisfies readonly Deed[]) {
  test(`kafkajs connections: after an answer that is ${deed} the send fails, and the next one is delivered`, async () => {
    await using broker = await FakeBroker.start()
    const driver = driverOf([broker])
    await driver.send('events', 0, RECORDS)
    let bad = 1
    broker.deed = (apiKey) => (apiKey === PRODUCE && bad-- > 0 ? deed : 'answer')
    const fault = await faultIn(driver.send('events', 0, RECORDS))
    assert.ok(fault instanceof KafkaFault && fault.kind === 'retry', String(fault))
    await driver.send('events', 0, RECORDS)
    await driver.close()
  })
}

test('kafkajs connections: a broker that accepts and never answers does not block the next one', async () => {
  await using hung = await FakeBroker.start()
  await using well = await FakeBroker.start()
  hung.deed = () => 'silence'
  // Long enough for a busy machine to answer in, or the silent broker is asked again.
  const driver = driverOf([hung, well], { request_timeout: 1500 })
  assert.deepEqual([...(await driver.partitions(['events']))], [['events', 1]])
  await driver.send('events', 0, RECORDS)
  assert.equal(hung.connections, 1)
  await driver.close()
})

test('kafkajs connections: all topics are requested at once, and an error of one is reported for that one', async () => {
  await using broker = await FakeBroker.start()
  Object.assign(broker.topics, { a: 0, forbidden: 29 })
  const driver = driverOf([broker])
  const found = await driver.partitions(['a', 'forbidden', 'missing', 'events'])
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
  await driver.close()
})

test('kafkajs connections: a topic that is forbidden later does not prevent writes to others', async () => {
  await using broker = await FakeBroker.start()
  Object.assign(broker.topics, { a: 0, b: 0, c: 0 })
  const driver = driverOf([broker])
  await driver.send('a', 0, RECORDS)
  await driver.send('b', 0, RECORDS)
  broker.topics['b'] = 29
  // A new topic makes the client request all topics that it knows.
  await driver.send('c', 0, RECORDS)
  await driver.send('a', 0, RECORDS)
  await driver.close()
})

test('kafkajs connections: an interrupted login is a lost connection, a refused one is a wrong password', async () => {
  await using broker = await FakeBroker.start()
  const driver = driverOf([broker], { sasl: LOGIN })
  broker.deed = (apiKey) => (apiKey === AUTHENTICATE ? 'reset' : 'answer')
  const cut = await faultIn(driver.partitions(['events']))
  assert.ok(cut instanceof KafkaFault && cut.kind === 'unwritten', String(cut))
  broker.deed = () => 'answer'
  const refused = await faultIn(driver.partitions(['events']))
  assert.ok(refused instanceof KafkaFault && refused.kind === 'config', String(refused))
  assert.match(refused.message, /SASL_AUTHENTICATION_FAILED, wrong password/)
  await driver.close()
})

for (const end of ['reset', 'close'] as const) {
  test(`kafkajs connections: requests in flight fail at once with a ${end}`, async () => {
    await using broker = await FakeBroker.start()
    const driver = driverOf([broker])
    await driver.send('events', 0, RECORDS)
    broker.deed = (apiKey) => (apiKey === METADATA ? 'answer' : 'silence')
    const sending = faultIn(driver.send('events', 0, RECORDS))
    await until('it is under way', () => broker.requests.filter((key) => key === PRODUCE).length === 2)
    await driver[end]()
    const fault = await sending
    assert.ok(fault instanceof KafkaFault && fault.kind === 'retry', String(fault))
    await driver.close()
  })
}
