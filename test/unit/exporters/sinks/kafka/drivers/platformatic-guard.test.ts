/** A connection that fails twice, as those of @platformatic/kafka do if they are lost during a login. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Connection } from '@platformatic/kafka'
import { guardPlatformatic } from '../../../../../../exporters/sinks/kafka/drivers/platformatic-guard.ts'

test('platformatic guard: without it an error without a listener is thrown, with it the process continues', () => {
  const lost = new Error('lost')
  assert.throws(() => new Connection('c').emit('error', lost), /lost/, 'is the guard still needed?')
  guardPlatformatic()
  guardPlatformatic()
  const connection = new Connection('c')
  assert.equal(connection.listenerCount('error'), 1)
  connection.emit('error', lost)
})
