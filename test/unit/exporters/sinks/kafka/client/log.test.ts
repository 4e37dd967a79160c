import assert from 'node:assert/strict'
import { test } from 'node:test'
import kafkajs from 'kafkajs'
import { logTo } from '../../../../../../exporters/sinks/kafka/client/log.ts'

test('kafkajs log: a cause is reported once in five minutes, for any number of levels and tries', () => {
  let now = 0
  const reported: string[] = []
  const log = logTo(
    (text) => reported.push(text),
    () => now,
  )(kafkajs.logLevel.WARN)
  const write = (namespace: string, message: string): void =>
    log({
      namespace,
      level: kafkajs.logLevel.ERROR,
      label: 'ERROR',
      log: { timestamp: '', logger: undefined, message },
    })
  const refused = 'Connection error: connect ECONNREFUSED 127.0.0.1:9092'
  for (let i = 0; i < 3; i++) {
    write('Connection', refused)
    write('BrokerPool', `Failed to connect to seed broker, trying another broker from the list: ${refused}`)
  }
  write('Connection', 'Connection error: read ECONNRESET')
  write('Producer', 'Limiting retries for the idempotent producer may invalidate EoS guarantees')
  const both = [`kafkajs Connection: ${refused}`, 'kafkajs Connection: Connection error: read ECONNRESET']
  assert.deepEqual(reported, both)
  now = 300_000
  write('Connection', refused)
  assert.deepEqual(reported, [...both, both[0]])
})
