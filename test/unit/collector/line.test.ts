/** The line from part to part: numbers, events that wait for enrichment, records of losses, and its end. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pino } from 'pino'
import { LostRanges } from '../../../collector/delivery/lost-ranges.ts'
import { Enrichment } from '../../../collector/enrich/enrichment.ts'
import { Reading } from '../../../collector/ingest/source.ts'
import { Line } from '../../../collector/line.ts'
import type { LineParts } from '../../../collector/line.ts'
import { ChangeRecords } from '../../../collector/delivery/change-records.ts'
import { LossRecords } from '../../../collector/telemetry/loss-records.ts'
import { RunRecords } from '../../../collector/telemetry/run-records.ts'
import type { Loss } from '../../../collector/telemetry/losses.ts'
import { FanOut } from '../../../exporters/index.ts'
import type { Event, Process } from '../../../exporters/contract/event.ts'
import { makeKprobe, makeProcess } from '../exporters/support/events.ts'
import { FakeClock, settle } from '../exporters/support/fake-clock.ts'

const GRACE_MS = 5000

class FakeIngest {
  readonly reading = new Reading()
  readonly #waiting: Event[][] = []
  bytesRead = 0
  lastNs = 0n
  readonly endWaiting = (): [] => []
  readonly wake = (): void => this.#wake?.()
  #wake: (() => void) | undefined
  failure: Error | undefined

  /** The chunks of the ring; without one, a read finds it empty. */
  async read(...events: Event[]): Promise<void> {
    if (events.length > 0) this.#waiting.push(events)
    this.#wake?.()
    await settle()
  }

  /** As Ingest's. */
  polls: () => boolean = () => false

  async *events(signal: AbortSignal, wantsTurn: () => boolean, polls: () => boolean): AsyncGenerator<readonly Event[]> {
    this.polls = polls
    for (;;) {
      const read = this.#waiting.shift()
      if (read !== undefined) this.bytesRead += 8
      const next = read ?? (wantsTurn() ? [] : undefined)
      if (this.failure !== undefined) throw this.failure
      if (next !== undefined) yield next
      else if (signal.aborted) return
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve
          signal.addEventListener('abort', () => resolve())
        })
      }
    }
  }

  now = (): Event['time'] => ({ sec: 9, nsec: 1 })
}

interface Rig {
  readonly line: Line
  readonly ingest: FakeIngest
  readonly clock: FakeClock
  readonly losses: Loss[]
  readonly parts: LineParts
  readonly changes: ChangeRecords
  /** `type seq` of the published events. */
  readonly published: string[]
  /** If set, an exporter blocks. */
  blocked: Promise<void> | undefined
  worked: number
  /** The number of the next published event. */
  number: number
}

function rig(
  enrichment = new Enrichment(),
  numbered: readonly string[] = [],
  namespaces: LineParts['namespaces'] = undefined,
): Rig {
  const ingest = new FakeIngest()
  const clock = new FakeClock()
  const losses: Loss[] = []
  const log = pino({ level: 'silent' })
  const options = { losses: { report: () => {}, list: () => losses }, exporters: [], ranges: new LostRanges('e'), log }
  const delivery = {
    fanout: new FanOut([]),
    publish(events: readonly Event[]): Promise<void> | undefined {
      published.push(...events.map((event) => `${event.type}${phaseOf(event)} ${made.number++}`))
      return made.blocked
    },
  }
  const published: string[] = []
  const working = (): void => void made.worked++
  const lastRuns = { previous: { archive: 'e0' }, destinations: {}, note: async (): Promise<void> => undefined }
  const exporters = numbered.map((name) => ({ name, destination: 'd', filtered: false, next: 0 }))
  const from = { sec: 0, nsec: 0 }
  const runRecords = new RunRecords({ heartbeatMs: 60_000, lastRuns, exporters: () => exporters, from })
  const lossRecords = new LossRecords(options, 0)
  const changes = new ChangeRecords({ now: () => ingest.now(), wake: () => void ingest.read() })
  changes.begin()
  const parts = { ingest, enrichment, delivery, lossRecords, runRecords, changes, namespaces, working, log }
  const made: Rig = {
    line: new Line(parts, GRACE_MS, clock),
    ingest,
    clock,
    losses,
    parts,
    changes,
    published,
    blocked: undefined,
    worked: 0,
    number: 0,
  }
  return made
}

function phaseOf(event: Event): string {
  return event.type === 'agent_run' ? `:${event.phase}` : ''
}

const [a, b] = [makeProcess({ pid: 1 }), makeProcess({ pid: 2 })]
const by = (process: Process): Event => makeKprobe({ process, seq: 0 })

test('line: events and records of losses get their numbers in the order in which they are published', async () => {
  const s = rig()
  s.line.start()
  await s.ingest.read(by(a), by(b))
  s.losses.push({ hook: '*', reason: 'join_full', count: 2 })
  s.parts.lossRecords.look(10_000)
  await s.ingest.read()
  await s.ingest.read(by(a))
  assert.deepEqual(s.published, ['process_kprobe 0', 'process_kprobe 1', 'events_lost 2', 'process_kprobe 3'])
  await s.line.stop(0)
})

test('line: a waiting event gets its number when it is passed on, even while the ring is empty', async () => {
  const known = Promise.withResolvers<void>()
  let pending: Promise<void> | undefined = known.promise
  const s = rig(new Enrichment({ pending: ({ process }) => (process === a ? pending : undefined) }))
  s.line.start()
  await s.ingest.read(by(a), by(b))
  assert.deepEqual(s.published, ['process_kprobe 0'])
  assert.ok(s.ingest.polls(), 'the ring does not wake for it')
  pending = undefined
  known.resolve()
  await s.ingest.read()
  assert.deepEqual(s.published, ['process_kprobe 0', 'process_kprobe 1'])
  // Only chunks from the ring are work.
  assert.deepEqual([s.ingest.polls(), s.worked], [false, 1])
  assert.deepEqual(s.parts.enrichment.held.events, 0)
  await s.line.stop(0)
})

test('line: a stop reads the ring to its end, passes on waiting events, and reports the last losses', async () => {
  const s = rig(new Enrichment({ pending: () => new Promise(() => {}) }))
  s.line.start()
  await s.ingest.read(by(a), by(b))
  assert.deepEqual(s.published, [])
  s.losses.push({ hook: '*', reason: 'join_full', count: 2 })
  const stopped = s.line.stop(GRACE_MS)
  void s.ingest.read(by(a))
  await stopped
  assert.deepEqual(s.published, ['process_kprobe 0', 'process_kprobe 1', 'process_kprobe 2', 'events_lost 3'])
  assert.equal(s.parts.enrichment.gaveUp.stopping, 3)
  assert.deepEqual([s.ingest.reading.ended, s.clock.pending], [true, []])
})

test('line: a stop waits for a blocking exporter only until its deadline, and a second stop for the rest', async () => {
  const s = rig()
  const open = Promise.withResolvers<void>()
  s.blocked = open.promise
  s.line.start()
  await s.ingest.read(by(a))
  await s.ingest.read(by(b))
  assert.deepEqual(s.published, ['process_kprobe 0'])
  let ended = false
  const stopped = s.line.stop(GRACE_MS).then(() => (ended = true))
  await s.clock.turn(GRACE_MS - 1)
  assert.equal(ended, false)
  await s.clock.turn(1)
  await stopped
  const again = s.line.stop(1000)
  s.blocked = undefined
  open.resolve()
  await again
  assert.deepEqual(s.published, ['process_kprobe 0', 'process_kprobe 1'])
})

test('line: a ring that cannot be read fails the agent, and a stop still ends', async () => {
  const s = rig()
  s.line.start()
  s.ingest.failure = new Error('no ring')
  await s.ingest.read()
  await assert.rejects(s.line.failed, /no ring/)
  await s.line.stop(GRACE_MS)
})

test('line: with numbered records, a run has a record at its start, one a period, and one at its stop, the last', async () => {
  const s = rig(undefined, ['archive'])
  s.line.start()
  await s.ingest.read(by(a))
  s.parts.runRecords.tick(s.clock.nowMs() + 59_000)
  await s.ingest.read()
  assert.deepEqual(s.published, ['agent_run:start 0', 'process_kprobe 1'], 'too early')
  await s.clock.turn(60_000)
  s.parts.runRecords.tick(s.clock.nowMs())
  await s.ingest.read()
  s.parts.runRecords.tick(s.clock.nowMs())
  await s.ingest.read(by(b))
  await s.line.stop(GRACE_MS)
  assert.deepEqual(s.published.slice(2), ['agent_run:heartbeat 2', 'process_kprobe 3', 'agent_run:stop 4'])
  assert.equal(s.worked, 2, 'a heartbeat is no work')
})

test('line: events are counted by namespace once their pod is known', async () => {
  const known = Promise.withResolvers<void>()
  let pending: Promise<void> | undefined = known.promise
  const counted: string[] = []
  const namespaces = { add: (events: readonly Event[]) => void counted.push(...events.map(({ type }) => type)) }
  const s = rig(new Enrichment({ pending: () => pending }), [], namespaces)
  s.line.start()
  await s.ingest.read(by(a))
  assert.deepEqual(counted, [])
  pending = undefined
  known.resolve()
  await s.ingest.read()
  assert.deepEqual(counted, ['process_kprobe'])
  await s.line.stop(0)
})

const CHANGED = { what: 'policy_removed', by: 'file /p.yaml', names: ['a'] } as const

test('line: a change has its record at once, even while the ring is empty, and before the record of the stop', async () => {
  const s = rig(undefined, ['archive'])
  s.line.start()
  await s.ingest.read(by(a))
  s.changes.note(CHANGED)
  await settle()
  assert.deepEqual(s.published, ['agent_run:start 0', 'process_kprobe 1', 'agent_change 2'])
  s.changes.note({ ...CHANGED, by: 'cluster' })
  await s.line.stop(GRACE_MS)
  assert.deepEqual(s.published.slice(3), ['agent_change 3', 'agent_run:stop 4'])
  assert.equal(s.worked, 1, 'a change is no work')
})

test('line: a change waits for no exporter that blocks, and its record follows', async () => {
  const s = rig()
  const open = Promise.withResolvers<void>()
  s.blocked = open.promise
  s.line.start()
  await s.ingest.read(by(a))
  s.changes.note(CHANGED)
  await settle()
  assert.deepEqual(s.published, ['process_kprobe 0'])
  s.blocked = undefined
  open.resolve()
  await s.ingest.read()
  assert.deepEqual(s.published, ['process_kprobe 0', 'agent_change 1'])
  await s.line.stop(0)
})
