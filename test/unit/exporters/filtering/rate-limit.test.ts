import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { TokenBucket } from '../../../../exporters/filtering/rate-limit.ts'

class Hand {
  ms = 5000
  nowMs(): number {
    return this.ms
  }
}

test('rate limit: a full bucket passes its burst at once, then the rate', () => {
  const clock = new Hand()
  const bucket = new TokenBucket({ events: 10, per: 1000, burst: 25 }, clock)
  assert.equal(bucket.take(20), 20)
  assert.equal(bucket.take(20), 5)
  assert.equal(bucket.take(20), 0)
  clock.ms += 99
  assert.equal(bucket.take(20), 0)
  clock.ms += 1
  assert.equal(bucket.take(20), 1)
  clock.ms += 60_000
  assert.equal(bucket.take(100), 25)
})

test('rate limit: the default burst is the events of one period; a request for none takes none', () => {
  const bucket = new TokenBucket({ events: 3, per: 60_000, burst: 3 }, new Hand())
  assert.equal(bucket.take(0), 0)
  assert.equal(bucket.take(10), 3)
})

test('rate limit: over any time at most the burst and the rate pass, and no fewer if more are requested', () => {
  const steps = fc.array(fc.tuple(fc.nat(3000), fc.nat(50)), { maxLength: 60 })
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 1, max: 100 }), steps, (events, burst, all) => {
      const clock = new Hand()
      const bucket = new TokenBucket({ events, per: 1000, burst }, clock)
      let passed = 0
      let elapsed = 0
      let always = true
      for (const [ms, count] of all) {
        clock.ms += ms
        elapsed += ms
        const got = bucket.take(count)
        assert.ok(got >= 0 && got <= count)
        passed += got
        if (got < count) always = false
        assert.ok(passed <= burst + (elapsed * events) / 1000 + 1e-6)
      }
      const asked = all.reduce((sum, [, count]) => sum + count, 0)
      assert.equal(passed === asked, always)
    }),
  )
})

test('rate limit: with constant requests it passes the whole rate', () => {
  const clock = new Hand()
  const bucket = new TokenBucket({ events: 7, per: 1000, burst: 7 }, clock)
  let passed = 0
  for (let i = 0; i < 10_000; i++) {
    clock.ms += 10
    passed += bucket.take(5)
  }
  assert.ok(Math.abs(passed - 707) <= 1, `${passed}`)
})
