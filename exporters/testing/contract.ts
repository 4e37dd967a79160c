/**
 * The tests that every exporter passes, for node:test. They compare ids: every event arrives, once and in order, or is counted.
 * The scenarios use fixed seeds, so that failures are reproducible.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { effectiveExporter } from '../../config/agent/effective.ts'
import { exporterSchema } from '../../config/agent/exporters/exporters.ts'
import type { Batch, Encoded } from '../contract/exporter.ts'
import { batchOf } from '../contract/encoded.ts'
import { Sender } from '../sending/sender.ts'
import type { Harness } from './harness.ts'
import { lines, numbers } from './lines.ts'
import { scenario } from './scenario.ts'
import { WatchedExporter } from './watched.ts'

const NEVER = new AbortController().signal
const ENCODINGS = ['json', 'compact', 'otlp', 'otlp_json']
/** "Settles soon": time that the agent waits for an aborted exporter. */
const SOON_MS = 1000
const DEADLINE_MS = 10_000
const SCENARIOS = 40
const DEFAULTS = effectiveExporter(exporterSchema.parse({ type: 'stdout' }), {}).config
const SENDER = {
  ...DEFAULTS,
  queue: { ...DEFAULTS.queue, when_full: 'block' },
  batch: { max_events: 16, max_bytes: 4096, max_wait: 0 },
  retry: { initial: 0, max: 0 },
  timeout: 60_000,
} as const

const NO_STALL =
  'harness.stall: expected a function that stops the sink from answering (see Silence) or returns why it cannot, got none'

/** A harness with its exporter watched. */
interface Rig extends AsyncDisposable {
  readonly harness: Harness
  readonly exporter: WatchedExporter
  batch(firstSeq: number, ...counts: number[]): Batch
  encode(firstSeq: number, count: number): Encoded
  /** Fails unless the sink has the events 0 to `count`, by the rules of this exporter. */
  has(count: number): Promise<void>
}

/**
 * Registers the tests for the exporter of type `kind`. Each test calls `make` at least once and disposes the result.
 * `scenarios`: how many run behind a sender; fewer for a slow sink.
 */
export function contract(kind: string, make: () => Harness | Promise<Harness>, scenarios = SCENARIOS): void {
  test(`contract, ${kind}: has a type, an encoding and a concurrency`, async () => {
    await using rig = await rigOf(make)
    const { type, encoding, maxConcurrency } = rig.exporter
    assert.equal(type, kind)
    assert.ok(ENCODINGS.includes(encoding), `encoding: expected one of ${ENCODINGS.join(', ')}, got ${encoding}`)
    assert.ok(Number.isInteger(maxConcurrency) && maxConcurrency >= 1, `maxConcurrency: ${maxConcurrency}`)
  })

  test(`contract, ${kind}: a batch of many parts arrives whole, once and in order`, async () => {
    await using rig = await rigOf(make)
    await rig.exporter.start()
    const sent = rig.batch(0, ...numbers(0, 50).map(() => 3))
    assert.deepEqual(await rig.exporter.send(sent, NEVER), { status: 'delivered' })
    await rig.has(150)
  })

  test(`contract, ${kind}: does not write into the bytes it is given`, async () => {
    await using rig = await rigOf(make)
    await rig.exporter.start()
    const sent = rig.batch(0, 3)
    const hex = (): string => sent.parts.map(({ bytes }) => Buffer.from(bytes).toString('hex')).join(' ')
    const before = hex()
    await rig.exporter.send(sent, NEVER)
    assert.equal(hex(), before)
  })

  test(`contract, ${kind}: takes maxConcurrency sends at once`, async () => {
    await using rig = await rigOf(make)
    await rig.exporter.start()
    const calls = numbers(0, Math.min(rig.exporter.maxConcurrency, 8))
    const outcomes = await Promise.all(calls.map((i) => rig.exporter.send(rig.batch(i * 5, 5), NEVER)))
    for (const outcome of outcomes) assert.deepEqual(outcome, { status: 'delivered' })
    await rig.has(calls.length * 5)
  })

  test(`contract, ${kind}: a send that is aborted from the start takes nothing and can be repeated`, async () => {
    await using rig = await rigOf(make)
    await rig.exporter.start()
    const sent = rig.batch(0, 5)
    assert.equal((await rig.exporter.send(sent, AbortSignal.abort())).status, 'retryable')
    assert.deepEqual(await rig.exporter.send(sent, NEVER), { status: 'delivered' })
    await rig.has(5)
  })

  test(`contract, ${kind}: a send that is aborted on its way settles soon, and its events can be sent again`, async (t) => {
    await using rig = await rigOf(make)
    // A harness in JavaScript may not have it.
    assert.equal(typeof rig.harness.stall, 'function', NO_STALL)
    const stall = rig.harness.stall()
    if (typeof stall === 'string') return t.skip(`${kind}: ${stall}`)
    await rig.exporter.start()
    const sent = rig.batch(0, 5)
    const stop = new AbortController()
    const sending = rig.exporter.send(sent, stop.signal)
    await atMost(DEADLINE_MS, 'the exporter calls its sink', stall.reached)
    stop.abort()
    assert.equal((await atMost(SOON_MS, 'the aborted send settles', sending)).status, 'retryable')
    stall.release()
    assert.deepEqual(await rig.exporter.send(sent, NEVER), { status: 'delivered' })
    // The sink may or may not have taken the first send.
    assert.deepEqual([...new Set(await rig.harness.ids())].toSorted(ascending), numbers(0, 5))
  })

  test(`contract, ${kind}: stopping twice is fine, and a send after it is an outcome, not an exception`, async () => {
    await using rig = await rigOf(make)
    await rig.exporter.start()
    await rig.exporter.stop()
    await rig.exporter.stop()
    const { status } = await rig.exporter.send(rig.batch(0, 1), NEVER)
    assert.ok(status === 'retryable' || status === 'hold', `expected retryable or hold, got ${status}`)
    await rig.has(0)
  })

  test(`contract, ${kind}: can be stopped without having been started, and by await using`, async () => {
    await using rig = await rigOf(make)
    await rig.exporter.stop()
    await using other = await rigOf(make)
    {
      await using exporter = other.exporter
      await exporter.start()
    }
    const { status } = await other.exporter.send(other.batch(0, 1), NEVER)
    assert.ok(status === 'retryable' || status === 'hold', `expected retryable or hold, got ${status}`)
  })

  test(`contract, ${kind}: behind a sender, whenever the sink fails, no event is lost, doubled or uncounted`, async () => {
    for (const seed of numbers(1, scenarios + 1)) {
      await using rig = await rigOf(make)
      const sender = new Sender(kind, rig.exporter, SENDER)
      await sender.start()
      let seq = 0
      for (const { events, fail } of scenario(seed)) {
        rig.harness.fail(fail)
        void sender.offer(rig.encode(seq, events))
        seq += events
        assert.equal(sender.imbalance(), 0, `seed ${seed}`)
      }
      await until(`all of seed ${seed} is delivered`, () => sender.accounting().heldEvents === 0)
      await sender.stop(SOON_MS)
      assert.equal(sender.imbalance(), 0, `seed ${seed}`)
      assert.equal(sender.accounting().delivered, seq, `seed ${seed}: ${sender.accounting().lastError}`)
      await rig.has(seq)
      for (const [name, value] of Object.entries(rig.exporter.counters)) {
        assert.match(name, /^[a-z][a-z0-9_]*$/, 'counters become labels of a metric')
        assert.ok(Number.isFinite(value), `counter ${name}: ${value}`)
      }
    }
  })
}

async function rigOf(make: () => Harness | Promise<Harness>): Promise<Rig> {
  const harness = await make()
  const exporter = new WatchedExporter(harness.exporter)
  const encode = (firstSeq: number, count: number): Encoded =>
    harness.encode?.(firstSeq, count) ?? { ...lines(firstSeq, count), encoding: exporter.encoding }
  return {
    harness,
    exporter,
    encode,
    batch: (firstSeq, ...counts) => {
      let seq = firstSeq
      return batchOf(counts.map((count) => encode((seq += count) - count, count)))
    },
    has: async (count) => {
      const ids = await harness.ids()
      const first = harness.repeats === true ? [...new Set(ids)] : ids
      const inOrder = exporter.maxConcurrency === 1 ? first : first.toSorted(ascending)
      assert.deepEqual(inOrder, numbers(0, count))
    },
    [Symbol.asyncDispose]: async () => {
      await exporter.stop()
      await harness[Symbol.asyncDispose]?.()
      harness[Symbol.dispose]?.()
      assert.deepEqual(exporter.broken, [])
    },
  }
}

const ascending = (a: number, b: number): number => a - b

async function atMost<T>(ms: number, what: string, work: Promise<T>): Promise<T> {
  const over = new AbortController()
  const late = setTimeout(ms, undefined, { signal: over.signal }).then(() => {
    throw new Error(`timed out after ${ms} ms waiting until ${what}`)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    late.catch(() => {})
    over.abort()
  }
}

async function until(what: string, condition: () => boolean): Promise<void> {
  const end = performance.now() + DEADLINE_MS
  while (!condition()) {
    if (performance.now() > end) throw new Error(`timed out after ${DEADLINE_MS} ms waiting until ${what}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
}
