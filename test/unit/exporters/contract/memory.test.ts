/** Memory is freed after its last user is done, not before; and never memory that others share. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Event } from '../../../../exporters/contract/event.ts'
import { createJsonEncoder } from '../../../../exporters/encoding/json-line.ts'
import { shareLast } from '../../../../exporters/encoding/share-last.ts'
import type { Encoded, Encoder } from '../../../../exporters/contract/exporter.ts'
import { FanOut } from '../../../../exporters/fanout.ts'
import type { EventFilter } from '../../../../exporters/filtering/filter.ts'
import { Memory, slice, split } from '../../../../exporters/contract/encoded.ts'
import { Sender } from '../../../../exporters/sending/sender.ts'
import { makeExec } from '../support/events.ts'
import { FakeClock, settle } from '../support/fake-clock.ts'
import { FakeExporter, gate, lines, numbers } from '../support/lines.ts'
import { CHAIN } from '../../../support/exporter-config.ts'

const OWN_BYTES = 1 << 20
const LINE_BYTES = 1000
const events = (count: number): Event[] => numbers(0, count).map((seq) => makeExec({ seq }))

test('memory: is freed after the last user, with every view of it', () => {
  const bytes = Buffer.allocUnsafe(OWN_BYTES)
  const view = bytes.subarray(10, 20)
  const memory = new Memory(bytes)
  memory.hold(2)
  memory.done()
  assert.deepEqual([bytes.length, view.length], [OWN_BYTES, 10])
  memory.hold()
  memory.done()
  assert.equal(view.length, 10)
  memory.done()
  assert.deepEqual([bytes.length, view.length], [0, 0])
  memory.done()
})

for (const [name, make] of [
  ['in the pool', (): Buffer => Buffer.from('short')],
  ['a part of something', (): Buffer => Buffer.alloc(OWN_BYTES).subarray(1)],
  ['the beginning of something', (): Buffer => Buffer.alloc(OWN_BYTES).subarray(0, -2)],
] as const) {
  test(`memory: ${name} is left to the garbage collector`, () => {
    const bytes = make()
    const { length } = bytes
    new Memory(bytes, 1).done()
    assert.equal(bytes.length, length)
  })
}

test('memory: each cut part is a user, one that replaces the whole is not', () => {
  const { bytes, ...rest } = lines(0, 10, 10_000)
  const own = new Uint8Array(bytes)
  const memory = new Memory(own, 1)
  const whole: Encoded = { ...rest, bytes: own, memory }
  const parts = split(slice(whole, 1, 10), 40_000, 100)
  assert.equal(parts.length, 3)
  for (const [i, part] of parts.entries()) {
    assert.ok(own.length > 0, `before part ${i}`)
    part.memory?.done()
  }
  assert.equal(own.length, 0)
})

test('memory: a shared line is encoded again after its users are done', () => {
  const shared = shareLast(createJsonEncoder({ nodeName: 'n' }))
  const some = events(200)
  const first = shared.encode(some)
  assert.equal(shared.encode(some), first)
  const text = Buffer.from(first.bytes).toString()
  first.memory?.hold()
  first.memory?.done()
  assert.equal(first.bytes.length, 0)
  assert.equal(Buffer.from(shared.borrow?.(some).bytes ?? []).toString(), text)
})

/** Records what it made. */
class Watched implements Encoder {
  readonly encoding = 'json'
  readonly made: Encoded[] = []

  encode(all: readonly Event[]): Encoded {
    const encoded = lines(all[0]?.seq ?? 0, all.length, LINE_BYTES)
    const bytes = new Uint8Array(encoded.bytes)
    this.made.push({ ...encoded, bytes, memory: new Memory(bytes) })
    return this.made.at(-1) ?? encoded
  }
}

function senderTo(exporter: FakeExporter): Sender {
  // Each slice of the fan-out is cut into several parts, and sent in several batches.
  const batch = { max_events: 60, max_bytes: 1 << 20, max_wait: 0 }
  return new Sender('test', exporter, { ...CHAIN, batch }, { clock: new FakeClock() })
}

/** Takes every second event. */
const half: EventFilter = { accepts: (event) => event.seq % 2 === 0, filtered: {} }

for (const [name, releases, filter, freed] of [
  ['all users of a slice release it', [true, true], undefined, true],
  ['one of them keeps slices', [true, false], undefined, false],
  ['another has every second event cut out', [true, true], half, true],
] as const satisfies ReadonlyArray<readonly [string, readonly boolean[], EventFilter | undefined, boolean]>) {
  test(`memory: of a slice ${freed ? 'is freed' : 'stays'} if ${name}`, async () => {
    const { answer, open } = gate()
    const exporters = [new FakeExporter(answer), new FakeExporter()]
    exporters.forEach((exporter, i) => (exporter.releases = releases[i] ?? false))
    const encoder = new Watched()
    const [first, second] = exporters.map((exporter) => ({ encoder, sender: senderTo(exporter) }))
    assert.ok(first !== undefined && second !== undefined)
    const fanOut = new FanOut([first, filter === undefined ? second : { ...second, filter }])
    await fanOut.start()
    void fanOut.publish(events(200))
    await settle()
    const [{ bytes } = { bytes: Buffer.alloc(0) }] = encoder.made
    assert.ok(bytes.length > 0, 'the first batch must still have its bytes')
    assert.ok(bytes.byteOffset === 0 && bytes.buffer.byteLength === bytes.length, 'its own memory')
    for (let i = 0; i < 4; i++) {
      assert.ok(bytes.length > 0, `before batch ${i}`)
      open({ status: 'delivered' })
      await settle()
    }
    assert.equal(first.sender.accounting().delivered, 200)
    assert.equal(second.sender.accounting().delivered, filter === undefined ? 200 : 100)
    assert.equal(bytes.length === 0, freed)
  })
}
