/** Numbers of records by exporter: from the fan-out through encoders, pieces, losses and the spool. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { batchOf, slice, spanOf } from '../../../exporters/contract/encoded.ts'
import type { Event, LossEvent, RunEvent } from '../../../exporters/contract/event.ts'
import type { Encoded } from '../../../exporters/contract/exporter.ts'
import { Numberings } from '../../../exporters/contract/numbering.ts'
import { EncoderPool } from '../../../exporters/encoding/pool.ts'
import { frameOf, pieceOf } from '../../../exporters/buffer/disk/format/payload.ts'
import { describe } from '../../../exporters/contract/described.ts'
import { FanOut } from '../../../exporters/fanout.ts'
import type { Route } from '../../../exporters/fanout.ts'
import { createFilter } from '../../../exporters/filtering/filter.ts'
import { Sender } from '../../../exporters/sending/sender.ts'
import { CHAIN } from '../../support/exporter-config.ts'
import { makeChange, makeExec, makeExit } from './support/events.ts'
import { FakeClock, settle } from './support/fake-clock.ts'
import { FakeExporter } from './support/lines.ts'

const time = { sec: 1, nsec: 0 }
const run = (seq: number, phase: RunEvent['phase']): RunEvent => {
  return {
    type: 'agent_run',
    seq,
    time,
    phase,
    heartbeatMs: 60_000,
    previous: { archive: 'e0' },
    filtered: ['exits'],
    moved: { exits: 3 },
  }
}
const lost: LossEvent = {
  type: 'events_lost',
  seq: 9,
  time,
  loss: { stage: 'exporter', exporter: 'archive', reason: 'queue_full' },
  count: 2,
  firstSeq: 4,
  lastSeq: 5,
  numbers: { first: 3, last: 4 },
}

/** The parts that an exporter got. */
class Rig {
  readonly sent: Encoded[] = []
  readonly exporter = new FakeExporter((batch) => {
    this.sent.push(...batch.parts)
    return { status: 'delivered' }
  })

  route(name: string, rest: Omit<Route, 'sender'>): Route {
    return { ...rest, sender: new Sender(name, this.exporter, CHAIN, { clock: new FakeClock() }) }
  }

  /** `ktrail` of each line. */
  get envelopes(): unknown[] {
    return this.sent.flatMap(({ bytes }) =>
      Buffer.from(bytes)
        .toString()
        .trimEnd()
        .split('\n')
        .map((line): unknown => JSON.parse(line).ktrail),
    )
  }
}

async function published(routes: readonly Route[], ...calls: Array<readonly Event[]>): Promise<void> {
  const fanOut = new FanOut(routes)
  await fanOut.start()
  for (const events of calls) assert.equal(fanOut.publish(events), undefined)
  await fanOut.flush(1000)
  await settle()
}

test('numbers: each exporter numbers the events that pass its filter; bytes and description agree', async () => {
  const pool = new EncoderPool('n')
  const numberings = new Numberings('e1')
  const [archive, exits, plain] = [new Rig(), new Rig(), new Rig()]
  const filter = createFilter({ event_types: ['process_exit'] })
  await published(
    [
      archive.route('archive', {
        encoder: pool.linesFor({ numbering: numberings.of('archive'), envelope: true, extended: false }),
        numbering: numberings.of('archive'),
      }),
      exits.route('exits', {
        encoder: pool.linesFor({ numbering: numberings.of('exits'), envelope: true, extended: false }),
        numbering: numberings.of('exits'),
        filter,
      }),
      plain.route('plain', { encoder: pool.json() }),
    ],
    [run(0, 'start')],
    [makeExec({ seq: 1 }), makeExit({ seq: 2 }), makeExec({ seq: 3 })],
    [makeExit({ seq: 4 })],
    [lost],
    [makeChange({ seq: 8 })],
    [run(10, 'stop')],
  )
  const of = (seq: number, exporter: string, number: number, more: object = {}): object => {
    return { seq: `e1-${seq}`, exporter_seq: `${exporter}-${number}`, ...more }
  }
  const loss = { stage: 'exporter', exporter: 'archive', reason: 'queue_full', count: 2, first: 3, last: 4 }
  const phase = (name: string, previous: string): object => {
    const own = previous === '' ? { events: 'filtered', moved: 3 } : { events: 'all' }
    return { run: { phase: name, heartbeat_ms: 60_000, previous, ...own } }
  }
  assert.deepEqual(archive.envelopes, [
    of(0, 'archive', 0, phase('start', 'e0')),
    of(1, 'archive', 1),
    of(2, 'archive', 2),
    of(3, 'archive', 3),
    of(4, 'archive', 4),
    of(9, 'archive', 5, { loss }),
    of(8, 'archive', 6),
    of(10, 'archive', 7, phase('stop', 'e0')),
  ])
  assert.deepEqual(exits.envelopes, [
    of(0, 'exits', 0, phase('start', '')),
    of(2, 'exits', 1),
    of(4, 'exits', 2),
    of(9, 'exits', 3, { loss }),
    of(8, 'exits', 4),
    of(10, 'exits', 5, phase('stop', '')),
  ])
  assert.deepEqual(
    archive.sent.map(({ number, count }) => [number, count]),
    [
      [0, 1],
      [1, 3],
      [4, 1],
      [5, 1],
      [6, 1],
      [7, 1],
    ],
  )
  const kinds = plain.sent.flatMap(
    ({ bytes }) =>
      Buffer.from(bytes)
        .toString()
        .match(/^\{"\w+/gm) ?? [],
  )
  const want = ['{"process_exec', '{"process_exit', '{"rate_limit_info', '{"agent_change']
  assert.deepEqual(new Set(kinds), new Set(want), 'no record about the run')
})

test('numbers: without its envelope a line is the plain one, and a record about the run has no event', () => {
  const pool = new EncoderPool('n')
  const events = [makeExec({ seq: 1 }), lost, run(2, 'start')]
  const plain = Buffer.from(pool.json().encode(events).bytes).toString()
  const full = Buffer.from(
    pool.linesFor({ numbering: new Numberings('e').of('a'), envelope: true, extended: false }).encode(events).bytes,
  ).toString()
  assert.equal(full.replaceAll(/,"ktrail":\{.*\}\}$/gm, '}'), plain)
  assert.equal(plain.split('\n')[2], '{"node_name":"n","time":"1970-01-01T00:00:01Z"}')
  const nameless = new EncoderPool('').json().encode([run(0, 'stop')])
  assert.equal(Buffer.from(nameless.bytes).toString(), '{"time":"1970-01-01T00:00:01Z"}\n')
})

test('numbers: an exporter that is replaced under its name continues its numbers', async () => {
  const numberings = new Numberings('e1')
  const [first, second] = [new Rig(), new Rig()]
  for (const [i, rig] of [first, second].entries()) {
    const encoder = new EncoderPool('n').linesFor({
      numbering: numberings.of('archive'),
      envelope: true,
      extended: false,
    })
    await published([rig.route('archive', { encoder, numbering: numberings.of('archive') })], [makeExec({ seq: i })])
  }
  assert.deepEqual(second.envelopes, [{ seq: 'e1-1', exporter_seq: 'archive-1' }])
})

test('numbers: a piece has the number of its first event, and a loss those of its events', () => {
  const encoded = new EncoderPool('n').json().encode([0, 1, 2, 3].map((seq) => makeExec({ seq })))
  const whole = { ...encoded, number: 7 }
  const piece = slice(whole, 1, 3)
  assert.equal(piece.number, 8)
  assert.deepEqual(spanOf(batchOf([piece, slice(whole, 3, 4)])), {
    firstSeq: 1,
    lastSeq: 3,
    numbers: { first: 8, last: 10 },
  })
})

test('numbers: events keep their numbers in the spool, and records about the agent their content', () => {
  const events = [lost, run(3, 'heartbeat')]
  const piece = { ...describe(new EncoderPool('n').json().encode(events), events), number: 12 }
  const { parts } = frameOf(piece)
  const back = pieceOf({ payload: Buffer.concat(parts), count: 2, epoch: 'e0' }, 'json')
  assert.ok(!('why' in back))
  assert.equal(back.number, 12)
  assert.deepEqual(back.abouts, piece.abouts)
})
