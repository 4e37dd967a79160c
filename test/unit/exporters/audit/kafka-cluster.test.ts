/** Hostile brokers, and a connection that fails twice, as those of @platformatic/kafka do if they are lost during a login. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Connection } from '@platformatic/kafka'
import { guardConnections } from '../../../../exporters/audit/kafka-cluster.ts'
import { auditSource } from '../../../../exporters/audit/sources.ts'
import { ExportError } from '../../../../exporters/contract/errors.ts'
import { hostile, HTTP, STRAY, STRAYS, TWO_GB } from '../support/hostile-broker.ts'

const MAX_GROWTH_BYTES = 64 << 20
const LOGIN = '?sasl.mechanism=plain&sasl.username=me&sasl.password=p'

/** Error of an audit of the broker, and how much memory it took. */
async function refusal(address: string, query = ''): Promise<{ message: string; growth: number }> {
  const before = process.memoryUsage.rss()
  let most = before
  const watching = setInterval(() => (most = Math.max(most, process.memoryUsage.rss())), 5)
  const options = { env: {}, sinceMs: undefined, nowMs: Date.now() }
  try {
    for await (const record of auditSource(`kafka://${address}/events${query}`, options)()) assert.fail(String(record))
    return assert.fail('it ended without an error')
  } catch (error) {
    assert.ok(error instanceof ExportError, String(error))
    return { message: error.message, growth: most - before }
  } finally {
    clearInterval(watching)
  }
}

test('kafka cluster: without it an error without a listener is thrown, with it the process continues', () => {
  const lost = new Error('lost')
  assert.throws(() => new Connection('c').emit('error', lost), /lost/, 'is the guard still needed?')
  guardConnections()
  guardConnections()
  const connection = new Connection('c')
  assert.equal(connection.listenerCount('error'), 1)
  connection.emit('error', lost)
})

for (const [when, at, query] of [
  ['at once', 'connection', ''],
  ['as an answer', 'data', ''],
  ['as an answer to a login', 'data', LOGIN],
] as const) {
  test(`kafka cluster: an answer of 2 GB is refused by its length, ${when}`, async () => {
    await using server = await hostile(TWO_GB, at)
    const { message, growth } = await refusal(server.address, query)
    assert.match(message, /expected an answer of at most 8388608 bytes, got 2097152000/)
    assert.ok(growth < MAX_GROWTH_BYTES, `${growth >> 20} MiB`)
  })
}

test('kafka cluster: an HTTP server at the address of a broker is refused at its first bytes', async () => {
  await using server = await hostile(HTTP, 'data', null)
  const { message } = await refusal(server.address)
  assert.match(message, /expected an answer of at most 8388608 bytes, got 1213486160; check that a Kafka broker/)
})

test('kafka cluster: a flood of answers to no request ends the connection', async () => {
  await using server = await hostile(STRAY, 'data', STRAYS)
  assert.match((await refusal(server.address)).message, /answer|response|closed/i)
})
