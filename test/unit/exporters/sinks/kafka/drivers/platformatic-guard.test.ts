/** A connection that fails twice, as @platformatic/kafka's do when they are lost while somebody logs in. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Connection } from '@platformatic/kafka'
import { guardPlatformatic } from '../../../../../../exporters/sinks/kafka/drivers/platformatic-guard.ts'

test('platformatic guard: without it an error that nobody listens for is thrown, with it the process goes on', () => {
  const lost = new Error('lost')
  assert.throws(() => new Connection('c').emit('error', lost), /lost/, 'is the guard still needed?')
  guardPlatformatic()
  guardPlatformatic()
  const connection = new Connection('c')
  assert.equal(connection.listenerCount('error'), 1)
  connection.emit('error', lost)
})
