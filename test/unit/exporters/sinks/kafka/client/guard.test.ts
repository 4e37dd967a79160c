import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { mock, test } from 'node:test'
import { guardKafkajs } from '../../../../../../exporters/sinks/kafka/client/guard.ts'
import { insideOf } from '../../../../../../exporters/sinks/kafka/client/internals.ts'

interface Queue {
  pending: unknown[]
  throttledUntil: number
  checkPendingRequests(): void
}

const load: unknown = createRequire(import.meta.url)('kafkajs/src/network/requestQueue')

function makeQueue(): Queue {
  if (typeof load !== 'function') throw new Error('kafkajs has no request queue')
  const logger = { debug: () => undefined, warn: () => undefined }
  return Reflect.construct(load, [
    { maxInFlightRequests: null, requestTimeout: 1000, clientId: 'c', broker: 'b', logger },
  ])
}

/** The timers that a queue sets while `turns` of them fire, with a manual clock. */
function timersOf(queue: Queue, turns: number): number {
  let due: Array<() => void> = []
  let count = 0
  const set = mock.method(globalThis, 'setTimeout', (run: () => void) => {
    due.push(run)
    return ++count
  })
  try {
    queue.checkPendingRequests()
    for (let i = 0; i < turns; i++) {
      const now = due
      due = []
      for (const run of now) run()
    }
    return count
  } finally {
    set.mock.restore()
  }
}

test('kafkajs guard: names a missing internal part', () => {
  assert.throws(
    () => insideOf<{ moved: unknown }>('network/requestQueue', 'moved'),
    /kafkajs 2\.2\.4: expected "moved" in its network\/requestQueue, got none; reinstall the package/,
  )
})

test('kafkajs guard: changes nothing in an unknown version', () => {
  assert.equal(guardKafkajs('2.3.0'), false)
})

test('kafkajs guard: without it an idle queue sets a timer again and again, with it none', () => {
  const before = timersOf(makeQueue(), 50)
  assert.ok(
    before >= 50,
    `expected the fault that is guarded against, got ${before} timers: is the guard still needed?`,
  )
  assert.equal(guardKafkajs(), true)
  assert.equal(guardKafkajs(), true)
  assert.equal(timersOf(makeQueue(), 50), 0)
})

test('kafkajs guard: a queue that is throttled still sets its timer', () => {
  guardKafkajs()
  const busy = makeQueue()
  busy.throttledUntil = Date.now() + 60_000
  assert.equal(timersOf(busy, 0), 1)
})
