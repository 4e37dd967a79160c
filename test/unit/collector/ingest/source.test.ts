/** The ring as chunks: pulled, never pushed; read a little after a wakeup; drained at the end. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Reading, chunks } from '../../../../collector/ingest/source.ts'
import type { RingReader } from '../../../../native/types.ts'

class FakeRing implements RingReader {
  readonly waiting: Buffer[] = []
  reads = 0
  failure: Error | undefined

  read(into: Uint8Array): number {
    this.reads++
    if (this.failure !== undefined) throw this.failure
    const next = this.waiting.shift()
    if (next === undefined) return 0
    into.set(next)
    return next.length
  }
  available = (): number => this.waiting.reduce((sum, { length }) => sum + length, 0)
  malformed = (): number => 0
  close(): void {}
  [Symbol.dispose](): void {}
}

interface Setup {
  readonly ring: FakeRing
  readonly source: AsyncGenerator<{ readonly bytes: Buffer; readonly length: number }>
  readonly stop: AbortController
  readonly reading: Reading
  wake(): void
  watches: number
  empty: number
  wantsTurn: boolean
  polls: boolean
}

/** A delay that no test reaches, unless it sets another. */
const NEVER_MS = 1_000_000
const WATERMARK_BYTES = 8

function setup(maxDelayMs = NEVER_MS): Setup {
  const ring = new FakeRing()
  const stop = new AbortController()
  const reading = new Reading()
  let woken: (() => void) | undefined
  const made: Setup = {
    ring,
    stop,
    reading,
    watches: 0,
    empty: 0,
    wantsTurn: false,
    polls: false,
    wake: () => woken?.(),
    source: chunks(
      {
        ring,
        watch: (wake) => {
          woken = wake
          made.watches++
          return { [Symbol.dispose]: () => void made.watches-- }
        },
        maxDelayMs,
        watermarkBytes: WATERMARK_BYTES,
        onEmpty: () => made.empty++,
        wantsTurn: () => made.wantsTurn,
        polls: () => made.polls,
        chunkBytes: 64,
        reading,
      },
      stop.signal,
    ),
  }
  return made
}

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))

test('source: exporters hold a chunk until the next pull', async () => {
  const s = setup()
  s.ring.waiting.push(Buffer.from([1]))
  await s.source.next()
  assert.equal(s.reading.held, true)
  const next = s.source.next()
  await turn()
  assert.equal(s.reading.held, false)
  s.wantsTurn = true
  s.wake()
  await next
  assert.equal(s.reading.held, true)
})

async function text(source: Setup['source']): Promise<string | undefined> {
  const { value, done } = await source.next()
  return done === true ? undefined : value.bytes.toString('latin1', 0, value.length)
}

test('source: reads nothing before it is pulled, and one chunk a pull', async () => {
  const s = setup()
  s.ring.waiting.push(Buffer.from('one'), Buffer.from('two'))
  await turn()
  assert.deepEqual([s.ring.reads, s.watches], [0, 0])
  assert.equal(await text(s.source), 'one')
  await turn()
  assert.equal(s.ring.waiting.length, 1)
  assert.equal(await text(s.source), 'two')
  s.stop.abort()
  await s.source.return(undefined)
})

test('source: the event loop runs between two chunks', async () => {
  const s = setup()
  s.ring.waiting.push(Buffer.from('one'), Buffer.from('two'))
  await s.source.next()
  let turned = false
  setImmediate(() => (turned = true))
  await s.source.next()
  assert.ok(turned)
  await s.source.return(undefined)
})

test('source: an empty ring has no timer', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  const s = setup(50)
  const next = text(s.source)
  await turn()
  s.ring.waiting.push(Buffer.from('unsaid'))
  context.mock.timers.tick(NEVER_MS)
  await turn()
  assert.deepEqual([s.ring.reads, s.empty], [1, 1])
  s.stop.abort()
  assert.equal(await next, 'unsaid')
  await s.source.return(undefined)
})

test('source: after a wakeup records gather for the delay, and one read takes them', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  const s = setup(50)
  const next = text(s.source)
  await turn()
  s.ring.waiting.push(Buffer.from('first'))
  s.wake()
  await turn()
  context.mock.timers.tick(49)
  await turn()
  assert.equal(s.ring.reads, 1)
  context.mock.timers.tick(1)
  assert.equal(await next, 'first')
  await s.source.return(undefined)
})

test('source: with the watermark passed the ring is read at once, before the delay and during it', async () => {
  const before = setup()
  const first = text(before.source)
  await turn()
  before.ring.waiting.push(Buffer.from('12345678'))
  before.wake()
  assert.equal(await first, '12345678')
  await before.source.return(undefined)
  const during = setup()
  const next = text(during.source)
  await turn()
  during.ring.waiting.push(Buffer.from('1234567'))
  during.wake()
  await turn()
  during.ring.waiting.push(Buffer.from('8'))
  during.wake()
  assert.equal(await next, '1234567')
  await during.source.return(undefined)
})

test('source: while it polls, the ring is read every delay without a wakeup', async () => {
  const s = setup(5)
  s.polls = true
  const next = text(s.source)
  await turn()
  s.wantsTurn = true
  assert.equal(await next, '')
  await s.source.return(undefined)
})

test('source: ends at once while records gather, with the records', async () => {
  const s = setup()
  const next = text(s.source)
  await turn()
  s.ring.waiting.push(Buffer.from('last'))
  s.wake()
  await turn()
  assert.equal(s.ring.reads, 1)
  s.stop.abort()
  assert.deepEqual([await next, await text(s.source)], ['last', undefined])
})

test('source: a wakeup with an empty ring yields no chunk', async () => {
  const s = setup()
  const next = text(s.source)
  for (let i = 0; i < 3; i++) {
    await turn()
    s.wake()
  }
  await turn()
  assert.equal(s.empty, 4)
  s.stop.abort()
  assert.equal(await next, undefined)
})

test('source: at the end it reads the rest, reports that the ring is empty, and closes its watch', async () => {
  const s = setup()
  s.ring.waiting.push(Buffer.from('one'), Buffer.from('two'))
  const first = await text(s.source)
  s.stop.abort()
  assert.deepEqual([first, await text(s.source), await text(s.source)], ['one', 'two', undefined])
  assert.deepEqual([s.empty, s.watches], [1, 0])
})

test('source: ends at once while it waits, and if it was stopped before it began', async () => {
  const waiting = setup()
  const next = text(waiting.source)
  await turn()
  waiting.stop.abort()
  assert.equal(await next, undefined)
  const over = setup()
  over.stop.abort()
  over.ring.waiting.push(Buffer.from('left'))
  assert.deepEqual([await text(over.source), await text(over.source)], ['left', undefined])
})

test('source: an error of the ring ends it with that error and closes its watch', async () => {
  const s = setup()
  s.ring.failure = new Error('RING_CLOSED')
  await assert.rejects(s.source.next(), /RING_CLOSED/)
  assert.equal(s.watches, 0)
})

test('source: ending the iteration closes the watch', async () => {
  const s = setup()
  s.ring.waiting.push(Buffer.from('one'))
  for await (const chunk of s.source) {
    assert.equal(chunk.length, 3)
    break
  }
  assert.equal(s.watches, 0)
})

test('source: an empty ring yields one empty chunk on request', async () => {
  const s = setup(5)
  const next = text(s.source)
  await turn()
  s.wantsTurn = true
  s.wake()
  assert.equal(await next, '')
  s.wantsTurn = false
  const after = text(s.source)
  await turn()
  s.ring.waiting.push(Buffer.from('more'))
  s.wake()
  assert.equal(await after, 'more')
  await s.source.return(undefined)
})

test('source: records that arrive during an empty chunk are read before the end', async () => {
  const s = setup()
  s.wantsTurn = true
  assert.equal(await text(s.source), '')
  s.wantsTurn = false
  s.ring.waiting.push(Buffer.from('last'))
  s.stop.abort()
  assert.deepEqual([await text(s.source), await text(s.source)], ['last', undefined])
})
