import assert from 'node:assert/strict'
import { mkdirSync, rmSync, statSync } from 'node:fs'
import { test } from 'node:test'
import { DeadLetterFile } from '../../../../exporters/dead-letter/dead-letters.ts'
import type { DeadLetterConfig } from '../../../../config/agent/schema.ts'
import type { Described } from '../../../../exporters/contract/described.ts'
import type { Encoded, Encoding, Refusal } from '../../../../exporters/contract/exporter.ts'
import { FakeClock, settle, until } from '../support/fake-clock.ts'
import { FaultyFiles } from '../support/faulty-files.ts'
import { Folder } from '../support/folder.ts'
import { batch, lines } from '../support/lines.ts'

const NEVER = new AbortController().signal

/** Advances the clock in small steps until I/O and timers together fulfil the condition. */
async function turnUntil(clock: FakeClock, condition: () => boolean): Promise<void> {
  await until('it has ended', () => condition() || clock.pending.some((ms) => ms <= 500))
  while (!condition()) {
    await clock.turn(500)
    await until('it goes on', () => condition() || clock.pending.some((ms) => ms <= 500))
  }
}

interface Rig {
  readonly deadLetters: DeadLetterFile
  readonly files: FaultyFiles
  readonly clock: FakeClock
  readonly warnings: string[]
}

function make(folder: Folder, change: Partial<DeadLetterConfig> = {}): Rig {
  const files = new FaultyFiles()
  const clock = new FakeClock()
  const warnings: string[] = []
  const config = { path: folder.at('refused.jsonl'), max_size: 1 << 20, max_files: 3, ...change }
  const deps = { files, clock, warn: ({ message }: Error) => warnings.push(message) }
  return { deadLetters: new DeadLetterFile(config, { exporter: 'loki', epoch: 'e1' }, deps), files, clock, warnings }
}

const refusal = (which: readonly number[] | undefined, events = which?.length ?? 0): Refusal => ({
  reason: 'line_too_long',
  message: 'line 300000 > 262144 "bytes"\n',
  events,
  ...(which === undefined ? {} : { which }),
})

/** The objects of all lines of all files; throws if a line is torn or not JSON. */
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

test('dead-letter records: each rejected event is a line with its exporter, the reason and the message of the sink', async () => {
  using folder = new Folder()
  const { deadLetters } = make(folder)
  await deadLetters.write(batch(lines(0, 3), lines(3, 2)), [refusal([1, 4])], NEVER)
  await deadLetters.close()
  const expected = {
    time: '2026-11-24T14:03:09.123Z',
    exporter: 'loki',
    reason: 'line_too_long',
    message: 'line 300000 > 262144 "bytes"\n',
    encoding: 'json',
  }
  assert.deepEqual(written(folder), [
    { ...expected, seq: 'e1-1', event: { id: 1 } },
    { ...expected, seq: 'e1-4', event: { id: 4 } },
  ])
  assert.deepEqual(deadLetters.counters, { written: 2, unwritten: 0, unnamed: 0, failures: 0 })
})

const ENCODINGS: ReadonlyArray<readonly [Encoding, Buffer, unknown]> = [
  ['json', Buffer.from('{"a":"é"}\n'), { a: 'é' }],
  ['otlp_json', Buffer.from('{"a":1},'), { a: 1 }],
  ['compact', Buffer.from('node 🚀 cat "x"\n'), 'node 🚀 cat "x"'],
  ['otlp', Buffer.from([0, 255, 10, 34]), 'AP8KIg=='],
]
for (const [encoding, bytes, want] of ENCODINGS) {
  test(`dead-letter records: an event in ${encoding} is a JSON value`, async () => {
    using folder = new Folder()
    const { deadLetters } = make(folder)
    await deadLetters.write(batch(encoded(encoding, bytes, bytes)), [refusal([1])], NEVER)
    await deadLetters.close()
    assert.deepEqual(
      written(folder).map(({ event, seq, encoding: found }) => [event, seq, found]),
      [[want, 'e1-8', encoding]],
    )
  })
}

test('dead-letter records: described events have their own numbers, and their own epoch from a spool', async () => {
  using folder = new Folder()
  const { deadLetters } = make(folder)
  const described: Described = {
    ...lines(4, 3),
    abouts: [],
    times: new Float64Array(3),
    seqs: Float64Array.of(4, 9, 12),
  }
  const spooled: Described = { ...described, epoch: 'e0' }
  await deadLetters.write(batch(described, spooled), [refusal(undefined, 6)], NEVER)
  await deadLetters.close()
  assert.deepEqual(
    written(folder).map(({ seq }) => seq),
    ['e1-4', 'e1-9', 'e1-12', 'e0-4', 'e0-9', 'e0-12'],
  )
})

const WHICH: ReadonlyArray<readonly [name: string, refusal: Refusal, seqs: readonly string[], unnamed: number]> = [
  ['all, by their number', refusal(undefined, 4), ['e1-0', 'e1-1', 'e1-2', 'e1-3'], 0],
  ['more than exist, counted as all', refusal(undefined, 9), ['e1-0', 'e1-1', 'e1-2', 'e1-3'], 0],
  ['some of which the sink gave only the number', refusal(undefined, 3), [], 3],
  ['none', refusal([], 0), [], 0],
  ['invalid indexes, counted as unnamed', refusal([1, 4, 99, -1, 1.5]), ['e1-1'], 3],
  ['one index twice', refusal([2, 2]), ['e1-2'], 1],
  ['fewer indexes than events', refusal([0], 3), ['e1-0'], 2],
]
for (const [name, one, seqs, unnamed] of WHICH) {
  test(`dead-letter records: ${name}`, async () => {
    using folder = new Folder()
    const { deadLetters } = make(folder)
    await deadLetters.write(batch(lines(0, 2), lines(2, 2)), [one], NEVER)
    await deadLetters.close()
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
    assert.deepEqual(deadLetters.counters, { written: seqs.length, unwritten: 0, unnamed, failures: 0 })
  })
}

test('dead-letter records: a long HTML page of a proxy is cut', async () => {
  using folder = new Folder()
  const { deadLetters } = make(folder)
  await deadLetters.write(batch(lines(0, 1)), [{ ...refusal([0]), message: 'x'.repeat(100_000) }], NEVER)
  await deadLetters.close()
  assert.equal(String(written(folder)[0]?.['message']).length, 1000)
})

test('dead-letter records: without a rejected event there is no file; with one it is for its owner only', async () => {
  using folder = new Folder()
  const { deadLetters } = make(folder, { path: folder.at('new/refused.jsonl') })
  await deadLetters.write(batch(lines(0, 3)), [], NEVER)
  assert.deepEqual(folder.names(), [])
  await deadLetters.write(batch(lines(0, 3)), [refusal([0])], NEVER)
  await deadLetters.close()
  assert.equal(statSync(folder.at('new/refused.jsonl')).mode & 0o7777, 0o600)
})

test('dead-letter records: the file is rotated by size, the oldest files are deleted, and no line is torn', async () => {
  using folder = new Folder()
  const { deadLetters } = make(folder, { max_size: 1000, max_files: 2 })
  for (let i = 0; i < 30; i++) await deadLetters.write(batch(lines(i, 1)), [refusal([0])], NEVER)
  await deadLetters.close()
  assert.equal(folder.names().length, 3)
  for (const name of folder.names()) assert.ok(statSync(folder.at(name)).size <= 1000)
  const seqs = written(folder).map(({ seq }) => seq)
  assert.equal(seqs.at(-1), 'e1-29')
  assert.equal(deadLetters.counters.written, 30)
})

test('dead-letter records: the bytes of the batch are not needed after the call', async () => {
  using folder = new Folder()
  const { deadLetters } = make(folder)
  const sent = lines(0, 1)
  await deadLetters.write(batch(sent), [refusal([0])], NEVER)
  sent.bytes.fill(0)
  await deadLetters.close()
  assert.deepEqual(written(folder)[0]?.['event'], { id: 0 })
})

test('dead-letter records: while the disk is full a batch waits; its records are written once there is space, and it is reported once a minute', async () => {
  using folder = new Folder()
  const { deadLetters, files, clock, warnings } = make(folder)
  files.plan = (call) => (call === 'writev' ? 'ENOSPC' : undefined)
  let unwritten: readonly number[] | undefined
  void deadLetters.write(batch(lines(0, 10)), [refusal([0, 3])], NEVER).then((lost) => (unwritten = lost))
  for (let tries = 1; tries <= 4; tries++) {
    await until('it has failed', () => deadLetters.counters.failures === tries && clock.pending.length > 0)
    if (tries < 4) await clock.turn(500)
  }
  assert.equal(unwritten, undefined, 'it waits')
  assert.equal(warnings.length, 1)
  assert.match(warnings[0] ?? '', /^cannot write to ".*refused.jsonl": no space left/)
  files.plan = () => undefined
  await clock.turn(500)
  await until('it is written', () => unwritten !== undefined)
  assert.deepEqual(unwritten, [0])
  assert.equal(written(folder).length, 2)
  await deadLetters.close()
})

test('dead-letter records: a full disk is waited for once; records without space are counted until there is space again', async () => {
  using folder = new Folder()
  const { deadLetters, files, clock, warnings } = make(folder)
  files.plan = (call) => (call === 'writev' ? 'ENOSPC' : undefined)
  let first: readonly number[] | undefined
  const refusals = [refusal([0, 3]), refusal(undefined, 4)]
  void deadLetters.write(batch(lines(0, 10)), refusals, NEVER).then((lost) => (first = lost))
  const startMs = clock.nowMs()
  await turnUntil(clock, () => first !== undefined)
  assert.deepEqual(first, [2, 4])
  assert.equal(clock.nowMs() - startMs, 5000)
  // No clock is turned.
  assert.deepEqual(await deadLetters.write(batch(lines(10, 3)), [refusal([1])], NEVER), [1])
  assert.deepEqual({ ...deadLetters.counters, failures: 0 }, { written: 0, unwritten: 7, unnamed: 0, failures: 0 })
  files.plan = () => undefined
  assert.deepEqual(await deadLetters.write(batch(lines(13, 3)), [refusal([1])], NEVER), [0])
  assert.deepEqual(
    written(folder).map(({ seq }) => seq),
    ['e1-14'],
  )
  await clock.turn(60_000)
  files.plan = (call) => (call === 'writev' ? 'ENOSPC' : undefined)
  let last: readonly number[] | undefined
  void deadLetters.write(batch(lines(20, 3)), [refusal([1])], NEVER).then((lost) => (last = lost))
  await turnUntil(clock, () => last !== undefined)
  await clock.turn(60_000)
  await deadLetters.write(batch(lines(30, 3)), [refusal([1])], NEVER)
  assert.match(warnings.join('\n'), /\ncannot write to "[^\n]*\ncannot write to "/)
  await deadLetters.close()
  assert.deepEqual(clock.pending, [])
})

test('dead-letter records: a disk that accepts a part of a group loses only the rest', async () => {
  using folder = new Folder()
  const { deadLetters, files, clock } = make(folder)
  let calls = 0
  files.plan = (call) => (call !== 'writev' ? undefined : calls++ === 0 ? 450 : 'ENOSPC')
  let lost: readonly number[] | undefined
  void deadLetters.write(batch(lines(0, 10)), [refusal(undefined, 10)], NEVER).then((events) => (lost = events))
  await turnUntil(clock, () => lost !== undefined)
  const seqs = written(folder).map(({ seq }) => seq)
  assert.ok(seqs.length > 0 && seqs.length < 10, `${seqs.length} records`)
  assert.deepEqual(lost, [10 - seqs.length])
  assert.deepEqual(
    seqs,
    seqs.map((_, i) => `e1-${i}`),
  )
  await deadLetters.close()
})

test('dead-letter records: a hanging write is waited for once, and no batch waits again until it has ended', async () => {
  using folder = new Folder()
  const { deadLetters, files, clock } = make(folder)
  const disk = files.hang('writev')
  let lost: readonly number[] | undefined
  void deadLetters.write(batch(lines(0, 10)), [refusal([0])], NEVER).then((events) => (lost = events))
  await until('it hangs', () => disk.waiting > 0)
  await clock.turn(4999)
  assert.equal(lost, undefined)
  await clock.turn(1)
  assert.deepEqual(lost, [1])
  assert.deepEqual(await deadLetters.write(batch(lines(10, 3)), [refusal([0])], NEVER), [1])
  disk.release()
  let again: readonly number[] = []
  for (let tries = 0; tries < 10_000 && again[0] !== 0; tries++) {
    again = await deadLetters.write(batch(lines(20, 3)), [refusal([0])], NEVER)
    await settle()
  }
  assert.deepEqual(again, [0])
  await deadLetters.close()
})

test('dead-letter records: a stop gives a hanging disk one second, and a working one the time that it needs', async () => {
  using folder = new Folder()
  const { deadLetters, files, clock } = make(folder)
  const stop = new AbortController()
  const disk = files.hang('writev')
  let lost: readonly number[] | undefined
  void deadLetters.write(batch(lines(0, 10)), [refusal([0])], stop.signal).then((events) => (lost = events))
  await until('it hangs', () => disk.waiting > 0)
  stop.abort()
  await clock.turn(999)
  assert.equal(lost, undefined)
  await clock.turn(1)
  assert.deepEqual(lost, [1])
  disk.release()
  await deadLetters.close()
  const other = make(folder, { path: folder.at('other.jsonl') }).deadLetters
  assert.deepEqual(await other.write(batch(lines(0, 3000)), [refusal(undefined, 3000)], AbortSignal.abort()), [0])
  await other.close()
})

test('dead-letter records: a stop has its full second, also after a pause that was taken back', async () => {
  using folder = new Folder()
  const { deadLetters, clock } = make(folder)
  const paused = AbortSignal.abort()
  assert.deepEqual(await deadLetters.write(batch(lines(0, 1)), [refusal([0])], paused), [0])
  await clock.turn(60_000)
  assert.deepEqual(await deadLetters.write(batch(lines(1, 1)), [refusal([0])], paused), [1])
  assert.deepEqual(await deadLetters.write(batch(lines(2, 1)), [refusal([0])], AbortSignal.abort()), [0])
  await deadLetters.close()
})

test('dead-letter records: a path that cannot work is an error at the start, and a counted loss later', async () => {
  using folder = new Folder()
  mkdirSync(folder.at('refused.jsonl'))
  await assert.rejects(make(folder).deadLetters.start(), /expected a file, got a folder/)
  const { deadLetters, warnings, clock } = make(folder)
  let lost: readonly number[] | undefined
  void deadLetters.write(batch(lines(0, 1)), [refusal([0])], NEVER).then((events) => (lost = events))
  await turnUntil(clock, () => lost !== undefined)
  assert.deepEqual(lost, [1])
  assert.match(warnings.join(), /^cannot open ".*refused.jsonl": expected a file, got a folder/)
  rmSync(folder.at('refused.jsonl'), { recursive: true })
  assert.deepEqual(await deadLetters.write(batch(lines(0, 1)), [refusal([0])], NEVER), [0])
  await deadLetters.close()
})
