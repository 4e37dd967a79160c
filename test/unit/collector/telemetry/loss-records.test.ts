/** Losses become records: added up, at most one every ten seconds, and never because of loss records alone. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pino } from 'pino'
import type { Event } from '../../../../exporters/contract/event.ts'
import { LostRanges } from '../../../../collector/delivery/lost-ranges.ts'
import { LossRecords } from '../../../../collector/telemetry/loss-records.ts'
import type { LossDraft } from '../../../../collector/telemetry/loss-records.ts'
import { createJsonEncoder, FanOut, Sender } from '../../../../exporters/index.ts'
import { makeExec, makeLoss } from '../../exporters/support/events.ts'
import { FakeClock, settle } from '../../exporters/support/fake-clock.ts'
import { FakeExporter, rejected, retryable } from '../../exporters/support/lines.ts'
import type { ChainConfig } from '../../../../exporters/sending/config.ts'
import { NOTHING_DROPPED } from '../../../../exporters/buffer/counters.ts'

const TICK_MS = 2000
const EPOCH = 'now'

/** Accounting set by a test, with the interface of a sender. */
class Account {
  readonly name: string
  accepted = 0
  heldEvents = 0
  rejected: Record<string, number> = {}
  dropped = { ...NOTHING_DROPPED }

  constructor(name: string) {
    this.name = name
  }

  accounting(): Pick<Account, 'accepted' | 'heldEvents' | 'rejected' | 'dropped'> {
    const { accepted, heldEvents, rejected: refused, dropped } = this
    return { accepted, heldEvents, rejected: { ...refused }, dropped: { ...dropped } }
  }
}

interface Setup {
  readonly records: LossRecords
  readonly ranges: LostRanges
  readonly kernel: Record<string, number>
  readonly accounts: readonly Account[]
  readonly account: Account
  readonly log: string[]
  nowMs: number
  /** Ticks until an interval is over; returns the records published then, as text. */
  interval(during?: () => void): string[]
}

function setup(...names: readonly string[]): Setup {
  const [account = new Account('x'), ...others] = names.map((name) => new Account(name))
  const accounts = [account, ...others]
  const kernel: Record<string, number> = {}
  const log: string[] = []
  const options = {
    losses: {
      report: () => {},
      list: () => Object.entries(kernel).map(([reason, count]) => ({ hook: '*', reason, count })),
    },
    exporters: accounts,
    ranges: new LostRanges(EPOCH),
    log: pino({ base: null }, { write: (line: string) => void log.push(line) }),
  }
  const made: Setup = {
    records: new LossRecords(options, 0),
    ranges: options.ranges,
    kernel,
    accounts,
    account,
    log,
    nowMs: 0,
    interval(during) {
      during?.()
      for (let i = 0; i < 5; i++) made.records.look((made.nowMs += TICK_MS))
      return published(made)
    },
  }
  return made
}

/** Takes the pending records, as exporters do that deliver them. */
function published({ records, accounts }: Setup): string[] {
  const seen: LossDraft[] = []
  const give = (drafts: readonly LossDraft[]): undefined => {
    seen.push(...drafts)
    for (const account of accounts) account.accepted += drafts.length
  }
  assert.equal(records.publish(give), undefined)
  return seen.map(textOf)
}

function textOf({ loss, count, firstSeq, lastSeq }: LossDraft): string {
  const range = firstSeq === undefined ? '' : ` ${firstSeq}-${lastSeq}`
  return `${[loss.stage, loss.exporter, loss.reason].filter((word) => word !== '').join(' ')}=${count}${range}`
}

test('loss records: no losses, no records', () => {
  const s = setup('x')
  s.kernel['ring_full_hook'] = 0
  s.account.accepted = 1000
  assert.deepEqual(s.interval(), [])
  assert.equal(s.records.pending, false)
  assert.deepEqual(s.log, [])
})

test('loss records: kernel losses of all hooks are one record for each reason, with the growth of the interval', () => {
  const hooks = [
    { hook: 'fd_install', reason: 'missed_run', count: 3 },
    { hook: 'do_exit', reason: 'missed_run', count: 4 },
    { hook: '*', reason: 'join_full', count: 1 },
    { hook: '*', reason: 'malformed', count: 0 },
  ]
  const log = pino({ level: 'silent' })
  const records = new LossRecords(
    { losses: { report: () => {}, list: () => hooks }, exporters: [], ranges: new LostRanges(EPOCH), log },
    0,
  )
  const look = (nowMs: number): string[] => {
    records.look(nowMs)
    const seen: string[] = []
    void records.publish((drafts) => void seen.push(...drafts.map(textOf)))
    return seen
  }
  assert.deepEqual(look(9_999), [])
  assert.deepEqual(look(10_000), ['kernel missed_run=7', 'kernel join_full=1'])
  assert.deepEqual(look(20_000), [])
  hooks.push({ hook: 'vfs_read', reason: 'missed_run', count: 5 })
  assert.deepEqual(look(20_001), [])
  assert.deepEqual(look(30_000), ['kernel missed_run=5'])
})

test('loss records: an urgent one does not wait for the interval, the next one does', () => {
  const s = setup('x')
  s.kernel['gate_changed'] = 1
  s.records.hurry()
  s.records.look(TICK_MS)
  assert.deepEqual(published(s), ['kernel gate_changed=1'])
  s.kernel['gate_changed'] = 2
  s.records.look(TICK_MS + 9_999)
  assert.deepEqual(published(s), [])
  s.records.look(TICK_MS + 10_000)
  assert.deepEqual(published(s), ['kernel gate_changed=1'])
})

test('loss records: there is no range if some lost events have no number of this run', () => {
  const s = setup('x')
  const reported = s.interval(() => {
    s.account.rejected = { too_old: 20 }
    s.ranges.note('x', { reason: 'too_old', events: 10, firstSeq: 500_000, lastSeq: 500_009, epoch: 'before' })
    s.ranges.note('x', { reason: 'too_old', events: 10, firstSeq: 0, lastSeq: 9, epoch: EPOCH })
  })
  assert.deepEqual(reported, ['exporter x too_old=20'])
})

test('loss records: a decreasing count, as after the replacement of a policy, is never reported twice', () => {
  const s = setup('x')
  assert.deepEqual(
    s.interval(() => (s.kernel['missed_run'] = 10)),
    ['kernel missed_run=10'],
  )
  assert.deepEqual(
    s.interval(() => (s.kernel['missed_run'] = 4)),
    [],
  )
  assert.deepEqual(
    s.interval(() => (s.kernel['missed_run'] = 12)),
    ['kernel missed_run=2'],
  )
})

test('loss records: events that exporters drop and sinks reject, by exporter and reason, and in the log', () => {
  const s = setup('x', 'y')
  const [x, y] = s.accounts
  assert.ok(x !== undefined && y !== undefined)
  const lose = (): void => {
    x.accepted += 500
    x.dropped.queue_full += 100
    x.rejected['too_large'] = 2
    y.accepted += 500
    y.dropped.expired += 7
  }
  assert.deepEqual(s.interval(lose), ['exporter x queue_full=100', 'exporter x too_large=2', 'exporter y expired=7'])
  assert.equal(s.log.length, 3)
  assert.match(s.log[0] ?? '', /"exporter":"x","reason":"queue_full","count":100,"msg":"an exporter lost events"/)
  assert.deepEqual(s.interval(), [])
  assert.deepEqual(s.interval(lose), ['exporter x queue_full=100', 'exporter y expired=7'])
})

test('loss records: a reason of a sink with the same name as one of ours yields one record', () => {
  const s = setup('x')
  const lose = (): void => {
    s.account.accepted += 9
    s.account.rejected['expired'] = 4
    s.account.dropped.expired = 5
  }
  assert.deepEqual(s.interval(lose), ['exporter x expired=9'])
})

test('loss records: the range of the events is reported once, if known', () => {
  const s = setup('x', 'y')
  const lose = (): void => {
    s.account.accepted += 100
    s.account.dropped.queue_full += 30
    s.ranges.note('x', { reason: 'queue_full', events: 10, firstSeq: 50, lastSeq: 59 })
    s.ranges.note('x', { reason: 'queue_full', events: 10, firstSeq: 40, lastSeq: 49 })
    s.ranges.note('x', { reason: 'queue_full', events: 10, firstSeq: 70, lastSeq: 79 })
    s.ranges.note('y', { reason: 'expired', events: 2, firstSeq: 1, lastSeq: 2 })
  }
  assert.deepEqual(s.interval(lose), ['exporter x queue_full=30 40-79'])
  const more = (): void => {
    s.account.accepted += 5
    s.account.dropped.queue_full += 5
  }
  assert.deepEqual(s.interval(more), ['exporter x queue_full=5'])
})

test('loss records: the loss of a loss record is reported with the next loss, not alone', () => {
  const s = setup('x')
  const lose = (): void => {
    s.account.accepted += 10
    s.account.dropped.queue_full += 10
  }
  assert.deepEqual(s.interval(lose), ['exporter x queue_full=10'])
  const loseRecord = (): void => void s.account.dropped.queue_full++
  assert.deepEqual(s.interval(loseRecord), [])
  assert.deepEqual(s.interval(), [])
  assert.deepEqual(s.interval(lose), ['exporter x queue_full=11'])
})

test('loss records: a delivered loss record explains no later loss', () => {
  const s = setup('x')
  const refuse = (): void => {
    s.account.accepted++
    s.account.rejected['too_large'] = (s.account.rejected['too_large'] ?? 0) + 1
  }
  assert.deepEqual(s.interval(refuse), ['exporter x too_large=1'])
  assert.deepEqual(s.interval(), [])
  assert.deepEqual(s.interval(refuse), ['exporter x too_large=1'])
})

test('loss records: a held loss record may explain one loss, and no more', () => {
  const s = setup('x')
  const lose = (): void => {
    s.account.accepted += 10
    s.account.heldEvents += 8
    s.account.dropped.rate_limit += 2
  }
  assert.deepEqual(s.interval(lose), ['exporter x rate_limit=2'])
  s.account.heldEvents += 1
  const expire = (n: number) => (): void => {
    s.account.heldEvents -= n
    s.account.dropped.expired += n
  }
  assert.deepEqual(s.interval(expire(1)), [])
  assert.deepEqual(s.interval(expire(1)), ['exporter x expired=2'])
})

test('loss records: loss records filtered out of an exporter explain no loss there', () => {
  const s = setup('x', 'y')
  s.kernel['join_full'] = 1
  s.interval()
  const [x, y] = s.accounts
  assert.ok(x !== undefined && y !== undefined)
  s.kernel['join_full'] = 2
  for (let i = 0; i < 5; i++) s.records.look((s.nowMs += TICK_MS))
  void s.records.publish((drafts) => void (x.accepted += drafts.length))
  const lose = (): void => {
    for (const account of s.accounts) {
      account.accepted++
      account.dropped.queue_full++
    }
  }
  assert.deepEqual(s.interval(lose), ['exporter y queue_full=1'])
})

test('loss records: at the end all pending losses are recorded, without waiting for the interval', () => {
  const s = setup('x')
  const lose = (): void => {
    s.account.accepted += 10
    s.account.dropped.queue_full += 10
  }
  s.interval(lose)
  s.interval(() => void s.account.dropped.queue_full++)
  s.kernel['return_missed'] = 3
  s.records.finish()
  assert.deepEqual(published(s), ['kernel return_missed=3', 'exporter x queue_full=1'])
  s.records.finish()
  assert.deepEqual(published(s), [])
})

/** A small agent: real senders of one fan-out, with its own loss records among the published events. */
async function downFor(
  intervals: number,
  whenFull: ChainConfig['queue']['when_full'],
  traffic: (interval: number) => number,
): Promise<{ records: Event[]; dropped: number; reported: number }> {
  const clock = new FakeClock()
  const options = {
    queue: { max_bytes: 1 << 20, max_events: 100, when_full: whenFull },
    batch: { max_events: 10, max_bytes: 1 << 20, max_wait: 0 },
    retry: { initial: 1000, max: 30_000 },
    timeout: 1000,
  }
  const deps = { clock, random: () => 0.5 }
  const down = new Sender('down', new FakeExporter(() => retryable()), options, deps)
  const up = new Sender('up', new FakeExporter(() => rejected('no')), options, deps)
  const encoder = createJsonEncoder({ nodeName: 'n' })
  const fanout = new FanOut([down, up].map((sender) => ({ encoder, sender })))
  await fanout.start()
  const senders = [down]
  const log = pino({ level: 'silent' })
  const ranges = new LostRanges(EPOCH)
  const losses = new LossRecords(
    { losses: { report: () => {}, list: () => [] }, exporters: senders, ranges, log },
    clock.nowMs(),
  )
  const records: Event[] = []
  let seq = 0
  for (let i = 0; i < intervals; i++) {
    const events = Array.from({ length: traffic(i) }, () => makeExec({ seq: seq++ }))
    // Parts as small as the batches, so that one is dropped at a time.
    for (let at = 0; at < events.length; at += 10) fanout.publish(events.slice(at, at + 10))
    for (let tick = 0; tick < 5; tick++) {
      await clock.turn(TICK_MS)
      losses.look(clock.nowMs())
      void losses.publish((drafts) => {
        const made = drafts.map((draft) => makeLoss({ ...draft, seq: seq++ }))
        records.push(...made)
        return fanout.publish(made)
      })
    }
  }
  losses.finish()
  const last: number[] = []
  void losses.publish((drafts) => void last.push(...drafts.map(({ count }) => count)))
  const reported = records.reduce((sum, event) => sum + (event.type === 'events_lost' ? event.count : 0), 0)
  const dropped = down.accounting().dropped.queue_full
  await Promise.all([fanout.stop(0), clock.turn(10_000)])
  await settle()
  return { records, dropped, reported: last.reduce((sum, count) => sum + count, reported) }
}

for (const whenFull of ['drop_newest', 'drop_oldest'] as const) {
  test(`loss records: an idle agent with a dead exporter (${whenFull}) makes one record, not an endless series`, async () => {
    const { records, dropped, reported } = await downFor(200, whenFull, (i) => (i === 0 ? 300 : 0))
    assert.equal(records.length, 1)
    assert.ok(dropped >= 200)
    // Includes the loss caused by the record itself, which the last one reports.
    assert.equal(reported, dropped)
  })

  test(`loss records: a busy agent with a dead exporter (${whenFull}) records each interval, and all losses`, async () => {
    const { records, dropped, reported } = await downFor(50, whenFull, () => 200)
    assert.ok(records.length >= 48 && records.length <= 50, `${records.length} records`)
    assert.ok(dropped >= 9_800)
    assert.equal(reported, dropped)
  })
}
