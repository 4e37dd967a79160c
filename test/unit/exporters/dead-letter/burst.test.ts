/** A sink that rejects much at once: a batch is settled only once its dead-letter records are written, or counted as lost. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DeadLetterFile } from '../../../../exporters/dead-letter/dead-letters.ts'
import type { Accounting } from '../../../../exporters/contract/accounting.ts'
import { Sender } from '../../../../exporters/sending/sender.ts'
import type { SenderDeps } from '../../../../exporters/sending/sender.ts'
import { openSpool } from '../../../../exporters/buffer/disk/spool.ts'
import { Disk } from '../../../simulation/spool/disk.ts'
import { Seeded } from '../../../simulation/spool/random.ts'
import { FakeClock, settle, until } from '../support/fake-clock.ts'
import { FaultyFiles } from '../support/faulty-files.ts'
import { Folder } from '../support/folder.ts'
import { FakeExporter, describedLines, lines, numbers } from '../support/lines.ts'
import { CHAIN } from '../../../support/exporter-config.ts'

const EVENTS = 20_000
const LINE_BYTES = 1500
const retry = { initial: 1, max: 10 }

interface Rig extends AsyncDisposable {
  readonly folder: Folder
  readonly files: FaultyFiles
  readonly clock: FakeClock
  readonly sender: Sender
  readonly exporter: FakeExporter
}

/** A sender whose sink rejects every event, or those for which `refuses` is true. */
async function rig(refuses: (id: number) => boolean = () => true, open?: SenderDeps['openSpool']): Promise<Rig> {
  const folder = new Folder()
  const files = new FaultyFiles()
  const clock = new FakeClock()
  const exporter = new FakeExporter(({ parts, count }) => {
    const which = numbers(0, count).filter((i) => refuses((parts[0]?.firstSeq ?? 0) + i))
    if (which.length === 0) return { status: 'delivered' }
    return { status: 'partial', refusals: [{ reason: 'too_old', events: which.length, which, message: 'too old' }] }
  })
  const config = { path: folder.at('refused.jsonl'), max_size: 1 << 30, max_files: 3 }
  const deadLetters = new DeadLetterFile(config, { exporter: 'loki', epoch: 'e1' }, { files, clock })
  const sender = new Sender(
    'loki',
    exporter,
    { ...CHAIN, retry },
    {
      clock,
      deadLetters,
      ...(open === undefined ? {} : { openSpool: open }),
    },
  )
  await sender.start()
  return { folder, files, clock, sender, exporter, [Symbol.asyncDispose]: async () => folder[Symbol.dispose]() }
}

/** Numbers of the events that have a record, sorted. */
function recorded({ folder }: Rig): number[] {
  return folder
    .names()
    .flatMap((name) => folder.read(name).split('\n').slice(0, -1))
    .map((line) => Number(/"seq":"e1-(\d+)"/.exec(line)?.[1]))
    .toSorted((a, b) => a - b)
}

function rejectedOf({ rejected }: Accounting): number {
  return Object.values(rejected).reduce((sum, n) => sum + n, 0)
}

function assertBalanced({ sender }: Rig): void {
  const accounting = sender.accounting()
  const dropped = Object.values(accounting.dropped).reduce((sum, n) => sum + n, 0)
  assert.equal(accounting.accepted, accounting.delivered + rejectedOf(accounting) + dropped + accounting.heldEvents)
  assert.equal(sender.imbalance(), 0)
}

/** Thousands of events. */
function offer({ sender }: Rig, events: number): void {
  for (let seq = 0; seq < events; seq += 1000) void sender.offer(lines(seq, 1000, LINE_BYTES))
}

test('dead-letter records: 20,000 events that are rejected at once are 20,000 records', async () => {
  await using all = await rig()
  offer(all, EVENTS)
  await until('all are settled', () => all.sender.accounting().heldEvents === 0)
  assertBalanced(all)
  await all.sender.stop(1000)
  assert.deepEqual(recorded(all), numbers(0, EVENTS))
  assert.equal(rejectedOf(all.sender.accounting()), EVENTS)
})

test('dead-letter records: a batch is held until its records are on the disk, then it is settled', async () => {
  await using all = await rig((id) => id % 2 === 0)
  const disk = all.files.hang('writev')
  offer(all, 3000)
  await until('a record is being written', () => disk.waiting > 0)
  await settle()
  assert.deepEqual(recorded(all), [])
  assert.equal(all.sender.accounting().heldEvents, 3000)
  assert.equal(all.exporter.calls, 1, 'a second batch is not sent meanwhile')
  assertBalanced(all)
  disk.release()
  await until('all are settled', () => all.sender.accounting().heldEvents === 0)
  assert.deepEqual(
    recorded(all),
    numbers(0, 3000).filter((id) => id % 2 === 0),
  )
  const { delivered, rejected } = all.sender.accounting()
  assert.deepEqual({ delivered, rejected }, { delivered: 1500, rejected: { too_old: 1500 } })
  await all.sender.stop(1000)
})

test('dead-letter records: a full disk delays a healthy sink for five seconds in all, and records without space are a counted loss', async () => {
  await using all = await rig((id) => id % 2 === 0)
  all.files.plan = (call) => (call === 'writev' ? 'ENOSPC' : undefined)
  offer(all, EVENTS)
  const startMs = all.clock.nowMs()
  await until('the disk has failed', () => (all.sender.stats().deadLetters?.['failures'] ?? 0) > 0)
  for (let i = 0; i < 1000 && all.sender.accounting().heldEvents > 0; i++) {
    if (all.clock.nowMs() - startMs < 5000) await all.clock.turn(100)
    else await settle()
    assertBalanced(all)
  }
  await until('all are settled', () => all.sender.accounting().heldEvents === 0)
  const { delivered, rejected, dropped } = all.sender.accounting()
  assert.deepEqual([delivered, rejected, dropped.dead_letter_failed], [EVENTS / 2, {}, EVENTS / 2])
  assertBalanced(all)
  await all.sender.stop(1000)
})

test('dead-letter records: a hanging disk does not delay the stop; without a spool its events are a counted loss', async () => {
  await using all = await rig((id) => id < 10)
  const disk = all.files.hang('writev')
  void all.sender.offer(lines(0, 150))
  await until('a record is being written', () => disk.waiting > 0)
  let stopped = false
  void all.sender.stop(2000).then(() => (stopped = true))
  await until('it has stopped', () => {
    void all.clock.turn(100)
    return stopped
  })
  const { delivered, dropped, heldEvents } = all.sender.accounting()
  assert.deepEqual([delivered, dropped.dead_letter_failed, heldEvents], [140, 10, 0])
  assertBalanced(all)
  disk.release()
})

test('dead-letter records: at a stop with a hanging disk the batch stays in the spool, and the next run writes its records', async () => {
  const disk = new Disk(new Seeded(1))
  const spool = {
    dir: '/spool',
    fsync: 'batch',
    max_size: 1 << 20,
    min_free: 0,
    segment_size: 16 << 20,
    epoch: 'e1',
  } as const
  const openIt: SenderDeps['openSpool'] = (onLoss) =>
    openSpool(spool, { files: disk.files, clock: new FakeClock(), random: () => 0.5, onLoss })
  {
    await using all = await rig((id) => id < 10, openIt)
    const writes = all.files.hang('writev')
    void all.sender.offer(describedLines(0, 100))
    await all.clock.turn(300)
    await until('a record is being written', () => writes.waiting > 0)
    let stopped = false
    void all.sender.stop(2000).then(() => (stopped = true))
    await until('it has stopped', () => {
      void all.clock.turn(100)
      return stopped
    })
    assert.equal(all.sender.accounting().heldEvents, 100)
    assertBalanced(all)
    writes.release()
  }
  disk.down = true
  disk.restart(true)
  await using all = await rig((id) => id < 10, openIt)
  // The file is on a real disk: an advanced clock would end the five seconds that its write may take.
  await until('all are settled', () => all.sender.accounting().heldEvents === 0)
  assert.deepEqual(recorded(all), numbers(0, 10))
  assert.equal(all.sender.accounting().delivered, 90)
  await all.sender.stop(0)
})
