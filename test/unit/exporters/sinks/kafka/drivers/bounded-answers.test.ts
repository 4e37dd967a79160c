/** Both drivers with a broker that announces 2 GB, floods, or is an HTTP server: the answer is refused, and memory stays as it is. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import { loadDriver } from '../../../../../../exporters/sinks/kafka/drivers/driver.ts'
import { KafkaFault } from '../../../../../../exporters/sinks/kafka/faults.ts'
import type { KafkaConnection } from '../../../../../../exporters/sinks/kafka/connection.ts'
import { flood } from '../../../../../support/otlp/server.ts'
import { kafkaConfig } from '../support/config.ts'

const GARBAGE = Buffer.alloc(1 << 20, 0x41)
const MAX_GROWTH_BYTES = 64 << 20
const LOGIN = { mechanism: 'plain', username: 'me', password: 'p' } as const

/** A server that sends `head` and then garbage as fast as it can, at once or after the first request. */
async function hostile(
  head: Buffer | ((request: Buffer) => Buffer),
  at: 'connection' | 'data',
  garbage: Buffer | null = GARBAGE,
) {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => {}))
    const begin = (request: Buffer): void => {
      socket.write(typeof head === 'function' ? head(request) : head)
      if (garbage !== null) flood(socket, garbage)
    }
    if (at === 'connection') begin(Buffer.alloc(0))
    else socket.once('data', begin)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return {
    address: `127.0.0.1:${typeof address === 'object' ? address?.port : 0}`,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

/** Fails with what the driver's request for a topic failed with, and how much memory it took. */
async function attempt(name: 'kafkajs' | 'platformatic', address: string, change: Partial<KafkaConnection>) {
  const make = await loadDriver(name)
  const connection = { ...kafkaConfig(), tls: undefined, sasl: undefined, brokers: [address], request_timeout: 3000 }
  const driver = make({ ...connection, ...change }, { warn: () => {} })
  const before = process.memoryUsage.rss()
  let most = before
  const watching = setInterval(() => (most = Math.max(most, process.memoryUsage.rss())), 5)
  try {
    const fault = await driver.partitions(['events']).catch((error: unknown) => error)
    assert.ok(fault instanceof KafkaFault, String(fault))
    return { fault, growth: most - before }
  } finally {
    clearInterval(watching)
    await driver.close()
  }
}

const TWO_GB = Buffer.from('7d000000', 'hex')
const HTTP = Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')

for (const name of ['kafkajs', 'platformatic'] as const) {
  for (const [when, at, sasl] of [
    ['at once', 'connection', undefined],
    ['as an answer', 'data', undefined],
    ['as an answer to a login', 'data', LOGIN],
  ] as const) {
    test(`kafka: an answer of 2 GB is refused by its length, ${when}, with ${name}`, async (t) => {
      await using server = await hostile(TWO_GB, at)
      const { fault, growth } = await attempt(name, server.address, { sasl })
      t.diagnostic(`${growth >> 20} MiB more`)
      assert.match(fault.message, /expected an answer of at most 8388608 bytes, got 2097152000/)
      assert.equal(fault.kind, 'unwritten')
      assert.ok(growth < MAX_GROWTH_BYTES, `${growth >> 20} MiB`)
    })
  }

  test(`kafka: an HTTP server at the address of a broker is refused at its first bytes, with ${name}`, async () => {
    await using server = await hostile(HTTP, 'data', null)
    const { fault } = await attempt(name, server.address, {})
    assert.match(
      fault.message,
      /expected an answer of at most 8388608 bytes, got 1213486160; check that a Kafka broker/,
    )
  })

  test(`kafka: a flood of answers to no request ends the connection, with ${name}`, async () => {
    const frame = Buffer.from('0000000400bc614e', 'hex')
    const frames = Buffer.concat(Array.from({ length: 8192 }, () => frame))
    await using server = await hostile(frame, 'data', frames)
    const startedMs = performance.now()
    const { fault } = await attempt(name, server.address, { request_timeout: 60_000 })
    assert.match(fault.message, /answer|response|closed/i)
    assert.ok(performance.now() - startedMs < 15_000)
  })
}

test('kafka: an answer that announces 32 million elements gets no room for them, with kafkajs', async (t) => {
  // Length, the id of the request, no error, and the count of the versions of requests.
  const answer = (request: Buffer): Buffer =>
    Buffer.concat([Buffer.from('0000000a', 'hex'), request.subarray(8, 12), Buffer.from('000002000000', 'hex')])
  await using server = await hostile(answer, 'data', null)
  const { fault, growth } = await attempt('kafkajs', server.address, {})
  t.diagnostic(`${growth >> 20} MiB more`)
  assert.match(fault.message, /expected at most 4 elements in an answer of Kafka, got 33554432/)
  assert.ok(growth < MAX_GROWTH_BYTES, `${growth >> 20} MiB`)
})
