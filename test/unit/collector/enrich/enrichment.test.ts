/** Events wait for metadata of their process: bounded, in order, and none is lost. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { EventSizes } from '../../../../exporters/contract/event-size.ts'
import { Enrichment } from '../../../../collector/enrich/enrichment.ts'
import { isAboutAgent } from '../../../../exporters/index.ts'
import type { EnrichmentBounds } from '../../../../collector/enrich/enrichment.ts'
import type { Event, Process, ProcessEvent } from '../../../../exporters/contract/event.ts'
import { makeExec, makeExit, makeKprobe, makeLoss, makeProcess } from '../../exporters/support/events.ts'
import { settle } from '../../exporters/support/fake-clock.ts'

const BOUNDS: EnrichmentBounds = { bytes: 1 << 20, ms: 1000 }
const NOTHING = { time: 0, bytes: 0, failed: 0, stopping: 0 }

/** Gets the metadata of a process when the test provides it. */
class Learning {
  readonly #waits = new Map<Process, PromiseWithResolvers<void>>()

  mustLearn(process: Process): void {
    const wait = Promise.withResolvers<void>()
    wait.promise.catch(() => {}) // it may have no other handler
    this.#waits.set(process, wait)
  }

  pending({ process }: ProcessEvent): Promise<void> | undefined {
    return this.#waits.get(process)?.promise
  }

  async learned(process: Process): Promise<void> {
    this.#waits.get(process)?.resolve()
    this.#waits.delete(process)
    await settle()
  }

  async failed(process: Process): Promise<void> {
    this.#waits.get(process)?.reject(new Error('no such container'))
    this.#waits.delete(process)
    await settle()
  }
}

interface Rig {
  readonly enricher: Learning
  readonly stage: Enrichment
  nowMs: number
  /** Numbers of the events passed on, in their order. */
  pass(...events: readonly Event[]): number[]
}

function rig(bounds: EnrichmentBounds = BOUNDS): Rig {
  const enricher = new Learning()
  const made: Rig = {
    enricher,
    nowMs: 0,
    stage: new Enrichment(enricher, bounds, () => made.nowMs),
    pass: (...events) => made.stage.pass(events).map(({ seq }) => seq),
  }
  return made
}

const [a, b] = [makeProcess({ pid: 1 }), makeProcess({ pid: 2 })]
const by = (process: Process, seq: number): Event => makeKprobe({ process, seq })

test('enrichment: without an enricher the same array comes out', () => {
  const events = [by(a, 0)]
  const stage = new Enrichment()
  assert.equal(stage.pass(events), events)
  assert.equal(stage.due, false)
})

test('enrichment: events of one process wait, those of others and records of losses pass', async () => {
  const s = rig()
  s.enricher.mustLearn(a)
  assert.deepEqual(s.pass(by(a, 0), by(b, 1), makeLoss({ seq: 2 }), by(a, 3)), [1, 2])
  assert.deepEqual([s.stage.held.events, s.stage.due], [2, false])
  await s.enricher.learned(a)
  assert.equal(s.stage.due, true)
  assert.deepEqual(s.pass(by(a, 4), by(b, 5)), [0, 3, 4, 5])
  assert.deepEqual([s.stage.held, s.stage.gaveUp, s.stage.due], [{ bytes: 0, events: 0 }, NOTHING, false])
})

test('enrichment: the exit of a process comes after its waiting accesses', async () => {
  const s = rig()
  s.enricher.mustLearn(a)
  assert.deepEqual(s.pass(makeExec({ process: a, seq: 0 }), by(a, 1), makeExit({ process: a, seq: 2 })), [])
  await s.enricher.learned(a)
  assert.deepEqual(s.pass(), [0, 1, 2])
})

test('enrichment: after an exec the next image waits separately, after the previous one', async () => {
  const s = rig()
  const next = makeProcess({ pid: a.pid, binary: '/bin/next' })
  for (const process of [a, next]) s.enricher.mustLearn(process)
  assert.deepEqual(s.pass(by(a, 0), by(next, 1), by(a, 2)), [])
  await s.enricher.learned(next)
  assert.deepEqual(s.pass(), [])
  await s.enricher.learned(a)
  assert.deepEqual(s.pass(), [0, 1, 2])

  for (const process of [a, next]) s.enricher.mustLearn(process)
  assert.deepEqual(s.pass(by(a, 3), by(next, 4), by(a, 5)), [])
  await s.enricher.learned(a)
  assert.deepEqual([s.pass(), s.stage.held.events], [[3], 2])
  await s.enricher.learned(next)
  assert.deepEqual(s.pass(), [4, 5])
})

test('enrichment: after the time limit they are passed on without metadata and counted, and later ones do not wait again', () => {
  const s = rig()
  s.enricher.mustLearn(a)
  s.pass(by(a, 0))
  s.nowMs = 999
  assert.deepEqual([s.pass(by(a, 1)), s.stage.due, s.stage.waits], [[], false, true])
  s.nowMs = 1000
  assert.equal(s.stage.due, true)
  assert.deepEqual(s.pass(by(b, 2)), [0, 1, 2])
  assert.equal(s.stage.waits, false)
  assert.deepEqual(s.pass(by(a, 3)), [3])
  assert.deepEqual(s.stage.gaveUp, { ...NOTHING, time: 3 })
})

test('enrichment: with a bound of 0 ms no event waits, and the order of processes stays', () => {
  const s = rig({ ...BOUNDS, ms: 0 })
  s.enricher.mustLearn(a)
  assert.deepEqual(s.pass(by(a, 0), by(b, 1), by(a, 2)), [0, 1, 2])
  assert.deepEqual([s.stage.waits, s.stage.gaveUp], [false, { ...NOTHING, time: 2 }])
})

test('enrichment: several unknown images of a process do not prolong the wait', async () => {
  const s = rig()
  const images = Array.from({ length: 5 }, (_, i) => makeProcess({ pid: 7, binary: `/${i}` }))
  for (const image of images) s.enricher.mustLearn(image)
  s.pass(...images.map((image, seq) => by(image, seq)))
  const passed: number[] = []
  for (const image of images.slice(0, 3)) {
    s.nowMs += 300
    await s.enricher.learned(image)
    passed.push(...s.pass())
  }
  assert.deepEqual(passed, [0, 1, 2])
  s.nowMs = 1000
  assert.deepEqual(s.pass(), [3, 4])
})

test('enrichment: events without metadata are passed on and counted', async () => {
  const s = rig()
  s.enricher.mustLearn(a)
  s.pass(by(a, 0), by(a, 1))
  await s.enricher.failed(a)
  assert.deepEqual(s.pass(by(a, 2)), [0, 1, 2])
  assert.deepEqual(s.stage.gaveUp, { ...NOTHING, failed: 2 })
})

test('enrichment: at the limit in bytes, the longest waiting events are passed on without metadata', () => {
  const event = by(a, 0)
  assert.ok(event.type !== 'events_lost')
  const one = new EventSizes().of(event)
  const s = rig({ ...BOUNDS, bytes: 2.5 * one })
  const [first, second, third] = [11, 12, 13].map((pid) => makeProcess({ pid }))
  assert.ok(first !== undefined && second !== undefined && third !== undefined)
  for (const process of [first, second, third]) s.enricher.mustLearn(process)
  assert.deepEqual(s.pass(by(first, 0), by(second, 1), by(third, 2)), [0])
  assert.deepEqual(s.stage.gaveUp, { ...NOTHING, bytes: 1 })
  // Larger than the whole limit: no other event is passed on for it.
  const huge = makeExec({ seq: 3, process: makeProcess({ pid: 12, arguments: 'x'.repeat(2 * one) }) })
  assert.deepEqual(s.pass(huge), [1, 3])
  assert.deepEqual(s.stage.held.events, 1)
})

test('enrichment: at the end all events are passed on at once, and none waits any more', () => {
  const s = rig()
  for (const process of [a, b]) s.enricher.mustLearn(process)
  s.pass(by(a, 0), by(b, 1), by(a, 2))
  s.stage.end()
  assert.equal(s.stage.due, true)
  assert.deepEqual(s.pass(by(b, 3)), [0, 2, 1, 3])
  assert.deepEqual([s.stage.gaveUp, s.stage.due], [{ ...NOTHING, stopping: 4 }, false])
})

type Step =
  | { readonly do: 'pass'; readonly pids: readonly number[] }
  | { readonly do: 'exec'; readonly pid: number; readonly length: number }
  | { readonly do: 'learned' | 'failed'; readonly pid: number; readonly back: number }
  | { readonly do: 'time'; readonly ms: number }

const PIDS = [1, 2, 3]
const pid = fc.constantFrom(...PIDS)
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('pass' as const), pids: fc.array(pid, { maxLength: 6 }) }),
  // The longest arguments exceed the whole limit.
  fc.record({ do: fc.constant('exec' as const), pid, length: fc.oneof(fc.nat(500), fc.nat(12_000)) }),
  // `back`: the image so many execs ago.
  fc.record({ do: fc.constantFrom('learned' as const, 'failed' as const), pid, back: fc.nat(1) }),
  fc.record({ do: fc.constant('time' as const), ms: fc.nat(700) }),
)

test('enrichment: for any sequence, the order within a process, each event once, and both limits hold', async () => {
  const bounds = { bytes: 20_000, ms: 1000 }
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 80, size: 'max' }), async (steps) => {
      const s = rig(bounds)
      const images = PIDS.map((number) => makeProcess({ pid: number }))
      const imageOf = (number: number, back = 0): Process | undefined =>
        images.filter((image) => image.pid === number).at(-1 - back)
      const givenMs: number[] = []
      const passed: ProcessEvent[] = []
      const pass = (pids: readonly number[]): void => {
        const events = pids.map((number) => makeExec({ seq: givenMs.push(s.nowMs) - 1, process: imageOf(number) ?? a }))
        for (const event of s.stage.pass(events)) if (!isAboutAgent(event)) passed.push(event)
        const gone = new Set(passed.map(({ seq }) => seq))
        assert.equal(gone.size, passed.length, 'each once')
        assert.ok(s.stage.held.bytes <= bounds.bytes)
        assert.equal(s.stage.held.events, givenMs.length - gone.size)
        for (const [seq, ms] of givenMs.entries()) assert.ok(gone.has(seq) || s.nowMs - ms < bounds.ms, 'late')
      }
      for (const each of steps) {
        if (each.do === 'time') s.nowMs += each.ms
        else if (each.do === 'pass') pass(each.pids)
        else if (each.do === 'exec') {
          const process = makeProcess({ pid: each.pid, arguments: 'x'.repeat(each.length) })
          images.push(process)
          s.enricher.mustLearn(process)
        } else {
          const image = imageOf(each.pid, each.back)
          if (image !== undefined) await s.enricher[each.do](image)
        }
      }
      s.stage.end()
      pass([])
      assert.equal(passed.length, givenMs.length)
      assert.deepEqual(s.stage.held, { bytes: 0, events: 0 })
      for (const number of PIDS) {
        const seqs = passed.filter(({ process }) => process.pid === number).map(({ seq }) => seq)
        assert.deepEqual(
          seqs,
          seqs.toSorted((x, y) => x - y),
        )
      }
    }),
    { numRuns: 500 },
  )
})
