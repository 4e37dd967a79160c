/** A sender with a spool, on a disk in memory. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Compress } from '../../../../exporters/runtime/compression.ts'
import type { Encoding, Outcome } from '../../../../exporters/contract/exporter.ts'
import type { Accounting, Lost } from '../../../../exporters/contract/accounting.ts'
import { Sender } from '../../../../exporters/sending/sender.ts'
import { frameOf } from '../../../../exporters/buffer/disk/format/payload.ts'
import type { SpoolFrame } from '../../../../exporters/buffer/disk/format/segment.ts'
import { openSpool } from '../../../../exporters/buffer/disk/spool.ts'
import type { Spool } from '../../../../exporters/buffer/disk/spool.ts'
import { Disk } from '../../../simulation/spool/disk.ts'
import { Seeded } from '../../../simulation/spool/random.ts'
import { zstdAtOnce } from '../support/compressors.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { FakeExporter, describedLines, gate, hold, lines, numbers, retryable } from '../support/lines.ts'
import { SPOOL } from '../../../support/exporter-config.ts'
import type { ChainConfig } from '../../../../exporters/sending/config.ts'

const BASE: ChainConfig = {
  queue: { max_bytes: 100_000, max_events: 100, when_full: 'drop_newest' },
  batch: { max_events: 4, max_bytes: 1000, max_wait: 200 },
  retry: { initial: 100, max: 1000 },
  timeout: 60_000,
}

/** Size of an event; four of them get memory of their own when they are read. */
const LONG_LINE = 50_000

class Rig {
  readonly clock = new FakeClock()
  readonly disk = new Disk(new Seeded(1))
  exporter = new FakeExporter()
  encoding: Encoding = 'json'
  /** Failures of the sender that was started last. */
  failures: string[] = []
  sender: Sender = new Sender('none', this.exporter, BASE)
  spoolBytes = 1 << 20
  segmentBytes = 16 << 20
  readonly lost: Lost[] = []
  readonly spoolFailures: string[] = []
  readonly #options: ChainConfig
  readonly #zstd: Compress | undefined

  constructor(options: ChainConfig = BASE, zstd?: Compress) {
    this.#options = options
    this.#zstd = zstd
  }

  async start(answer?: FakeExporter['answer']): Promise<Sender> {
    const { clock } = this
    this.exporter = new FakeExporter(answer)
    this.exporter.encoding = this.encoding
    this.failures = []
    const { failures } = this
    this.sender = new Sender('test', this.exporter, this.#options, {
      clock,
      random: () => 0.5,
      onLost: (lost) => this.lost.push(lost),
      onSpoolFailure: (error) => this.spoolFailures.push(error),
      onFailure: (failure, error) => failures.push(`${failure} ${error}`),
      openSpool: (onLoss) =>
        openSpool(
          {
            dir: '/spool',
            fsync: 200,
            max_size: this.spoolBytes,
            min_free: 0,
            segment_size: this.segmentBytes,
            epoch: 'e',
          },
          { files: this.disk.files, clock, random: () => 0.5, onLoss, zstd: this.#zstd },
        ),
    })
    await this.sender.start()
    return this.sender
  }

  /** Advances the clock far enough for everything in progress. */
  async run(ms = 300): Promise<void> {
    for (let i = 0; i < 10; i++) await this.clock.turn(ms / 10)
  }

  async stop(graceMs = 1000): Promise<Accounting> {
    const stopping = this.sender.stop(graceMs)
    await this.run(graceMs + 2000)
    await stopping
    return this.sender.accounting()
  }
}

function offer(sender: Sender, from: number, to: number): void {
  for (let id = from; id < to; id += 4) void sender.offer(describedLines(id, Math.min(4, to - id)))
}

test('overflow: while the sink accepts events, nothing is written', async () => {
  const rig = new Rig()
  const sender = await rig.start()
  offer(sender, 0, 20)
  await rig.run()
  assert.deepEqual(rig.exporter.ids, numbers(0, 20))
  assert.equal(sender.stats().spool?.appended, 0)
})

test('overflow: events beyond the queue are written, and sent after it, in order', async () => {
  const rig = new Rig()
  const { answer, open } = gate()
  let answered = 0
  const sender = await rig.start((...args) => (answered++ < 1 ? answer(...args) : { status: 'delivered' }))
  offer(sender, 0, 80)
  await rig.run()
  const { queueEvents, heldEvents } = sender.accounting()
  assert.equal(heldEvents, 80)
  assert.equal(queueEvents, 4, 'only in-flight events are in memory')
  open({ status: 'delivered' })
  await rig.run()
  assert.deepEqual(rig.exporter.ids, numbers(0, 80))
  assert.equal(sender.imbalance(), 0)
  assert.equal(sender.stats().spool?.events, 0, 'the copy of the in-flight events is skipped')
})

test('overflow: once the sink fails, all held events are on the disk, in-flight ones too', async () => {
  const rig = new Rig()
  const sender = await rig.start(() => retryable())
  offer(sender, 0, 12)
  await rig.run(50)
  offer(sender, 12, 20)
  await rig.run()
  assert.equal(sender.stats().spool?.appended, 20)
  assert.equal(sender.accounting().state, 'retrying')
  // The process ends; the next one has everything.
  rig.disk.down = true
  rig.disk.restart(true)
  const next = await rig.start()
  await rig.run()
  assert.deepEqual(rig.exporter.ids, numbers(0, 20))
  assert.equal(next.imbalance(), 0)
})

const ENDS: ReadonlyArray<readonly [name: string, answer: () => Outcome]> = [
  ['is down', () => retryable()],
  ['needs manual action', () => hold()],
]
for (const [name, answer] of ENDS) {
  test(`overflow: a stop while the sink ${name} is fast, keeps all events on the disk and drops none`, async () => {
    const rig = new Rig()
    const sender = await rig.start(answer)
    offer(sender, 0, 30)
    await rig.run()
    const stopping = sender.stop(60_000)
    await rig.run(1500)
    await stopping
    const { heldEvents, queueEvents, dropped } = sender.accounting()
    assert.deepEqual([heldEvents, queueEvents, dropped.shutdown], [30, 0, 0])
    await rig.start()
    assert.equal(rig.sender.accounting().accepted, 30)
    await rig.run()
    assert.deepEqual(rig.exporter.ids, numbers(0, 30))
  })
}

test('overflow: a stop sends events within the grace period and keeps the rest', async () => {
  const rig = new Rig()
  const { answer } = gate()
  const sender = await rig.start((...args) => (args[1] < 2 ? { status: 'delivered' } : answer(...args)))
  offer(sender, 0, 20)
  await rig.run(50)
  const accounting = await rig.stop(500)
  assert.deepEqual([accounting.delivered, accounting.heldEvents, accounting.dropped.shutdown], [8, 12, 0])
  await rig.start()
  await rig.run()
  assert.deepEqual(rig.exporter.ids, numbers(8, 20))
})

test('overflow: events of a batch that are acknowledged at a stop are delivered, and only the rest is kept', async () => {
  const rig = new Rig({ ...BASE, batch: { ...BASE.batch, max_events: 10 } })
  const answer: FakeExporter['answer'] = (_batch, _call, signal) =>
    new Promise((resolve) => {
      const outcome = retryable({ taken: 1, unacknowledged: 0, acknowledged: [3, 4, 9] })
      signal.addEventListener('abort', () => resolve(outcome), { once: true })
    })
  const sender = await rig.start(answer)
  offer(sender, 0, 10)
  await rig.run(50)
  offer(sender, 10, 12)
  const { delivered, heldEvents, dropped } = await rig.stop(500)
  assert.deepEqual([delivered, heldEvents, dropped.shutdown, sender.imbalance()], [4, 8, 0, 0])
  await rig.start()
  await rig.run()
  assert.deepEqual(rig.exporter.ids, [1, 2, 5, 6, 7, 8, 10, 11])
})

test('overflow: new events never pass a spool that is not empty', async () => {
  const rig = new Rig()
  const first = await rig.start(() => retryable())
  offer(first, 0, 8)
  await rig.run()
  await rig.stop()
  const next = await rig.start()
  offer(next, 8, 16)
  await rig.run()
  assert.deepEqual(rig.exporter.ids, numbers(0, 16))
})

test('overflow: events offered before the start come after those of the spool', async () => {
  const rig = new Rig()
  const first = await rig.start(() => retryable())
  offer(first, 0, 8)
  await rig.run()
  await rig.stop()
  const starting = rig.start()
  offer(rig.sender, 8, 12)
  await starting
  await rig.run()
  assert.deepEqual(rig.exporter.ids, numbers(0, 12))
})

test('overflow: always means that every event is written to the disk', async () => {
  const rig = new Rig({ ...BASE, spool: { ...SPOOL, use: 'always' } })
  const sender = await rig.start()
  offer(sender, 0, 20)
  await rig.run()
  assert.equal(sender.stats().spool?.appended, 20)
  assert.deepEqual(rig.exporter.ids, numbers(0, 20))
  offer(sender, 20, 22)
  const accounting = await rig.stop()
  assert.deepEqual([accounting.delivered, accounting.heldEvents], [22, 0], 'a stop also sends events just offered')
})

test('overflow: a failing disk is bypassed, in order, and reported', async () => {
  const rig = new Rig()
  const { answer, open } = gate()
  let answered = 0
  const sender = await rig.start((...args) => (answered++ < 1 ? answer(...args) : { status: 'delivered' }))
  rig.disk.faults.write = 1
  offer(sender, 0, 60)
  await rig.run()
  assert.match(sender.accounting().lastError, /cannot write the spool/)
  open({ status: 'delivered' })
  await rig.run(5000)
  assert.deepEqual(rig.exporter.ids, numbers(0, 60))
  assert.equal(sender.imbalance(), 0)
})

test('overflow: events offered while a failing disk is bypassed do not wait for its next try', async () => {
  const rig = new Rig({ ...BASE, spool: { ...SPOOL, use: 'always' } })
  const { answer, open } = gate()
  let answered = 0
  const sender = await rig.start((...args) => (answered++ < 1 ? answer(...args) : { status: 'delivered' }))
  offer(sender, 0, 8)
  await rig.run()
  rig.disk.faults.write = 1
  offer(sender, 8, 12)
  await rig.run(20)
  open({ status: 'delivered' })
  await rig.run(100)
  assert.deepEqual(rig.exporter.ids, numbers(0, 12))
  offer(sender, 12, 16)
  await rig.run(100)
  assert.deepEqual(rig.exporter.ids, numbers(0, 16))
  assert.equal(sender.imbalance(), 0)
})

test('overflow: a stop keeps the part of an in-flight batch that a full disk accepted, and drops the rest', async () => {
  const one = new Rig()
  void (await one.start(() => retryable())).offer(describedLines(0, 2))
  await one.run()
  const rig = new Rig()
  rig.segmentBytes = 100
  const sender = await rig.start(gate().answer)
  for (const id of [0, 2]) void sender.offer(describedLines(id, 2))
  await rig.run()
  rig.disk.faults.capacity = one.disk.used
  const { heldEvents, dropped } = await rig.stop()
  assert.deepEqual([heldEvents, dropped.shutdown], [2, 2])
  assert.equal(rig.sender.imbalance(), 0)
  rig.disk.faults.capacity = Infinity
  await rig.start()
  await rig.run()
  assert.deepEqual(rig.exporter.ids, [0, 1])
})

test('overflow: when neither disk nor memory has space, dropped events are counted by cause', async () => {
  const rig = new Rig()
  const sender = await rig.start(() => retryable())
  rig.disk.faults.write = 1
  offer(sender, 0, 40)
  await rig.run()
  offer(sender, 40, 400)
  const { dropped, heldEvents } = sender.accounting()
  assert.equal(dropped.spool_failed + heldEvents, 400)
  assert.ok(dropped.spool_failed > 0, JSON.stringify(dropped))
  assert.equal(sender.imbalance(), 0)
})

for (const use of ['overflow', 'always'] as const) {
  for (const maxEvents of [100, 30]) {
    test(`${use}: once a full disk has space again, it takes all events although the sink stays away; queue of ${maxEvents}`, async () => {
      const rig = new Rig({ ...BASE, queue: { ...BASE.queue, max_events: maxEvents }, spool: { ...SPOOL, use } })
      let away = true
      const sender = await rig.start(() => (away ? retryable() : { status: 'delivered' }))
      const offerSlowly = async (begin: number, end: number): Promise<void> => {
        for (let from = begin; from < end; from += 20) {
          offer(sender, from, from + 20)
          await rig.run(50)
        }
      }
      rig.disk.faults.capacity = 0
      await offerSlowly(0, 200)
      const full = sender.accounting()
      assert.ok(full.dropped.spool_full + full.dropped.spool_failed > 0, JSON.stringify(full.dropped))
      rig.disk.faults.capacity = Infinity
      await rig.run(1100)
      await offerSlowly(200, 600)
      assert.deepEqual(sender.accounting().dropped, full.dropped)
      const { spool } = sender.stats()
      assert.equal(spool?.events, sender.accounting().heldEvents, 'all are on the disk')
      away = false
      await rig.run(5000)
      assert.deepEqual(rig.exporter.ids.slice(-400), numbers(200, 600))
      assert.deepEqual(
        rig.exporter.ids,
        rig.exporter.ids.toSorted((a, b) => a - b),
      )
      assert.equal(sender.imbalance(), 0)
    })
  }
}

test('overflow: block waits for the disk, not for the sink', async () => {
  const rig = new Rig({ ...BASE, queue: { ...BASE.queue, when_full: 'block' } })
  const sender = await rig.start(() => retryable())
  const waits: Array<Promise<void>> = []
  for (let id = 0; id < 400; id += 4) {
    const wait = sender.offer(describedLines(id, 4))
    if (wait !== undefined) waits.push(wait)
  }
  assert.ok(waits.length > 0)
  await rig.run()
  await Promise.all(waits)
  assert.equal(sender.accounting().heldEvents, 400)
  assert.equal(sender.stats().spool?.appended, 400)
})

/** Puts frames into the spool of a rig whose sender has stopped. */
async function inject(rig: Rig, ...frames: readonly SpoolFrame[]): Promise<void> {
  const spool = await openSpool(
    { dir: '/spool', fsync: 'batch', max_size: 1 << 20, min_free: 0, segment_size: 16 << 20, epoch: 'e' },
    { files: rig.disk.files, clock: rig.clock, random: () => 0.5 },
  )
  assert.equal((await spool.append(frames)).status, 'written')
  await spool.close()
}

test('overflow: events in an encoding that the exporter no longer has are held in order, and sent when it has that encoding again', async () => {
  const rig = new Rig()
  const first = await rig.start(() => retryable())
  offer(first, 0, 8)
  await rig.run()
  await rig.stop()
  rig.encoding = 'compact'
  const next = await rig.start()
  void next.offer({ ...describedLines(8, 4), encoding: 'compact' })
  await rig.run(5000)
  const { state, lastError, heldEvents, retries, rejected, dropped } = next.accounting()
  assert.deepEqual([rig.exporter.calls, state, heldEvents, rejected, dropped.corrupt], [0, 'hold', 12, {}, 0])
  assert.equal(retries, 0, 'nothing was sent again')
  assert.match(
    lastError,
    /^the spool has events that this exporter cannot send: expected events encoded as compact, got "json": /,
  )
  assert.match(
    lastError,
    /use that one again, or stop the agent and move the events with ktrail spool replay --to EXPORTER --remove$/,
  )
  assert.deepEqual([rig.failures, next.imbalance()], [[`hold ${lastError}`], 0])
  await rig.stop()
  rig.encoding = 'json'
  const back = await rig.start()
  await rig.run()
  assert.deepEqual(rig.exporter.ids, numbers(0, 8))
  assert.deepEqual([back.accounting().state, back.accounting().heldEvents, back.imbalance()], ['hold', 4, 0])
})

test('overflow: events of another release are held, damaged ones are rejected', async () => {
  const rig = new Rig()
  const newer = frameOf(describedLines(8, 4))
  newer.parts[0]?.fill(255, 0, 1)
  const spoilt = { parts: [Buffer.alloc(10)], count: 4, first: 0, last: 3 }
  await inject(rig, spoilt, frameOf(describedLines(4, 4)), newer)
  const sender = await rig.start()
  await rig.run()
  const { rejected, state, lastError, heldEvents } = sender.accounting()
  assert.deepEqual([rejected, rig.exporter.ids, state, heldEvents], [{ unreadable: 4 }, numbers(4, 8), 'hold', 4])
  assert.match(
    lastError,
    /expected events of version 2, got version 255: written by another release; use that one again/,
  )
  assert.equal(sender.imbalance(), 0)
})

test('overflow: an event without a description is reported as an internal error', async () => {
  const rig = new Rig({ ...BASE, spool: { ...SPOOL, use: 'always' } })
  const sender = await rig.start()
  assert.throws(() => void sender.offer(lines(0, 4)), /expected described events/)
})

test('overflow: events older than the limit are dropped as expired when they are read from the spool', async () => {
  const rig = new Rig({ ...BASE, retry: { ...BASE.retry, max_age: 5000 } })
  const { clock } = rig
  const first = await rig.start(() => retryable())
  void first.offer(describedLines(0, 4, clock.wallMs()))
  await rig.run(100)
  await rig.stop()
  await clock.turn(10_000)
  const next = await rig.start()
  void next.offer(describedLines(4, 4, clock.wallMs()))
  await rig.run()
  assert.deepEqual(rig.exporter.ids, numbers(4, 8))
  assert.equal(next.accounting().dropped.expired, 4)
})

for (const [name, releases, answers, freed] of [
  ['an exporter that copies, taken at once', true, [{ status: 'delivered' }], true],
  ['an exporter that keeps slices', false, [{ status: 'delivered' }], false],
  ['a second try: the first may still be read', true, [retryable(), { status: 'delivered' }], false],
  [
    'a batch that is taken in part',
    true,
    [{ status: 'partial', refusals: [{ reason: 'r', events: 1, message: 'm' }] }],
    false,
  ],
] as const satisfies ReadonlyArray<readonly [string, boolean, readonly Outcome[], boolean]>) {
  test(`overflow: the memory of events read is ${freed ? '' : 'not '}released at once for ${name}`, async () => {
    const wide = { queue: { ...BASE.queue, max_bytes: 10 << 20 }, batch: { ...BASE.batch, max_bytes: 1 << 20 } }
    const rig = new Rig({ ...BASE, ...wide, spool: { ...SPOOL, use: 'always' } }, zstdAtOnce)
    const seen: Uint8Array[] = []
    const script: readonly Outcome[] = answers
    const sender = await rig.start((batch, call) => {
      seen.push(...batch.parts.map(({ bytes }) => bytes))
      return script[call] ?? { status: 'delivered' }
    })
    rig.exporter.releases = releases
    void sender.offer(describedLines(0, 4, 0, LONG_LINE))
    await rig.run(5000)
    assert.equal(sender.accounting().heldEvents, 0)
    assert.deepEqual(
      seen.map(({ length }) => length > 0),
      answers.map(() => !freed),
    )
    await rig.stop()
  })
}

test('overflow: a stop ends although the disk does not answer a read', async () => {
  const rig = new Rig()
  const first = await rig.start(() => retryable())
  offer(first, 0, 40)
  await rig.run()
  await rig.stop()
  const sender = await rig.start()
  rig.disk.freeze()
  let ended = false
  const stopping = sender.stop(1000).then(() => (ended = true))
  await rig.run(15_000)
  assert.equal(ended, true)
  await stopping
  assert.equal(sender.imbalance(), 0)
  assert.equal(sender.accounting().heldEvents, 40, 'they stay on the disk')
})

test('overflow: a hanging write is reported, awaited, and not overtaken', async () => {
  const rig = new Rig()
  let fails = 1
  const sender = await rig.start(() => (fails-- > 0 ? retryable() : { status: 'delivered' }))
  rig.disk.freeze()
  offer(sender, 0, 40)
  await rig.run(60_000)
  offer(sender, 40, 400)
  assert.match(sender.accounting().lastError, /disk has not answered for 30 s/)
  assert.deepEqual(rig.spoolFailures.length, 1)
  assert.ok(sender.accounting().dropped.spool_failed > 0, 'events without space must be counted as spool_failed')
  rig.disk.thaw()
  await rig.run(5000)
  const { heldEvents, lastError } = sender.accounting()
  assert.deepEqual([heldEvents, lastError, rig.spoolFailures.at(-1)], [0, '', ''])
  assert.deepEqual(
    rig.exporter.ids,
    rig.exporter.ids.toSorted((a, b) => a - b),
  )
  assert.equal(sender.imbalance(), 0)
})

test('overflow: an event that is larger than the small queue before a spool is written to the disk', async () => {
  const rig = new Rig()
  const sender = await rig.start()
  sender.offer(describedLines(0, 1, 0, 20_000))
  await rig.run()
  assert.deepEqual(rig.exporter.ids, [0])
  assert.equal(sender.accounting().delivered, 1)
})

test('overflow: events that a full spool drops are reported by number', async () => {
  const rig = new Rig()
  rig.spoolBytes = 3000
  const sender = await rig.start(() => retryable())
  offer(sender, 0, 400)
  for (let id = 400; id < 2000; id += 40) {
    await rig.run()
    offer(sender, id, id + 40)
  }
  await rig.run()
  const { spool_full: full } = sender.accounting().dropped
  assert.ok(full > 0)
  const reported = rig.lost.filter(({ reason }) => reason === 'spool_full')
  assert.ok(reported.length > 0)
  for (const { firstSeq, lastSeq, epoch } of reported) {
    assert.ok(firstSeq <= lastSeq && lastSeq < 2000)
    assert.equal(epoch, 'e')
  }
})

test('overflow: under memory pressure, events are written to the disk while the sink works; at the hard limit they are dropped and counted', async () => {
  const rig = new Rig()
  const sender = await rig.start()
  sender.pressure = 'soft'
  offer(sender, 0, 40)
  await rig.run()
  assert.deepEqual([sender.stats().spool?.appended, sender.accounting().delivered], [40, 40])
  sender.pressure = 'hard'
  offer(sender, 40, 60)
  await rig.run()
  assert.equal(sender.accounting().dropped.memory, 20)
  sender.pressure = 'none'
  offer(sender, 60, 80)
  await rig.run()
  assert.deepEqual(rig.exporter.ids, [...numbers(0, 40), ...numbers(60, 80)])
  assert.equal(sender.stats().spool?.appended, 40)
  assert.equal(sender.imbalance(), 0)
})

test('spooling sender: a stop while the spool opens closes the spool then, and the sink is not opened', async () => {
  const clock = new FakeClock()
  const opening = Promise.withResolvers<Spool>()
  let starts = 0
  const exporter = Object.assign(new FakeExporter(), { start: async () => void starts++ })
  const sender = new Sender('test', exporter, BASE, { clock, openSpool: () => opening.promise })
  const started = sender.start()
  await sender.stop(0)
  const { files } = new Disk(new Seeded(1))
  const limits = { fsync: 200, max_size: 1 << 20, min_free: 0, segment_size: 16 << 20 }
  const spool = await openSpool({ dir: '/spool', epoch: 'e', ...limits }, { files, clock, random: () => 0.5 })
  opening.resolve(spool)
  await started
  assert.equal(starts, 0)
  assert.equal((await spool.append([])).status, 'failed')
})
