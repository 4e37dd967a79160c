/** The client with a broker that announces 2 GB, floods, or is an HTTP server: the answer is refused, and memory stays as it is. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KafkaClient } from '../../../../../../exporters/sinks/kafka/client/client.ts'
import { KafkaFault } from '../../../../../../exporters/sinks/kafka/client/faults.ts'
import type { KafkaConnection } from '../../../../../../exporters/sinks/kafka/client/connection.ts'
import { hostile, HTTP, STRAY, STRAYS, TWO_GB } from '../../../support/hostile-broker.ts'
import { kafkaConfig } from '../support/config.ts'

const MAX_GROWTH_BYTES = 64 << 20
const LOGIN = { mechanism: 'plain', username: 'me', password: 'p' } as const

/** Returns the error of the client's request for a topic, and the memory that it took. */
async function attempt(address: string, change: Partial<KafkaConnection>) {
  const connection = { ...kafkaConfig(), tls: undefined, sasl: undefined, brokers: [address], request_timeout: 3000 }
  const codec = { id: 0, compress: undefined }
  const client = new KafkaClient({ ...connection, ...change }, { warn: () => {}, codec })
  const before = process.memoryUsage.rss()
  let most = before
  const watching = setInterval(() => (most = Math.max(most, process.memoryUsage.rss())), 5)
  try {
    const fault = await client.partitions(['events']).catch((error: unknown) => error)
    assert.ok(fault instanceof KafkaFault, String(fault))
    return { fault, growth: most - before }
  } finally {
    clearInterval(watching)
    await client.close()
  }
}

for (const [when, at, sasl] of [
  ['at once', 'connection', undefined],
  ['as an answer', 'data', undefined],
  ['as an answer to a login', 'data', LOGIN],
] as const) {
  test(`kafka: an answer of 2 GB is refused by its length, ${when}`, async (t) => {
    await using server = await hostile(TWO_GB, at)
    const { fault, growth } = await attempt(server.address, { sasl })
    t.diagnostic(`${growth >> 20} MiB more`)
    assert.match(fault.message, /expected an answer of at most 8388608 bytes, got 2097152000/)
    assert.equal(fault.kind, 'unwritten')
    assert.ok(growth < MAX_GROWTH_BYTES, `${growth >> 20} MiB`)
  })
}

test('kafka: an HTTP server at the address of a broker is refused at its first bytes', async () => {
  await using server = await hostile(HTTP, 'data', null)
  const { fault } = await attempt(server.address, {})
  assert.match(fault.message, /expected an answer of at most 8388608 bytes, got 1213486160; check that a Kafka broker/)
})

test('kafka: a flood of answers to no request ends the connection', async () => {
  await using server = await hostile(STRAY, 'data', STRAYS)
  const startedMs = performance.now()
  const { fault } = await attempt(server.address, { request_timeout: 60_000 })
  assert.match(fault.message, /answer|response|closed/i)
  assert.ok(performance.now() - startedMs < 15_000)
})

test('kafka: an answer that announces 32 million elements gets no room for them', async (t) => {
  // Length, the id of the request, no error, and the count of the versions of requests.
  const answer = (request: Buffer): Buffer =>
    Buffer.concat([Buffer.from('0000000a', 'hex'), request.subarray(8, 12), Buffer.from('000002000000', 'hex')])
  await using server = await hostile(answer, 'data', null)
  const { fault, growth } = await attempt(server.address, {})
  t.diagnostic(`${growth >> 20} MiB more`)
  assert.match(fault.message, /expected at most 4 elements in an answer of Kafka, got 33554432/)
  assert.ok(growth < MAX_GROWTH_BYTES, `${growth >> 20} MiB`)
})
