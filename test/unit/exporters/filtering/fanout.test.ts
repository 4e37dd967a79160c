/** The fan-out with filtered exporters. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Event } from '../../../../exporters/contract/event.ts'
import { describe } from '../../../../exporters/contract/described.ts'
import { isDescribed } from '../../../../exporters/contract/encoded.ts'
import { EncoderPool } from '../../../../exporters/encoding/pool.ts'
import type { Encoded, Encoder } from '../../../../exporters/contract/exporter.ts'
import { FanOut } from '../../../../exporters/fanout.ts'
import type { Route } from '../../../../exporters/fanout.ts'
import { createFilter } from '../../../../exporters/filtering/filter.ts'
import type { EventFilter } from '../../../../exporters/filtering/filter.ts'
import { Sender } from '../../../../exporters/sending/sender.ts'
import { makeExec, makeHook, makeKprobe } from '../support/events.ts'
import { FakeClock, settle } from '../support/fake-clock.ts'
import { FakeExporter, numbers } from '../support/lines.ts'
import { CHAIN } from '../../../support/exporter-config.ts'
import { DEFAULT_RECORDS } from '../../../../config/agent/exporters/otlp-records.ts'

const QUEUE = { max_bytes: 1 << 24, max_events: 100_000, when_full: 'drop_newest' } as const
const BATCH = { max_events: 100, max_bytes: 1 << 20, max_wait: 0 }

/** Lines that contain the number of their event; counts the events that it encodes. */
class Numbering implements Encoder {
  readonly encoding = 'json'
  calls = 0
  events = 0
  encode(events: readonly Event[]): Encoded {
    this.calls++
    this.events += events.length
    const texts = events.map(({ seq }) => `{"id":${seq}}\n`)
    let end = 0
    const ends = Uint32Array.from(texts, ({ length }) => (end += length))
    return {
      encoding: 'json',
      bytes: Buffer.from(texts.join('')),
      ends,
      count: texts.length,
      firstSeq: events[0]?.seq ?? 0,
    }
  }
}

/** Keeps the offered events, in addition to sending them. */
class Watched extends Sender {
  readonly offered: Encoded[] = []
  override offer(whole: Encoded): Promise<void> | undefined {
    this.offered.push(whole)
    return super.offer(whole)
  }
}

function watched(name: string, exporter = new FakeExporter()): { sender: Watched; exporter: FakeExporter } {
  const options = { ...CHAIN, queue: QUEUE, batch: BATCH }
  return { exporter, sender: new Watched(name, exporter, options, { clock: new FakeClock() }) }
}

const filterBy = (accepts: (event: Event) => boolean): EventFilter => ({ accepts, filtered: {} })
const execs = (count: number): Event[] => numbers(0, count).map((seq) => makeExec({ seq }))

test('filtered fan-out: each exporter gets the events of its filter, in order, with the right numbers', async () => {
  const moduli = [1, 2, 3, 7, 1000]
  const encoder = new Numbering()
  const routes = moduli.map((modulus) => ({ modulus, ...watched(`m${modulus}`) }))
  const fanOut = new FanOut(
    routes.map(({ modulus, sender }) => ({ encoder, sender, filter: filterBy(({ seq }) => seq % modulus === 0) })),
  )
  await fanOut.start()
  assert.equal(fanOut.publish(execs(450)), undefined)
  await settle()
  assert.deepEqual([encoder.calls, encoder.events], [3, 450])
  for (const { modulus, sender, exporter } of routes) {
    const want = numbers(0, 450).filter((seq) => seq % modulus === 0)
    assert.deepEqual(exporter.ids, want)
    assert.deepEqual(
      sender.offered.flatMap((each) => (isDescribed(each) ? [...each.seqs] : [])),
      want,
    )
    assert.equal(sender.accounting().accepted, want.length)
    assert.equal(sender.imbalance(), 0)
  }
})

test('filtered fan-out: events that no exporter takes are not encoded', async () => {
  const encoder = new Numbering()
  const [a, b] = [watched('a'), watched('b')]
  const fanOut = new FanOut([
    { encoder, sender: a.sender, filter: filterBy(({ seq }) => seq === 250) },
    { encoder, sender: b.sender, filter: filterBy(({ seq }) => seq >= 250 && seq < 253) },
  ])
  await fanOut.start()
  assert.equal(fanOut.publish(execs(600)), undefined)
  await settle()
  assert.deepEqual([encoder.calls, encoder.events], [1, 3])
  assert.deepEqual([a.exporter.ids, b.exporter.ids], [[250], [250, 251, 252]])
  assert.deepEqual([a.sender.offered.length, b.sender.offered.length], [1, 1])
})

test('filtered fan-out: filters that pass all events share the bytes with unfiltered exporters', () => {
  const encoder = new Numbering()
  const [all, plain, described] = [watched('all'), watched('plain'), watched('described')]
  const fanOut = new FanOut([
    { encoder, sender: all.sender, filter: filterBy(() => true) },
    { encoder, sender: plain.sender },
    { encoder, sender: described.sender, describe: true },
  ])
  fanOut.publish(execs(10))
  const bytes = [all, plain, described].map(({ sender }) => sender.offered[0]?.bytes)
  assert.ok(bytes[0] !== undefined && bytes[0] === bytes[1] && bytes[0] === bytes[2])
  const [first, second, third] = [all, plain, described].map(({ sender }) => sender.offered[0])
  assert.ok(first !== undefined && second !== undefined && third !== undefined)
  assert.deepEqual([isDescribed(first), isDescribed(second), isDescribed(third)], [true, false, true])
})

test('filtered fan-out: a JSON line that is also an OTLP body is encoded once, if both take the same events', async () => {
  const pool = new EncoderPool('n')
  const json = pool.json()
  const otlp = await pool.otlp({ ...DEFAULT_RECORDS, epoch: 'e', body: 'json', protocol: 'protobuf', sdk: false })
  const seen: Array<readonly Event[]> = []
  const spied = (encoder: Encoder): Encoder => ({
    encoding: encoder.encoding,
    encode(events): Encoded {
      seen.push(events)
      return encoder.encode(events)
    },
  })
  const even = (): EventFilter => filterBy(({ seq }) => seq % 2 === 0)
  const fanOut = new FanOut([
    { encoder: spied(json), sender: watched('a').sender, filter: even() },
    { encoder: spied(otlp), sender: watched('b').sender, filter: even() },
    { encoder: spied(otlp), sender: watched('c').sender, filter: filterBy(({ seq }) => seq % 3 === 0) },
  ])
  fanOut.publish(execs(10))
  assert.equal(seen.length, 3)
  assert.equal(seen[0], seen[1])
  assert.notEqual(seen[1], seen[2])
})

test('filtered fan-out: counts filtered events by exporter and key', () => {
  const encoder = new Numbering()
  const filter = createFilter({ policies: ['x'], binaries: ['/bin/vi'] })
  const fanOut = new FanOut([
    { encoder, sender: watched('a').sender, filter },
    { encoder, sender: watched('b').sender },
  ])
  const hook = makeHook({ policy: 'x' })
  fanOut.publish([makeExec({ seq: 0 }), makeKprobe({ seq: 1, hook }), makeKprobe({ seq: 2 })])
  const want = new Map([
    ['a', { policies: 2, binaries: 0 }],
    ['b', {}],
  ])
  assert.deepEqual(fanOut.filtered(), want)
})

test('filtered fan-out: filtering before encoding and selecting after it have the same result', () => {
  const choice = fc.array(fc.option(fc.integer({ min: 0, max: 0xff }), { nil: undefined }), {
    minLength: 1,
    maxLength: 4,
  })
  fc.assert(
    fc.property(fc.nat(430), fc.array(choice, { minLength: 1, maxLength: 3 }), (count, groups) => {
      const events = execs(count)
      const routes = groups.flatMap((masks, group) => {
        const encoder = new Numbering()
        return masks.map((mask, i) => {
          const takes = ({ seq }: Event): boolean => mask === undefined || ((mask >> (seq % 8)) & 1) === 1
          const filter = mask === undefined ? {} : { filter: filterBy(takes) }
          const { sender } = watched(`${group}-${i}`)
          const route: Route = { encoder, sender, ...filter }
          return { route, sender, takes, encoder }
        })
      })
      new FanOut(routes.map(({ route }) => route)).publish(events)
      for (const { sender, takes } of routes) {
        const wanted = events.filter(takes)
        const want = describe(new Numbering().encode(wanted), wanted)
        const got = sender.offered
        assert.equal(Buffer.concat(got.map(({ bytes }) => bytes)).toString(), Buffer.from(want.bytes).toString())
        assert.ok(got.every(({ count: lines, ends }) => lines === ends.length && lines > 0))
        const all = got.every(isDescribed) ? got.flatMap(({ seqs }) => [...seqs]) : undefined
        if (all !== undefined) assert.deepEqual(all, [...want.seqs])
      }
    }),
    { numRuns: 60 },
  )
})
