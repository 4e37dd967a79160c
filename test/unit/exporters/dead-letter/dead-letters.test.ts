import assert from 'node:assert/strict'
import { mkdirSync, rmSync, statSync } from 'node:fs'
import { test } from 'node:test'
import { DeadLetterFile } from '../../../../exporters/dead-letter/dead-letters.ts'
import type { DeadLetterOptions } from '../../../../exporters/dead-letter/dead-letters.ts'
import type { Described } from '../../../../exporters/described.ts'
import type { Encoded, Encoding, Refusal } from '../../../../exporters/exporter.ts'
import { FakeClock, settle, until } from '../support/fake-clock.ts'
import { FaultyFiles } from '../support/faulty-files.ts'
import { Folder } from '../support/folder.ts'
import { batch, lines } from '../support/lines.ts'

interface Rig {
  readonly letters: DeadLetterFile
  readonly files: FaultyFiles
  readonly clock: FakeClock
  readonly warnings: string[]
}

function make(folder: Folder, change: Partial<DeadLetterOptions> = {}): Rig {
  const files = new FaultyFiles()
  const clock = new FakeClock()
  const warnings: string[] = []
  const options = {
    exporter: 'loki',
    epoch: 'e1',
    path: folder.at('refused.jsonl'),
    maxSizeBytes: 1 << 20,
    maxFiles: 3,
  }
  const deps = { files, clock, warn: ({ message }: Error) => warnings.push(message) }
  return { letters: new DeadLetterFile({ ...options, ...change }, deps), files, clock, warnings }
}

const refusal = (which: readonly number[] | undefined, events = which?.length ?? 0): Refusal => ({
  reason: 'line_too_long',
  message: 'line 300000 > 262144 "bytes"\n',
  events,
  ...(which === undefined ? {} : { which }),
})

/** The objects of all lines of all files; throws where a line is torn or no JSON. */
function written(folder: Folder): Array<Record<string, unknown>> {
  return folder
    .names()
    .flatMap((name) => folder.read(name).split('\n').slice(0, -1))
    .map((line): Record<string, unknown> => ({ ...JSON.parse(line) }))
}

/** Events whose encoded form is as given. */
function encoded(encoding: Encoding, ...events: readonly Uint8Array[]): Encoded {
  let end = 0
  const ends = Uint32Array.from(events, ({ length }) => (end += length))
  return { encoding, bytes: Buffer.concat(events), ends, count: events.length, firstSeq: 7 }
}

test('dead letters: each refused event is a line with its name, the reason and what the sink said', async () => {
  using folder = new Folder()
  const { letters } = make(folder)
  letters.write(batch(lines(0, 3), lines(3, 2)), [refusal([1, 4])])
  await letters.close()
  const said = {
    time: '2026-11-24T14:03:09.123Z',
    exporter: 'loki',
    reason: 'line_too_long',
    message: 'line 300000 > 262144 "bytes"\n',
    encoding: 'json',
  }
  assert.deepEqual(written(folder), [
    { ...said, seq: 'e1-1', event: { id: 1 } },
    { ...said, seq: 'e1-4', event: { id: 4 } },
  ])
  assert.deepEqual(letters.counters, { written: 2, unwritten: 0, unnamed: 0, failures: 0 })
})

const ENCODINGS: ReadonlyArray<readonly [Encoding, Buffer, unknown]> = [
  ['json', Buffer.from('{"a":"é"}\n'), { a: 'é' }],
  ['otlp_json', Buffer.from('{"a":1},'), { a: 1 }],
  ['compact', Buffer.from('node 🚀 cat "x"\n'), 'node 🚀 cat "x"'],
  ['otlp', Buffer.from([0, 255, 10, 34]), 'AP8KIg=='],
]
for (const [encoding, bytes, want] of ENCODINGS) {
  test(`dead letters: an event in ${encoding} is a JSON value`, async () => {
    using folder = new Folder()
    const { letters } = make(folder)
    letters.write(batch(encoded(encoding, bytes, bytes)), [refusal([1])])
    await letters.close()
    assert.deepEqual(
      written(folder).map(({ event, seq, encoding: said }) => [event, seq, said]),
      [[want, 'e1-8', encoding]],
    )
  })
}

test('dead letters: events that are described bring their own numbers, and their own epoch from a spool', async () => {
  using folder = new Folder()
  const { letters } = make(folder)
  const described: Described = {
    ...lines(4, 3),
    abouts: [],
    times: new Float64Array(3),
    seqs: Float64Array.of(4, 9, 12),
  }
  const spooled: Described = { ...described, epoch: 'e0' }
  letters.write(batch(described, spooled), [refusal(undefined, 6)])
  await letters.close()
  assert.deepEqual(
    written(folder).map(({ seq }) => seq),
    ['e1-4', 'e1-9', 'e1-12', 'e0-4', 'e0-9', 'e0-12'],
  )
})

const WHICH: ReadonlyArray<readonly [name: string, refusal: Refusal, seqs: readonly string[], unnamed: number]> = [
  ['all, by their number', refusal(undefined, 4), ['e1-0', 'e1-1', 'e1-2', 'e1-3'], 0],
  ['more than there are, as all', refusal(undefined, 9), ['e1-0', 'e1-1', 'e1-2', 'e1-3'], 0],
  ['some of which the sink gave only the number', refusal(undefined, 3), [], 3],
  ['none', refusal([], 0), [], 0],
  ['indexes that are none, counted as unnamed', refusal([1, 4, 99, -1, 1.5]), ['e1-1'], 3],
  ['one index twice', refusal([2, 2]), ['e1-2'], 1],
  ['fewer indexes than events', refusal([0], 3), ['e1-0'], 2],
]
for (const [name, one, seqs, unnamed] of WHICH) {
  test(`dead letters: ${name}`, async () => {
    using folder = new Folder()
    const { letters } = make(folder)
    letters.write(batch(lines(0, 2), lines(2, 2)), [one])
    await letters.close()
    const all = seqs.length + unnamed === 0 ? [] : written(folder)
    const named = all.filter((line) => 'seq' in line)
    assert.deepEqual(
      named.map(({ seq }) => seq),
      seqs,
    )
    const rest = all.filter((line) => !('seq' in line))
    const among = { events: 4, first: 'e1-0', last: 'e1-3' }
    assert.deepEqual(
      rest.map(({ events, among: of, reason, encoding }) => ({ events, among: of, reason, encoding })),
      unnamed === 0 ? [] : [{ events: unnamed, among, reason: 'line_too_long', encoding: 'json' }],
    )
    assert.deepEqual(letters.counters, { written: seqs.length, unwritten: 0, unnamed, failures: 0 })
  })
}

test('dead letters: the page of HTML that a proxy answers is cut', async () => {
  using folder = new Folder()
  const { letters } = make(folder)
  letters.write(batch(lines(0, 1)), [{ ...refusal([0]), message: 'x'.repeat(100_000) }])
  await letters.close()
  assert.equal(String(written(folder)[0]?.['message']).length, 1000)
})

test('dead letters: without a refusal there is no file; with one it is for its owner only', async () => {
  using folder = new Folder()
  const { letters } = make(folder, { path: folder.at('new/refused.jsonl') })
  letters.write(batch(lines(0, 3)), [])
  await letters.flush()
  assert.deepEqual(folder.names(), [])
  letters.write(batch(lines(0, 3)), [refusal([0])])
  await letters.close()
  assert.equal(statSync(folder.at('new/refused.jsonl')).mode & 0o7777, 0o600)
})

test('dead letters: the file is rotated by size, the oldest go, and no line is torn', async () => {
  using folder = new Folder()
  const { letters } = make(folder, { maxSizeBytes: 1000, maxFiles: 2 })
  for (let i = 0; i < 30; i++) letters.write(batch(lines(i, 1)), [refusal([0])])
  await letters.close()
  assert.equal(folder.names().length, 3)
  for (const name of folder.names()) assert.ok(statSync(folder.at(name)).size <= 1000)
  const seqs = written(folder).map(({ seq }) => seq)
  assert.equal(seqs.at(-1), 'e1-29')
  assert.equal(letters.counters.written, 30)
})

test('dead letters: the bytes of the batch are not needed after the call', async () => {
  using folder = new Folder()
  const { letters } = make(folder)
  const sent = lines(0, 1)
  letters.write(batch(sent), [refusal([0])])
  sent.bytes.fill(0)
  await letters.close()
  assert.deepEqual(written(folder)[0]?.['event'], { id: 0 })
})

test('dead letters: a file that fails holds up nobody, is tried again, told once a minute, and then all is written', async () => {
  using folder = new Folder()
  const { letters, files, clock, warnings } = make(folder)
  files.plan = (call) => (call === 'writev' ? 'ENOSPC' : undefined)
  for (let i = 0; i < 10; i++) letters.write(batch(lines(i, 1)), [refusal([0])])
  await until('it has failed', () => letters.counters.failures === 1)
  for (let i = 10; i < 20; i++) letters.write(batch(lines(i, 1)), [refusal([0])])
  await settle()
  assert.equal(letters.counters.failures, 1, 'refusals do not try while the file fails')
  for (let i = 2; i <= 5; i++) {
    await clock.turn(5000)
    await until('it has failed again', () => letters.counters.failures === i && clock.pending.length > 0)
  }
  assert.equal(warnings.length, 1)
  assert.match(warnings[0] ?? '', /^cannot write to ".*refused.jsonl": no space left/)
  files.plan = () => undefined
  await clock.turn(5000)
  await until('all is written', () => letters.counters.written === 20)
  assert.equal(written(folder).length, 20)
  assert.equal(letters.counters.unwritten, 0)
  await letters.close()
  assert.deepEqual(clock.pending, [])
})

test('dead letters: what waits is bounded, the rest is counted and told', async () => {
  using folder = new Folder()
  const { letters, files, warnings } = make(folder, { maxQueuedBytes: 1000 })
  files.plan = () => 'EIO'
  letters.write(batch(lines(0, 1)), [refusal(undefined, 1)])
  letters.write(batch(lines(1, 99)), [refusal(undefined, 99)])
  const { unwritten } = letters.counters
  assert.ok(unwritten > 90 && unwritten < 99, `${unwritten}`)
  assert.match(
    warnings.join(),
    /^cannot keep what the sink of exporter "loki" refused: .*; \d+ events are in no file so far$/,
  )
  files.plan = () => undefined
  await letters.close()
  assert.equal(letters.counters.written, 100 - unwritten)
  assert.equal(written(folder).length, 100 - unwritten)
})

test('dead letters: where nothing waits, a batch is kept whole, however large', async () => {
  using folder = new Folder()
  const { letters } = make(folder, { maxQueuedBytes: 1000 })
  letters.write(batch(lines(0, 100, 500)), [refusal(undefined, 100)])
  await letters.close()
  assert.deepEqual({ ...letters.counters }, { written: 100, unwritten: 0, unnamed: 0, failures: 0 })
  assert.equal(written(folder).length, 100)
})

test('dead letters: a close while the file fails gives up, counts, and takes no more', async () => {
  using folder = new Folder()
  const { letters, files, clock } = make(folder)
  files.plan = (call) => (call === 'writev' ? 'EIO' : undefined)
  letters.write(batch(lines(0, 3)), [refusal([0, 1]), refusal(undefined, 1)])
  await letters.close()
  assert.deepEqual({ ...letters.counters, failures: 0 }, { written: 0, unwritten: 3, unnamed: 0, failures: 0 })
  letters.write(batch(lines(3, 2)), [refusal([0])])
  await letters.close()
  assert.equal(letters.counters.unwritten, 4)
  assert.deepEqual(clock.pending, [])
})

test('dead letters: a path that can never work is an error for whoever starts it, and only counted otherwise', async () => {
  using folder = new Folder()
  mkdirSync(folder.at('refused.jsonl'))
  await assert.rejects(make(folder).letters.start(), /expected a file, got a folder/)
  const { letters, warnings, clock } = make(folder)
  letters.write(batch(lines(0, 1)), [refusal([0])])
  await until('it has failed', () => letters.counters.failures === 1)
  assert.match(warnings.join(), /^cannot open ".*refused.jsonl": expected a file, got a folder/)
  rmSync(folder.at('refused.jsonl'), { recursive: true })
  await clock.turn(5000)
  await until('it is written', () => letters.counters.written === 1)
  await letters.close()
})
