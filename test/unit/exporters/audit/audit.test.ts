/** The audit against the truth: streams as an agent writes them, with known faults. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Audit } from '../../../../exporters/audit/audit.ts'
import type { StreamReport } from '../../../../exporters/audit/audit.ts'
import { numbersOf, readLine } from '../../../../exporters/audit/envelope.ts'
import { readOtlp } from '../../../../exporters/audit/otlp.ts'
import { DEFAULT_RECORDS } from '../../../../config/agent/exporters/otlp-records.ts'
import { NumberSet } from '../../../../exporters/audit/number-set.ts'
import { changeOf } from '../../../../exporters/contract/described.ts'
import { Numberings } from '../../../../exporters/contract/numbering.ts'
import type { Event, LossEvent, RunEvent } from '../../../../exporters/contract/event.ts'
import { createJsonEncoder } from '../../../../exporters/encoding/json-line.ts'
import { createOtlpEncoder } from '../../../../exporters/encoding/otlp/encode.ts'
import { RecordHeaders } from '../../../../exporters/sinks/kafka/headers.ts'
import { EncoderPool } from '../../../../exporters/encoding/pool.ts'
import { requestOf } from '../sinks/otlp/support.ts'
import { makeChange, makeExec } from '../support/events.ts'

const START_S = 1_790_000_000
const LATER_MS = (START_S + 1_000_000) * 1000
const EXPORTER = 'archive'

/** A small generator (mulberry32): a failing seed can be repeated. */
function randomOf(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

/** Lines of an honest agent: three runs with heartbeats, and drops of a full queue, with their loss records. */
interface Written {
  readonly lines: string[]
  /** Index of the first line of each run, and of the end. */
  readonly starts: number[]
  readonly lossLines: number[]
}

function written(random: (below: number) => number): Written {
  const lines: string[] = []
  const starts: number[] = []
  const lossLines: number[] = []
  let sec = START_S
  for (const [i, run] of ['run1', 'run2', 'run3'].entries()) {
    starts.push(lines.length)
    const numbering = new Numberings(run).of(EXPORTER)
    const encoder = new EncoderPool('n').linesFor({ numbering, envelope: true, extended: false })
    let seq = 0
    const accept = (event: Event, dropped = false): void => {
      const line = Buffer.from(encoder.encode([{ ...event, seq: seq++ }]).bytes).toString()
      numbering.take(1)
      if (!dropped) lines.push(line)
    }
    const now = (): { sec: number; nsec: number } => ({ sec: sec++, nsec: 0 })
    const mark = (phase: RunEvent['phase']): RunEvent => {
      const previous: Record<string, string> = i === 0 ? {} : { [EXPORTER]: `run${i}` }
      return { type: 'agent_run', seq: 0, time: now(), phase, heartbeatMs: 60_000, previous, filtered: [] }
    }
    accept(mark('start'))
    const drops = 5 + random(20)
    for (let k = 0; k < 40; k++) {
      if (k === drops) {
        const first = numbering.next
        const count = 1 + random(4)
        for (let d = 0; d < count; d++) accept(makeExec({ seq: d, time: now() }), true)
        const loss: LossEvent = {
          type: 'events_lost',
          seq: 0,
          time: now(),
          loss: { stage: 'exporter', exporter: EXPORTER, reason: 'queue_full' },
          count,
          firstSeq: undefined,
          lastSeq: undefined,
          numbers: random(2) === 0 ? { first, last: first + count - 1 } : undefined,
        }
        lossLines.push(lines.length)
        accept(loss)
      }
      accept(k % 13 === 12 ? mark('heartbeat') : makeExec({ seq: k, time: now() }))
    }
    accept(mark('stop'))
  }
  starts.push(lines.length)
  return { lines, starts, lossLines }
}

function audited(lines: readonly string[], nowMs = LATER_MS, partial = false): StreamReport[] {
  const audit = new Audit()
  for (const line of lines) {
    const record = readLine(line, 'file')
    if (record !== undefined) audit.add(record)
  }
  return audit.report({ nowMs, partial })
}

function found(lines: readonly string[]): boolean {
  const streams = audited(lines)
  return (
    streams.length !== 1 || streams.some(({ whole, consistent, runs }) => !whole || !consistent || runs.some(isOdd))
  )
}

function isOdd({ twice, outOfOrder }: StreamReport['runs'][number]): boolean {
  return twice > 0 || outOfOrder > 0
}

const FAULTS: Readonly<Record<string, (honest: Written, random: (below: number) => number) => string[]>> = {
  removed: ({ lines }, random) => lines.toSpliced(random(lines.length), 1 + random(3)),
  doubled: ({ lines }, random) => {
    const at = random(lines.length)
    return lines.toSpliced(random(lines.length), 0, lines[at] ?? '')
  },
  swapped: ({ lines, starts }, random) => {
    // Within a run: whole runs may come in any order, as a spool makes them.
    const run = random(3)
    const from = starts[run] ?? 0
    const length = (starts[run + 1] ?? 0) - from
    const [a, b] = [from + random(length - 1), from + length - 1]
    const other = a + 1 + random(b - a)
    return lines.with(a, lines[other] ?? '').with(other, lines[a] ?? '')
  },
  'cut tail': ({ lines }, random) => lines.slice(0, lines.length - 1 - random(40)),
  'missing run': ({ lines, starts }, random) => {
    const run = random(2)
    return lines.toSpliced(starts[run] ?? 0, (starts[run + 1] ?? 0) - (starts[run] ?? 0))
  },
  'loss record removed': ({ lines, lossLines }, random) => {
    return lines.toSpliced(lossLines[random(lossLines.length)] ?? 0, 1)
  },
}

/** The lines of a run as objects, so that their numbers can be changed. */
interface Numbered {
  ktrail: { seq: string; exporter_seq: string; loss?: { count: number }; run?: { phase: string } }
}

/** Changes the lines of the second run, which `change` gets with their indexes there. */
function changed({ lines, starts }: Written, change: (all: Numbered[]) => Numbered[]): string[] {
  const [from = 0, to = 0] = starts.slice(1)
  const run = lines.slice(from, to).map((line): Numbered => JSON.parse(line))
  return lines.toSpliced(from, to - from, ...change(run).map((line) => `${JSON.stringify(line)}\n`))
}

const numberIn = (text: string): number => Number(text.slice(text.lastIndexOf('-') + 1))
const plus = (text: string, more: number): string => `${text.slice(0, text.lastIndexOf('-'))}-${numberIn(text) + more}`

/** Forgeries by a user who can write to the sink but does not know all numbers. */
const FORGERIES: ReadonlyArray<
  readonly [
    name: string,
    forge: (all: Numbered[]) => Numbered[],
    want: Partial<StreamReport['runs'][number]['contradictions']>,
  ]
> = [
  [
    'removed and exporter_seq renumbered: a hole in seq',
    (all) =>
      all.toSpliced(2, 2).map(({ ktrail, ...line }, i) => {
        return { ...line, ktrail: i < 2 ? ktrail : { ...ktrail, exporter_seq: plus(ktrail.exporter_seq, -2) } }
      }),
    { holes: [{ before: 2, events: 2 }] },
  ],
  [
    'seq of two records exchanged',
    (all) => {
      const [a, b] = [all[2], all[3]]
      if (a === undefined || b === undefined) return all
      return all
        .with(2, { ...a, ktrail: { ...a.ktrail, seq: b.ktrail.seq } })
        .with(3, { ...b, ktrail: { ...b.ktrail, seq: a.ktrail.seq } })
    },
    { disagreeing: 1 },
  ],
  [
    'a seq below exporter_seq',
    (all) =>
      all.map((line, i) => (i === 2 ? { ...line, ktrail: { ...line.ktrail, seq: plus(line.ktrail.seq, -1) } } : line)),
    { disagreeing: 1 },
  ],
  [
    'a loss counted higher than what is missing',
    (all) =>
      all.map(({ ktrail, ...line }) => {
        const { loss } = ktrail
        return {
          ...line,
          ktrail: loss === undefined ? ktrail : { ...ktrail, loss: { ...loss, count: loss.count + 3 } },
        }
      }),
    { overcounted: 3 },
  ],
  [
    'records behind the stop',
    (all) => {
      const last = all.at(-2)
      if (last === undefined) return all
      const { ktrail, ...line } = last
      const more = [2, 3].map((n) => ({
        ...line,
        ktrail: { seq: plus(ktrail.seq, n), exporter_seq: plus(ktrail.exporter_seq, n) },
      }))
      return [...all, ...more]
    },
    { afterStop: 2 },
  ],
]
const NO_CONTRADICTION = { disagreeing: 0, holes: [], afterStop: 0, overcounted: 0 }

for (const [name, forge, want] of FORGERIES) {
  test(`audit: finds, without a key: ${name}`, () => {
    for (let seed = 0; seed < 20; seed++) {
      const honest = written(randomOf(seed))
      assert.deepEqual(audited(honest.lines)[0]?.runs[1]?.contradictions, NO_CONTRADICTION)
      const [stream] = audited(changed(honest, forge))
      // A changed number may contradict the range of a loss record, too.
      const got = stream?.runs[1]?.contradictions
      assert.deepEqual([{ ...got, ...want }, stream?.consistent], [got, false])
      assert.deepEqual(stream?.runs[0]?.contradictions, NO_CONTRADICTION)
    }
  })
}

test('audit: an exporter with a filter, or of an older release, leaves out events without a hole', () => {
  const honest = written(randomOf(4))
  const sparse = (events: string | undefined): string[] =>
    honest.lines.map((text) => {
      const { ktrail, ...line } = JSON.parse(text)
      const seq = plus(ktrail.seq, 3 * numberIn(ktrail.exporter_seq))
      return JSON.stringify({
        ...line,
        ktrail: { ...ktrail, seq, ...(ktrail.run && { run: { ...ktrail.run, events } }) },
      })
    })
  for (const events of ['filtered', undefined]) assert.equal(found(sparse(events)), false, events)
  assert.ok(found(sparse('all')))
})

test('audit: records of several places and in any order do not contradict each other', () => {
  const { lines } = written(randomOf(5))
  const audit = new Audit()
  const records = lines.flatMap((line) => readLine(line, '') ?? [])
  const random = randomOf(6)
  for (const record of records.map((each) => ({ each, at: random(1e9) })).toSorted((a, b) => a.at - b.at)) {
    audit.add(record.each)
  }
  const [stream] = audit.report({ nowMs: LATER_MS, partial: false })
  assert.deepEqual([stream?.whole, stream?.consistent], [true, true])
})

test('audit: a moved exporter’s earlier records are mentioned, for a move within a run and between two runs', () => {
  const { lines, starts } = written(randomOf(2))
  const [, second = 0, third = 0] = starts
  const first = numberIn(JSON.parse(lines[second + 10] ?? '').ktrail.exporter_seq)
  // The exporter moved in the second run, after ten records.
  const moved = lines.slice(second + 10).map((text, i) => {
    const { ktrail, ...line } = JSON.parse(text)
    const run = i < third - second - 10 && ktrail.run !== undefined ? { ...ktrail.run, moved: first } : ktrail.run
    return JSON.stringify({ ...line, ktrail: { ...ktrail, ...(run && { run }) } })
  })
  const [stream] = audited(moved)
  assert.deepEqual([stream?.whole, stream?.consistent, stream?.runsElsewhere], [true, true, ['run1']])
  assert.deepEqual([stream?.runs[0]?.untold, stream?.runs[0]?.elsewhere.at(0)?.first], [[], 0])
  assert.equal(audited(moved.toSpliced(4, 1))[0]?.whole, false)
  // Between two runs.
  const later = lines.slice(third).map((text) => text.replace('"previous":"run2"', '"previous":"run2","moved":0'))
  assert.deepEqual([audited(later)[0]?.whole, audited(later)[0]?.runsElsewhere], [true, ['run2']])
  assert.equal(audited(lines.slice(third))[0]?.whole, false)
})

test('audit: finds each of 300 seeded faults, and none in an honest sink', () => {
  const kinds = Object.entries(FAULTS)
  for (let seed = 0; seed < 300; seed++) {
    const random = randomOf(seed)
    const honest = written(random)
    assert.ok(!found(honest.lines), `seed ${seed}: a fault where there is none`)
    const [kind, make] = kinds[seed % kinds.length] ?? []
    const faulty = make?.(honest, random) ?? []
    assert.ok(found(faulty), `seed ${seed}: ${kind} was not found`)
  }
})

test('audit: reports the missing numbers, and the loss record that names them', () => {
  const honest = written(randomOf(3))
  const [stream] = audited(honest.lines)
  assert.equal(stream?.whole, true)
  for (const { told, untold, end } of stream.runs) {
    assert.equal(told[0]?.reason, 'queue_full')
    assert.deepEqual([untold, end], [[], 'stopped'])
  }
  const [faulty] = audited(honest.lines.toSpliced(2, 2))
  assert.deepEqual(faulty?.runs[0]?.untold, [{ first: 2, last: 3 }])
})

test('audit: a run without a stop is running until a heartbeat is overdue; then its end is unknown', () => {
  const { lines } = written(randomOf(1))
  const cut = lines.slice(0, -1)
  const lastMs = audited(cut)[0]?.runs.at(-1)?.lastMs ?? 0
  assert.deepEqual(
    [60_000, 89_000, 91_000].map((ms) => audited(cut, lastMs + ms)[0]?.runs.at(-1)?.end),
    ['running', 'running', 'open'],
  )
})

test('audit: with partial, records that a sink has deleted at the beginning are not missing', () => {
  const { lines, starts } = written(randomOf(2))
  const from = (starts[1] ?? 0) + 5
  assert.equal(audited(lines.slice(from))[0]?.whole, false)
  assert.equal(audited(lines.slice(from), LATER_MS, true)[0]?.whole, true)
  assert.equal(audited(lines.slice(from).toSpliced(10, 1), LATER_MS, true)[0]?.whole, false)
})

test('audit: a run without the name of the previous run is found if there is a previous run', () => {
  const { lines, starts } = written(randomOf(2))
  const forgotten = lines.map((line, i) =>
    i < (starts[1] ?? 0) ? line : line.replace(/"previous":"\w+"/, '"previous":""'),
  )
  assert.deepEqual(audited(forgotten)[0]?.unlinked, ['run2', 'run3'])
})

test('audit: the time in which nothing was watched between two runs, which clocks do not make up', () => {
  const { lines } = written(randomOf(2))
  const until = Date.parse('2026-11-30T20:00:00Z')
  const rows: ReadonlyArray<readonly [gapMs: number | undefined, want: number | undefined]> = [
    [0, 0],
    [2, 0],
    [-2, 0],
    [2_500, 2_500],
    [undefined, undefined],
  ]
  for (const [gapMs, want] of rows) {
    const marked = lines.map((line) => {
      const from = gapMs !== undefined && line.includes('"previous":"run1"')
      if (from) return line.replace('"previous":', `"from":"${new Date(until + gapMs).toISOString()}","previous":`)
      return line.replace('"phase":"stop"', `"phase":"stop","until":"${new Date(until).toISOString()}"`)
    })
    assert.equal(audited(marked)[0]?.runs[1]?.unwatchedMs, want, `${gapMs}`)
  }
})

test('audit: a record about the run may be in each partition, other records only in one', () => {
  const { lines } = written(randomOf(1))
  const records = lines.flatMap((line) => readLine(line, 'a') ?? [])
  const audit = new Audit()
  for (const record of records) {
    audit.add(record)
    if (record.mark !== undefined) audit.add({ ...record, place: 'b' })
  }
  assert.equal(audit.report({ nowMs: LATER_MS, partial: false })[0]?.runs.some(isOdd), false)
  for (const record of records.slice(0, 2)) audit.add({ ...record, place: 'b' })
  assert.equal(audit.report({ nowMs: LATER_MS, partial: false })[0]?.runs[0]?.twice, 2)
})

test('audit: a change is read from OTLP attributes and Kafka headers as from a line', () => {
  const change = makeChange({ seq: 7, names: ['shop/a', 'b'], count: 2, modeBefore: 'monitor' })
  const numbering = new Numberings('run1').of(EXPORTER)
  const want = {
    what: 'policy_removed',
    by: 'api uid=0 pid=812',
    names: 'shop/a, b',
    count: 2,
    mode: 'enforce',
    modeBefore: 'monitor',
  }
  const line = Buffer.from(
    new EncoderPool('n').linesFor({ numbering, envelope: true, extended: false }).encode([change]).bytes,
  ).toString()
  const json = createJsonEncoder({ nodeName: 'n' })
  const encoder = createOtlpEncoder({ ...DEFAULT_RECORDS, epoch: 'run1', numbering, json })
  const resource = { serviceName: 's', serviceVersion: '1', nodeName: 'n', kubernetes: false }
  const [record] = readOtlp(requestOf(encoder.encode([change]), resource), 'a')
  const context = { nodeName: 'n', epoch: 'run1', numbering }
  const about = { type: change.type, policy: '', change: changeOf(change) }
  const headers = new RecordHeaders({ format: 'json', cluster_name: '' }, context).own({
    seq: 7,
    number: 0,
    partitionSeq: 0,
    timestampMs: 0,
    about,
    epoch: undefined,
  })
  const where = { place: 'a', node: 'n', timeMs: 0 }
  const ofHeaders = numbersOf((name) => headers[name.replace('.', '_')], where)
  assert.deepEqual(
    [readLine(line, 'a'), record, ofHeaders].map((each) => (typeof each === 'object' ? each.change : each)),
    [want, want, want],
  )
})

test('audit: hostile numbers are no records, and gaps are bounded', () => {
  for (const seq of ['', 'run', 'run-', 'run-1e9', 'run--1', `${'r'.repeat(65)}-1`, 'RUN-1', 'run-9999999999999999']) {
    const line = JSON.stringify({ node_name: 'n', time: 'x', ktrail: { seq, exporter_seq: 'a-1' } })
    assert.equal(readLine(line, 'f'), undefined, seq)
  }
  assert.equal(readLine('{"ktrail":[1]}', 'f'), undefined)
  assert.equal(readLine('5', 'f'), undefined)
  const audit = new Audit()
  const record = { place: 'f', node: 'n', exporter: 'a', run: 'r', seq: 0, timeMs: 0 }
  for (let number = 0; number < 3_000_000; number += 2) audit.add({ ...record, number, seq: number })
  assert.throws(() => audit.report({ nowMs: 0, partial: false }), /expected at most 1000000 gaps/)
  const apart = new Audit()
  assert.throws(() => {
    for (let i = 0; i < 30_000; i++) apart.add({ ...record, number: i * 100_000, seq: i * 100_000 })
  }, /expected at most 16384 parts with gaps/)
})

test('audit: a set of numbers is as a plain one, in any order, with few gaps and with many', () => {
  const random = (below: number): number => Math.floor(Math.random() * below)
  for (const [many, below] of [
    [3000, 4000],
    [60_000, 200_000],
    [140_000, 131_072],
  ] as const) {
    const [numbers, plain] = [new NumberSet(), new Set<number>()]
    for (let i = 0; i < many; i++) {
      const number = random(3) === 0 ? i % below : random(below)
      assert.equal(numbers.add(number), !plain.has(number))
      plain.add(number)
    }
    const missing = Array.from({ length: Math.max(...plain) + 1 }, (_, i) => i).filter((each) => !plain.has(each))
    const gaps = numbers
      .gaps(0)
      .flatMap(({ first, last }) => Array.from({ length: last - first + 1 }, (_, i) => first + i))
    assert.deepEqual(gaps, missing)
    const above = random(below)
    const counted = [...plain].filter((each) => each > above).length
    assert.deepEqual(
      [numbers.size, numbers.first, numbers.countAbove(above)],
      [plain.size, Math.min(...plain), counted],
    )
  }
})

test('audit: ten million numbers, read partition by partition, are one run without gaps, in memory of 32 MB', () => {
  const [audit, partitions, count] = [new Audit(), 7, 10_000_000]
  const record = { node: 'n', exporter: 'a', run: 'r', timeMs: 0 }
  const before = process.memoryUsage()
  for (let first = 0; first < partitions; first++) {
    const place = String(first)
    for (let number = first; number < count; number += partitions) audit.add({ ...record, place, number, seq: number })
  }
  const { arrayBuffers } = process.memoryUsage()
  assert.ok(arrayBuffers - before.arrayBuffers < 32 << 20, `${arrayBuffers - before.arrayBuffers} bytes`)
  const [stream] = audit.report({ nowMs: 0, partial: false })
  assert.deepEqual([stream?.runs[0]?.records, stream?.runs[0]?.untold, stream?.runs[0]?.outOfOrder], [count, [], 0])
})

test('audit: reports of very many gaps are found fast', () => {
  const audit = new Audit()
  const record = { place: 'f', node: 'n', exporter: 'a', run: 'r', timeMs: 0 }
  const loss = { stage: 'exporter', exporter: 'a', reason: 'queue_full', count: 1 } as const
  for (let i = 0; i < 30_000; i++) {
    const [number, first] = [2 * i + 1, 2 * i]
    const numbers = i % 2 === 0 ? { numbers: { first, last: first } } : {}
    audit.add({ ...record, number, seq: number, loss: { ...loss, ...numbers } })
  }
  const { user } = process.cpuUsage()
  const [stream] = audit.report({ nowMs: 0, partial: false })
  const seconds = (process.cpuUsage().user - user) / 1e6
  assert.deepEqual([stream?.runs[0]?.told.length, stream?.runs[0]?.untold], [30_000, []])
  assert.ok(seconds < 2, `expected at most 2 s, took ${seconds}`)
})

test('audit: bytes that are no OTLP request are one unreadable record', () => {
  assert.deepEqual([...readOtlp(Buffer.from('no request'), 'a')], ['unreadable'])
})
