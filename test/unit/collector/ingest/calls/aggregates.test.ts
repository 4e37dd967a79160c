/** First calls and the counts of equal calls → the events that are sent. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PendingAggregates } from '../../../../../collector/ingest/calls/aggregates.ts'
import type { RawHook } from '../../../../../collector/wire/hook-record.ts'
import type { AggregateKey, Taken } from '../../../../../collector/kernel/actions/aggregates.ts'
import { AGGREGATE_INDEX, HOOK_AGGREGATES, VALUE_UINT } from '../../../../../collector/wire/wire.ts'
import type { ProcessEvent } from '../../../../../exporters/contract/event.ts'
import { makeKprobe, text } from '../../../exporters/support/events.ts'
import { FakeClock } from '../../../exporters/support/fake-clock.ts'

const value = (index: number, lo: number): RawHook['values'][number] => ({
  kind: VALUE_UINT,
  index,
  flags: 0,
  lo,
  hi: 9,
  mode: 0,
  dev: 0,
  from: 0,
  to: 0,
  details: 0,
})

function raw(hookId: number, tgid: number, hash: number): RawHook {
  const base = { cpu: 0, seq: 0, sec: 1, nsec: 0, tgid, tid: tgid, startLo: 0, startHi: 0 }
  // The hash stands in front of the return value.
  const values = [value(0, 1), value(AGGREGATE_INDEX, hash), value(255, 2)]
  return { op: 'hook', ...base, hookId, selector: 0, flags: HOOK_AGGREGATES, uid: 0, values, count: 3 }
}

/** The kernel's counts by `hook tgid hash`, as the programs would have them. */
class World {
  readonly clock = new FakeClock()
  readonly counts = new Map<string, Taken>()
  readonly out: ProcessEvent[] = []
  wakes = 0
  readonly pending: PendingAggregates

  constructor(capacityBytes?: number) {
    this.pending = new PendingAggregates({
      take: (key) => this.#take(key),
      at: (bootNs) => ({ sec: Number(bootNs / 1_000_000_000n), nsec: Number(bootNs % 1_000_000_000n) }),
      wake: () => {
        this.wakes++
        this.pending.due(this.out)
      },
      clock: this.clock,
      ...(capacityBytes === undefined ? {} : { capacityBytes }),
    })
  }

  #take({ hookId, tgid, lo, hi }: AggregateKey): Taken {
    assert.equal(hi, 9)
    const key = `${hookId} ${tgid} ${lo}`
    const taken = this.counts.get(key) ?? 'unknown'
    if (taken !== 'later') this.counts.delete(key)
    return taken
  }

  begin(name: string, [hookId, tgid, hash]: readonly [number, number, number], taken: Taken, windowMs = 10_000): void {
    this.counts.set(`${hookId} ${tgid} ${hash}`, taken)
    const event = makeKprobe({ args: [text(name)], hook: { ...makeKprobe().hook, policy: `p${hookId}` } })
    this.pending.add(raw(hookId, tgid, hash), event, { windowMs, bytes: hookId === 2 }, this.out)
  }

  /** The events sent since the last call. */
  shown(): string[] {
    return this.out.splice(0).map((event) => {
      assert.ok(event.type === 'process_kprobe')
      const [arg] = event.args
      const { aggregate } = event
      const name = arg?.kind === 'string' ? arg.value : ''
      if (aggregate === undefined) return name
      return `${name} ${aggregate.count} ${aggregate.bytes ?? '-'} ${aggregate.last.sec}`
    })
  }
}

const taken = (count: number, bytes = 0, lastNs = 5_000_000_000n): Taken => ({ count, bytes, lastNs })

test('aggregates: an event waits for its window, and then has the count, the bytes and the time of the last call', async () => {
  const world = new World()
  world.begin('a', [2, 7, 1], taken(1_000_000, 4096))
  world.begin('b', [1, 7, 2], taken(3, 99), 60_000)
  await world.clock.turn(9_999)
  assert.deepEqual(world.shown(), [])
  await world.clock.turn(300)
  assert.deepEqual(world.shown(), ['a 1000000 4096 5'])
  await world.clock.turn(50_000)
  assert.deepEqual(world.shown(), ['b 3 - 5'])
  assert.equal(world.pending.size, 0)
  const wakes = world.wakes
  await world.clock.turn(600_000)
  assert.equal(world.wakes, wakes, 'nothing waits, and no timer runs')
  assert.deepEqual(
    world.pending.counted,
    new Map([
      ['p2', new Map([['security_file_permission', 999_999]])],
      ['p1', new Map([['security_file_permission', 2]])],
    ]),
  )
})

test('aggregates: one call has its own time as the last', async () => {
  const world = new World()
  world.begin('a', [1, 7, 1], taken(1))
  await world.clock.turn(10_250)
  assert.deepEqual(world.shown(), [`a 1 - ${makeKprobe().time.sec}`])
})

test('aggregates: events of a process are sent when it exits, others wait', async () => {
  const world = new World()
  world.begin('a', [1, 7, 1], taken(2))
  world.begin('b', [2, 7, 1], taken(3))
  world.begin('c', [1, 8, 1], taken(4))
  world.pending.exited(7, world.out)
  world.pending.exited(9, world.out)
  assert.deepEqual(world.shown(), ['a 2 - 5', 'b 3 0 5'])
  assert.equal(world.pending.size, 1)
})

test('aggregates: a process with thousands has some sent at its exit, and the others in parts behind it', async () => {
  const world = new World()
  for (let i = 0; i < 2000; i++) world.begin(String(i), [1, 7, i], taken(2))
  world.pending.exited(7, world.out)
  const first = world.shown().length
  assert.ok(first > 0 && first < 1000, String(first))
  await world.clock.turn(100)
  assert.equal(world.shown().length, 2000 - first)
  assert.ok(world.wakes >= 3, String(world.wakes))
})

test('aggregates: events of a detached hook are sent at once', async () => {
  const world = new World()
  world.begin('a', [1, 7, 1], taken(2))
  world.begin('b', [2, 7, 1], taken(3))
  world.pending.retire([2, 5])
  await world.clock.turn(1)
  assert.deepEqual(world.shown(), ['b 3 0 5'])
})

test('aggregates: an equal call after the end begins another', async () => {
  const world = new World()
  world.begin('a', [1, 7, 1], taken(2))
  await world.clock.turn(10_250)
  world.begin('again', [1, 7, 1], taken(4))
  await world.clock.turn(10_250)
  assert.deepEqual(world.shown(), ['a 2 - 5', 'again 4 - 5'])
})

test('aggregates: while a call is being counted, the count is requested again', async () => {
  const world = new World()
  world.begin('a', [1, 7, 1], 'later')
  await world.clock.turn(10_250)
  assert.deepEqual(world.shown(), [])
  world.counts.set('1 7 1', taken(8))
  await world.clock.turn(10)
  assert.deepEqual(world.shown(), ['a 8 - 5'])
})

test('aggregates: a lost count is not invented', async () => {
  const world = new World()
  world.begin('a', [1, 7, 1], 'unknown')
  await world.clock.turn(10_250)
  assert.deepEqual(world.shown(), ['a'])
  // Another program has emptied the map, and so the same begins twice.
  world.begin('b', [1, 7, 2], taken(1))
  world.begin('c', [1, 7, 2], taken(3))
  assert.deepEqual(world.shown(), ['b'])
  assert.equal(world.pending.lost, 2)
  await world.clock.turn(10_250)
  assert.deepEqual(world.shown(), ['c 3 - 5'])
})

test('aggregates: with too many bytes, the oldest events are sent before their time', async () => {
  const world = new World(3000)
  for (let i = 0; i < 10; i++) world.begin(`e${i}`, [1, 7, i], taken(i + 2))
  const gone = world.shown()
  assert.ok(gone.length > 4 && gone.length < 10, String(gone.length))
  assert.deepEqual(
    gone,
    gone.map((_, i) => `e${i} ${i + 2} - 5`),
  )
  world.pending.endAll(world.out)
  assert.equal(world.shown().length, 10 - gone.length)
  assert.equal(world.pending.size, 0)
})

test('aggregates: thousands that are due at once are sent in parts, with turns of the event loop between them', async () => {
  const world = new World()
  for (let i = 0; i < 2000; i++) world.begin(String(i), [1, i, 1], taken(2))
  await world.clock.turn(10_250)
  assert.equal(world.shown().length, 2000)
  assert.ok(world.wakes >= 4, String(world.wakes))
  world.begin('left', [1, 1, 1], 'later')
  world.counts.set('1 1 1', taken(6))
  world.pending.endAll(world.out)
  assert.deepEqual(world.shown(), ['left 6 - 5'])
})

test('aggregates: if no count can be taken, memory is still bounded', () => {
  const world = new World(3000)
  for (let i = 0; i < 100; i++) world.begin(`e${i}`, [1, 7, i], 'later')
  assert.ok(world.pending.size < 15, String(world.pending.size))
  const gone = world.shown()
  assert.equal(gone[0], 'e0')
  assert.equal(gone.length + world.pending.size, 100)
  assert.equal(world.pending.lost, gone.length)
})
