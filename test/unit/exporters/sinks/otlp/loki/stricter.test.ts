/**
 * A Loki whose tenant is stricter than the limits that are configured here. Rejected events are in the dead-letter file, the others
 * are stored, and the stream continues. Counted by log.record.uid at the sink and in the file, not by our own counters.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Event } from '../../../../../../exporters/contract/event.ts'
import { DeadLetterFile } from '../../../../../../exporters/dead-letter/dead-letters.ts'
import { createOtlpEncoder } from '../../../../../../exporters/encoding/otlp/encode.ts'
import type { OtlpExporter } from '../../../../../../exporters/sinks/otlp/exporter.ts'
import { Sender } from '../../../../../../exporters/sending/sender.ts'
import { FakeLoki } from '../../../../../support/otlp/loki.ts'
import type { LokiOptions } from '../../../../../support/otlp/loki.ts'
import { FakeSink, rpcStatus } from '../../../../../support/otlp/server.ts'
import { makeExec, makeHook, makeKprobe, makeProcess } from '../../../support/events.ts'
import { until } from '../../../support/fake-clock.ts'
import { Folder } from '../../../support/folder.ts'
import { numbers } from '../../../support/lines.ts'
import { encoderOptions, exporterFor, LOKI } from '../support.ts'
import { CHAIN } from '../../../../../support/exporter-config.ts'

const SEC = 1_795_528_989
const TENANT = 'strict'

interface Rig extends AsyncDisposable {
  readonly folder: Folder
  readonly fake: FakeLoki
  readonly sink: FakeSink
  readonly exporter: OtlpExporter
  readonly sender: Sender
  readonly warnings: string[]
  /** The wall clock of both sides. */
  nowMs: number
}

/** A chain that is configured with Loki's default limits, and a Loki with others for its tenant. */
async function rig(limits: LokiOptions): Promise<Rig> {
  const folder = new Folder()
  const warnings: string[] = []
  const wallMs = (): number => made.nowMs
  const fake = new FakeLoki({ nowMs: wallMs, tenants: { [TENANT]: { nowMs: wallMs, ...limits } } })
  const sink = await FakeSink.start(fake.script)
  const exporter = exporterFor(
    sink,
    { loki: LOKI, headers: { 'x-scope-orgid': TENANT } },
    { wallMs, warn: (text) => warnings.push(text) },
  )
  const deadLetterConfig = { path: folder.at('refused.jsonl'), max_size: 1 << 30, max_files: 3 }
  const deadLetters = new DeadLetterFile(deadLetterConfig, { exporter: 'loki', epoch: encoderOptions.epoch })
  const retry = { initial: 1, max: 5 }
  const sender = new Sender('loki', exporter, { ...CHAIN, retry }, { deadLetters })
  const made: Rig = {
    folder,
    fake,
    sink,
    exporter,
    sender,
    warnings,
    nowMs: SEC * 1000,
    async [Symbol.asyncDispose]() {
      await sender.stop(0)
      await sink[Symbol.asyncDispose]()
      folder[Symbol.dispose]()
    },
  }
  await sender.start()
  return made
}

function offer({ sender }: Rig, events: readonly Event[]): void {
  for (let from = 0; from < events.length; from += 500) {
    void sender.offer(createOtlpEncoder(encoderOptions).encode(events.slice(from, from + 500)))
  }
}

async function settled({ sender }: Rig): Promise<void> {
  await until('all is settled', () => sender.accounting().heldEvents === 0)
  assert.equal(sender.imbalance(), 0)
}

/** Counts the events in the sink and in the dead-letter file: each must be in exactly one of both. */
function assertDivided({ fake, folder }: Rig, taken: readonly number[], aside: readonly number[]): void {
  assert.deepEqual(fake.uids, taken)
  assert.deepEqual(recorded(folder), aside)
}

function recorded(folder: Folder): number[] {
  return folder
    .read('refused.jsonl')
    .split('\n')
    .slice(0, -1)
    .map((line) => Number(/"seq":"\d+-(\d+)"/.exec(line)?.[1]))
    .toSorted((a, b) => a - b)
}

const at = (seq: number, sec: number): Event => makeKprobe({ seq, time: { sec, nsec: seq } })
const withArguments = (seq: number, length: number): Event =>
  makeExec({ seq, time: { sec: SEC, nsec: seq }, process: makeProcess({ arguments: 'x'.repeat(length) }) })

test('loki: 2,000 events of two hours ago get dead-letter records if the tenant accepts only the last hour, and fresh ones are stored', async () => {
  await using all = await rig({ maxAgeMs: 3_600_000 })
  const old = numbers(0, 2000).map((seq) => at(seq, SEC - 7200 + (seq % 600)))
  const fresh = numbers(2000, 2500).map((seq) => at(seq, SEC - 5))
  offer(all, [...old, ...fresh])
  await settled(all)
  assertDivided(all, numbers(2000, 2500), numbers(0, 2000))
  assert.deepEqual(all.sender.accounting().rejected, { too_old: 2000 })
  assert.ok(all.sink.requests.length < 20, `${all.sink.requests.length} requests`)
})

/** A record of a hook has more attributes than one of a start. */
const many = (seq: number): Event => makeKprobe({ seq, time: { sec: SEC, nsec: seq } })
const few = (seq: number): Event => makeExec({ seq, time: { sec: SEC, nsec: seq } })

const CASES: ReadonlyArray<
  readonly [name: string, limits: LokiOptions, good: (seq: number) => Event, bad: (seq: number) => Event, why: string]
> = [
  [
    'max_line_size',
    { maxLineBytes: 1200 },
    (seq) => withArguments(seq, 10),
    (seq) => withArguments(seq, 900),
    'too_large',
  ],
  ['max_structured_metadata_entries_count', { maxMetadataEntries: 20 }, few, many, 'metadata_too_large'],
  [
    'max_structured_metadata_size',
    { maxMetadataBytes: 1500 },
    (seq) => withArguments(seq, 10),
    (seq) => makeKprobe({ seq, time: { sec: SEC, nsec: seq }, hook: makeHook({ tags: ['<&>'.repeat(400)] }) }),
    'metadata_too_large',
  ],
]
for (const [name, limits, good, bad, reason] of CASES) {
  test(`loki: events beyond a stricter ${name} get dead-letter records, one by one, and all others are stored`, async () => {
    await using all = await rig(limits)
    const isBad = (seq: number): boolean => seq % 30 === 0
    offer(
      all,
      numbers(0, 600).map((seq) => (isBad(seq) ? bad(seq) : good(seq))),
    )
    await settled(all)
    const aside = numbers(0, 600).filter(isBad)
    assertDivided(
      all,
      numbers(0, 600).filter((seq) => !isBad(seq)),
      aside,
    )
    assert.deepEqual(all.sender.accounting().rejected, { [reason]: aside.length })
    // Limit for 20 events in 600, in two batches or in one.
    const most = 2 + 2 * aside.length * Math.ceil(Math.log2(600))
    assert.ok(all.sink.requests.length <= most, `${all.sink.requests.length} requests`)
    assert.deepEqual(all.exporter.learnedLimits, {})
  })
}

test('loki: a long run of events that all break a stricter limit does not stop later ones', async () => {
  await using all = await rig({ maxLineBytes: 1200 })
  const bad = numbers(0, 300).map((seq) => withArguments(seq, 900))
  offer(all, [...bad, ...numbers(300, 400).map((seq) => withArguments(seq, 10))])
  await settled(all)
  assertDivided(all, numbers(300, 400), numbers(0, 300))
})

test('loki: a tenant that rejects every event is held after 1,000, in two requests for each, and continues once its limit is raised', async () => {
  await using all = await rig({ maxLineBytes: 10 })
  offer(
    all,
    numbers(0, 3000).map((seq) => few(seq)),
  )
  await until('it is held', () => all.sender.accounting().state === 'hold')
  const { rejected, heldEvents, lastError } = all.sender.accounting()
  assert.deepEqual([rejected, heldEvents], [{ too_large: 1000 }, 2000])
  assert.ok(all.sink.requests.length < 2100, `${all.sink.requests.length} requests`)
  assert.match(
    lastError,
    /it has refused 1000 single records in a row: raise that limit at the sink, then reopen \(SIGHUP\)$/,
  )
  assert.deepEqual(recorded(all.folder), numbers(0, 1000))
  const before = all.sink.requests.length
  await until('it is tried again', () => all.sink.requests.length > before + 24)
  assert.deepEqual(all.sender.accounting().rejected, rejected)
  all.fake.options = { nowMs: () => all.nowMs }
  await settled(all)
  assertDivided(all, numbers(1000, 3000), numbers(0, 1000))
})

test('loki: a sink that moves its age limit with each response gets two requests for an event at most', async () => {
  await using all = await rig({})
  // Each response makes the oldest event of the request too old.
  all.sink.script = (request) => {
    const oldest = Math.min(...request.logs().records.map(({ timeUnixNano }) => Number(timeUnixNano) / 1e6))
    const [entry, limit] = [oldest, oldest + 2000].map((ms) => new Date(ms).toISOString())
    const text = `entry for stream '{}' has timestamp too old: ${entry}, oldest acceptable timestamp is: ${limit}`
    return { status: 400, body: rpcStatus(text) }
  }
  offer(
    all,
    numbers(0, 500).map((seq) => at(seq, SEC - 7200 + seq)),
  )
  await settled(all)
  assert.deepEqual(all.sender.accounting().rejected, { too_old: 500 })
  const bytes = all.sink.requests.reduce((sum, { body }) => sum + body.length, 0)
  const [first] = all.sink.requests
  assert.ok(all.sink.requests.length < 1010, `${all.sink.requests.length} requests`)
  assert.ok(bytes < 20 * (first?.body.length ?? 0), `${bytes} bytes, ${first?.body.length} of them first`)
})

test('loki: a learned age is logged once, reported, applied before sending, and dropped after an hour and by a reopen', async () => {
  await using all = await rig({ maxAgeMs: 3_600_000 })
  const round = async (seq: number): Promise<number> => {
    const before = all.sink.requests.length
    const sec = all.nowMs / 1000
    const old = makeExec({ seq, time: { sec: sec - 7200, nsec: 0 } })
    const good = makeExec({ seq: seq + 1, time: { sec, nsec: seq + 1 } })
    offer(all, [old, good])
    await settled(all)
    return all.sink.requests.length - before
  }
  const learned = { reject_old_samples_max_age_seconds: 3600 }
  assert.deepEqual(all.exporter.learnedLimits, {})
  assert.equal(await round(0), 2)
  assert.deepEqual(all.exporter.learnedLimits, learned)
  assert.equal(await round(2), 1, 'an event beyond the limit must not be sent')
  all.nowMs += 3_601_000
  assert.equal(await round(4), 2, 'an hour later the sink must be tried again')
  assert.deepEqual(all.exporter.learnedLimits, learned)
  await all.exporter.reopen()
  assert.deepEqual(all.exporter.learnedLimits, {})
  assert.equal(await round(6), 2)
  assertDivided(all, [1, 3, 5, 7], [0, 2, 4, 6])
  assert.equal(all.warnings.length, 1, all.warnings.join('\n'))
  assert.match(all.warnings[0] ?? '', /the sink has reject_old_samples_max_age_seconds 3600, which is stricter than/)
  assert.equal(all.exporter.counters['limits_learned'], 1)
})

test('loki: raised limits of the sink are noticed: no event is rejected forever', async () => {
  await using all = await rig({ maxLineBytes: 1200 })
  offer(all, [withArguments(0, 900)])
  await settled(all)
  all.fake.options = { nowMs: () => all.nowMs }
  offer(all, [withArguments(1, 900)])
  await settled(all)
  assertDivided(all, [1], [0])
})

for (const [name, limits, sec] of [
  ['the sink takes only the last 30 seconds', { maxAgeMs: 30_000 }, SEC - 31],
  ['our clock is two hours behind that of the sink', { maxAgeMs: 3_600_000, nowMs: () => (SEC + 7200) * 1000 }, SEC],
  ['our clock is an hour ahead of that of the sink', { nowMs: () => (SEC - 3600) * 1000 }, SEC],
] as const) {
  test(`loki: if ${name}, the events are held, without dead-letter records`, async () => {
    await using all = await rig(limits)
    offer(
      all,
      numbers(0, 500).map((seq) => at(seq, sec)),
    )
    await until('it is held', () => all.sender.accounting().state === 'hold')
    const { rejected, heldEvents, lastError } = all.sender.accounting()
    assert.deepEqual([rejected, heldEvents], [{}, 500])
    assert.match(lastError, /by our clock|of our clock/)
    assert.match(lastError, /compare the clocks of both$/)
    assert.deepEqual(all.exporter.learnedLimits, {})
  })
}

test('loki: labels that a tenant refuses are not the fault of single events, which are held', async () => {
  await using all = await rig({ maxLabelNames: 1 })
  offer(
    all,
    numbers(0, 500).map((seq) => at(seq, SEC)),
  )
  await until('it is held', () => all.sender.accounting().state === 'hold')
  assert.deepEqual([all.sender.accounting().rejected, all.sender.accounting().heldEvents], [{}, 500])
})

test('loki: a backlog across the age limit of a tenant catches up, at any speed of that limit', async () => {
  await using all = await rig({ maxAgeMs: 3_600_000 })
  // Each request takes as long as 20 events are apart: isolating single events at the limit would never catch up.
  const { script } = all.sink
  all.sink.script = (request, call) => {
    all.nowMs += 200
    return script(request, call)
  }
  offer(
    all,
    numbers(0, 3000).map((seq) => at(seq, SEC - 3610 + Math.floor(seq / 100))),
  )
  await settled(all)
  const taken = all.fake.uids
  assert.ok(taken.length > 1000, `${taken.length} taken`)
  assert.ok(all.sink.requests.length < 30, `${all.sink.requests.length} requests`)
  const all3000 = new Set([...taken, ...recorded(all.folder)])
  assert.equal(all3000.size, 3000)
})
