import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { createLog } from '../../../../collector/host/log.ts'
import { createFanOut } from '../../../../exporters/start.ts'
import { loadConfig } from '../../../../config/agent/load.ts'
import { describe } from '../../../../exporters/contract/described.ts'
import { withoutLong } from '../../../../exporters/encoding/otlp/records.ts'
import { EncoderPool } from '../../../../exporters/encoding/pool.ts'
import type { Encoded } from '../../../../exporters/contract/exporter.ts'
import { systemSpoolFiles } from '../../../../exporters/buffer/disk/files/files.ts'
import type { SpoolFile } from '../../../../exporters/buffer/disk/files/files.ts'
import { frameOf } from '../../../../exporters/buffer/disk/format/payload.ts'
import type { SpoolFrame } from '../../../../exporters/buffer/disk/format/segment.ts'
import { recordFrom, seqOf } from '../../../support/otlp/decode.ts'
import { FakeSink, partialSuccess } from '../../../support/otlp/server.ts'
import { goldenEvents } from '../../exporters/support/golden-events.ts'
import { idsOf, numbers } from '../../exporters/support/lines.ts'
import { Host, tenEvents } from './support/spools.ts'
import { DEFAULT_RECORDS } from '../../../../config/agent/exporters/otlp-records.ts'

const TARGETS = `\
  bus: { type: stdout, spool: { dir: F/spool } }
  archive: { type: file, path: F/archive.jsonl, rate_limit: { events: 1, per: 1h }, filter: { policies: [none] } }
  nowhere: { type: file, path: F/c.yaml/x.jsonl }`

test('spool replay: prints waiting events, and keeps them', async () => {
  using host = new Host()
  await host.fill('bus', 5, 2)
  for (const line of ['replay bus', 'replay bus -o json', 'replay F/spool/bus']) {
    const { code, stdout, stderr } = await host.run(line)
    assert.deepEqual([code, stderr, idsOf(stdout)], [0, '', numbers(20, 50)], line)
  }
})

test('spool replay: --all also prints delivered events that are still on the disk', async () => {
  using host = new Host()
  await host.fill('bus', 5, 3)
  assert.deepEqual(idsOf((await host.run('replay bus --all')).stdout), numbers(20, 50))
})

for (const { options, want } of [
  { options: '--since 2026-03-09T05:30:12Z', want: numbers(12, 50) },
  { options: '--until 2026-03-09T05:30:12Z', want: numbers(0, 12) },
  { options: '--since 2026-03-09T05:30:08.5Z --until 2026-03-09T06:30:21+01:00', want: numbers(9, 21) },
  { options: '--since 2026-03-09', want: numbers(0, 50) },
  { options: '--until 2026-03-09', want: [] },
  { options: '--since 1d', want: [] },
  { options: '--since 365d', want: numbers(0, 50) },
]) {
  test(`spool replay: ${options}`, async () => {
    using host = new Host()
    await host.fill('bus', 5)
    const { code, stdout } = await host.run(`replay bus ${options}`)
    assert.deepEqual([code, idsOf(stdout)], [0, want])
  })
}

test('spool replay: damaged events are skipped and reported', async () => {
  using host = new Host()
  await host.fill('bus', 5)
  host.edit(`${host.dir('bus')}/00000002.seg`, (bytes) => bytes.fill(1, 400, 410))
  const { code, stdout, stderr } = await host.run('replay bus')
  assert.deepEqual([code, idsOf(stdout)], [1, [...numbers(0, 20), ...numbers(30, 50)]])
  assert.equal(stderr, 'ktrail: 10 events of the spool "F/spool/bus" cannot be read; ktrail spool verify shows more\n')
})

test('spool replay: a closed pipe ends it, without an error', async () => {
  using host = new Host()
  await host.fill('bus', 5)
  const { code, stdout } = await host.run('replay bus', () => false)
  assert.deepEqual([code, idsOf(stdout)], [0, numbers(0, 10)])
})

for (const [name, options] of [
  ['protobuf', { protocol: 'protobuf', body: 'json' }],
  ['JSON', { protocol: 'json', body: 'json' }],
] as const) {
  test(`spool replay: events encoded as OTLP ${name} are printed as the JSON lines in them`, async () => {
    using host = new Host()
    const pool = new EncoderPool('node')
    const events = goldenEvents()
    await spool(host, (await pool.otlp({ ...DEFAULT_RECORDS, epoch: 'e', sdk: false, ...options })).encode(events))
    const { code, stdout } = await host.run('replay bus')
    const lines = Buffer.from(pool.json().encode(withoutLong(events)).bytes).toString()
    assert.deepEqual([code, stdout], [0, lines])
  })
}

test('spool replay: OTLP records with another body are printed whole', async () => {
  using host = new Host()
  const encoder = await new EncoderPool('node').otlp({
    ...DEFAULT_RECORDS,
    epoch: 'e',
    sdk: false,
    protocol: 'protobuf',
    body: 'text',
  })
  const encoded = encoder.encode(goldenEvents())
  await spool(host, encoded)
  const { stdout } = await host.run('replay bus')
  const got = stdout
    .trimEnd()
    .split('\n')
    .map((line): unknown => JSON.parse(line))
  const bytes = Buffer.from(encoded.bytes)
  const want = [...encoded.ends].map((end, i) => {
    const record = bytes.subarray(i === 0 ? 0 : encoded.ends[i - 1], end)
    // A field of ScopeLogs: one byte of tag, a length of one, two or three bytes.
    const head = record.findIndex((byte, at) => at > 0 && byte < 0x80) + 1
    return { ...recordFrom(record.subarray(head)), droppedAttributesCount: 0 }
  })
  assert.deepEqual(got, want)
})

test('spool replay: --to sends all events through another exporter, without its filters', async () => {
  using host = new Host(TARGETS)
  await host.fill('bus', 30, 1)
  const { code, stdout, stderr } = await host.run('replay bus --to archive --since 2026-03-09T05:30:15Z')
  assert.deepEqual([code, stdout, stderr], [0, '', '285 events delivered to archive\n'])
  assert.deepEqual(idsOf(readFileSync(host.folder.at('archive.jsonl'), 'utf8')), numbers(15, 300))
  assert.match((await host.run('ls bus')).stdout, /^bus {7}290 /m)
})

test('spool replay: --remove with --to moves the events', async () => {
  using host = new Host(TARGETS)
  await host.fill('bus', 30, 1)
  assert.deepEqual(await host.run('replay bus --to archive --remove'), {
    code: 0,
    stdout: '',
    stderr: '290 events delivered to archive\n',
  })
  assert.deepEqual(idsOf(readFileSync(host.folder.at('archive.jsonl'), 'utf8')), numbers(10, 300))
  assert.match((await host.run('ls bus')).stdout, /^bus {9}0 .*\n.*\n {2}accepted up to 300 of 300/m)
})

test('spool replay: --remove skips a block that the device cannot read, and reports its events', async (t) => {
  using host = new Host(TARGETS)
  await host.fill('bus', 6)
  const { open } = systemSpoolFiles
  let refusals = 0
  t.mock.method(systemSpoolFiles, 'open', async (...[path, how]: Parameters<typeof open>): Promise<SpoolFile> => {
    const file = await open(path, how)
    if (!path.endsWith('/00000002.seg')) return file
    const read: SpoolFile['read'] = (into, position) => {
      // The block with the first of its two frames.
      if (position >= 4096 || position + into.length <= 176) return file.read(into, position)
      refusals++
      return Promise.reject(Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' }))
    }
    return { ...file, read }
  })
  assert.deepEqual(await host.run('replay bus --to archive --remove'), {
    code: 1,
    stdout: '',
    stderr:
      '40 events delivered to archive\n' +
      'ktrail: 20 events of the spool "F/spool/bus" cannot be read; ktrail spool verify shows more\n',
  })
  assert.ok(refusals > 3)
  assert.deepEqual(idsOf(readFileSync(host.folder.at('archive.jsonl'), 'utf8')), [
    ...numbers(0, 20),
    ...numbers(40, 60),
  ])
  assert.match((await host.run('ls bus')).stdout, /^bus {9}0 /m)
})

test('spool replay: --remove skips damaged events, and stops at a file of another version', async () => {
  using host = new Host(TARGETS)
  await host.fill('bus', 1)
  const newer = frameOf(tenEvents(10))
  newer.parts[0]?.fill(3, 0, 1)
  await add(host, 'bus', { parts: [Buffer.alloc(10)], count: 10, first: 0, last: 9 }, frameOf(tenEvents(20)))
  assert.deepEqual(await host.run('replay bus --to archive --remove'), {
    code: 1,
    stdout: '',
    stderr:
      '20 events delivered to archive\n' +
      'ktrail: 10 events of the spool "F/spool/bus" cannot be read; ktrail spool verify shows more\n',
  })
  await add(host, 'bus', newer)
  const { code, stderr } = await host.run('replay bus --to archive --remove')
  assert.equal(code, 1)
  assert.equal(
    stderr,
    'ktrail: the spool "F/spool/bus" has 10 events that this version cannot read: expected events of version 2, got version 3: ' +
      'written by another release\n',
  )
  assert.match((await host.run('ls bus')).stdout, /^bus {8}10 /m)
})

test('spool replay: a sink that needs manual action ends it with the reason, and nothing is removed', async () => {
  await using sink = await FakeSink.start(() => ({ status: 401 }))
  using host = new Host(`  loki: { type: otlp, spool: { dir: F/spool } }
  other: { type: otlp, logs_endpoint: "${sink.url}" }`)
  const encoder = await new EncoderPool('node').otlp({
    ...DEFAULT_RECORDS,
    epoch: 'e',
    sdk: false,
    protocol: 'protobuf',
    body: 'json',
  })
  await spool(host, encoder.encode(goldenEvents()), 'loki')
  const { code, stderr } = await host.run('replay loki --to other --remove')
  assert.equal(code, 1)
  assert.match(stderr, /^ktrail: exporter "other" failed: .*401.*; events that it did not accept stay in the spool$/m)
  assert.match((await host.run('ls loki -o json')).stdout, new RegExp(`"events": ${goldenEvents().length},`))
})

test('spool replay: the resource of OTLP records has the id of this host', async () => {
  await using sink = await FakeSink.start()
  using host = new Host(`  loki: { type: otlp, spool: { dir: F/spool } }
  other: { type: otlp, logs_endpoint: "${sink.url}" }
procfs: F/proc`)
  mkdirSync(host.folder.at('proc/1/root/etc'), { recursive: true })
  writeFileSync(host.folder.at('proc/1/root/etc/machine-id'), 'fdbf79e8af94cb7f9e8df36789187052\n')
  const options = { ...DEFAULT_RECORDS, epoch: 'e', sdk: false, protocol: 'protobuf', body: 'json' } as const
  await spool(host, (await new EncoderPool('node').otlp(options)).encode(goldenEvents()), 'loki')
  assert.equal((await host.run('replay loki --to other')).code, 0)
  const id = sink.requests[0]?.logs().resource.find(({ key }) => key === 'host.id')
  assert.deepEqual(id?.value, { stringValue: 'fdbf79e8af94cb7f9e8df36789187052' })
})

test('spool replay: events that a sink rejects are reported by reason, and the exit code is 1', async () => {
  await using sink = await FakeSink.start(() => ({ status: 200, body: partialSuccess(goldenEvents().length, 'no') }))
  using host = new Host(`  loki: { type: otlp, spool: { dir: F/spool } }
  other: { type: otlp, logs_endpoint: "${sink.url}" }`)
  const encoder = await new EncoderPool('node').otlp({
    ...DEFAULT_RECORDS,
    epoch: 'e',
    sdk: false,
    protocol: 'protobuf',
    body: 'json',
  })
  await spool(host, encoder.encode(goldenEvents()), 'loki')
  const { code, stderr } = await host.run('replay loki --to other')
  assert.equal(code, 1)
  assert.match(stderr, new RegExp(`^0 events delivered to other, ${goldenEvents().length} refused \\(\\w+\\)$`, 'm'))
})

test('spool replay: impossible requests are refused before an event is sent', async () => {
  using host = new Host(TARGETS)
  const encoder = await new EncoderPool('node').otlp({
    ...DEFAULT_RECORDS,
    epoch: 'e',
    sdk: false,
    protocol: 'protobuf',
    body: 'json',
  })
  await spool(host, encoder.encode(goldenEvents()))
  for (const [line, want] of [
    [
      'replay bus --to archive',
      'exporter "archive" sends json and the spool has otlp: choose an exporter that sends otlp, or print the events as JSON lines with -o json',
    ],
    ['replay F/none', 'cannot read the spool "F/none": no such folder'],
  ] as const) {
    assert.deepEqual(await host.run(line), { code: 1, stdout: '', stderr: `ktrail: ${want}\n` })
  }
  const { code, stderr } = await host.run('replay bus --to nowhere --remove')
  assert.equal(code, 1)
  assert.match(stderr, /^ktrail: .*F\/c\.yaml\/x\.jsonl/)
  assert.match((await host.run('ls bus')).stdout, new RegExp(`^bus +${goldenEvents().length} `, 'm'))
})

test('spool replay: prints and moves the events that an agent could not deliver before its stop', async () => {
  using host = new Host(`  loki: { type: otlp, endpoint: "http://127.0.0.1:9", spool: { dir: F/spool, min_free: 0B } }
  archive: { type: file, path: F/archive.jsonl }`)
  const result = loadConfig(readFileSync(host.config, 'utf8'), host.config, {})
  assert.ok('config' in result)
  const { loki } = result.config.exporters
  assert.ok(loki !== undefined)
  const pool = new EncoderPool('node')
  const log = createLog({ level: 'fatal', format: 'text' })
  const fanout = await createFanOut({ loki }, { nodeName: 'node', epoch: 'e', encoders: pool, env: {}, log })
  await fanout.start()
  await fanout.publish(goldenEvents())
  await fanout.stop(0)
  const { code, stdout } = await host.run('replay loki')
  // The body of a record about the agent also has its numbers.
  const bodies = stdout
    .trim()
    .split('\n')
    .map((line) => ({ ...JSON.parse(line), ktrail: undefined }))
  const lines = Buffer.from(pool.json().encode(withoutLong(goldenEvents())).bytes)
    .toString()
    .trim()
    .split('\n')
  assert.equal(code, 0)
  assert.deepEqual(
    bodies,
    lines.map((line) => ({ ...JSON.parse(line), ktrail: undefined })),
  )
  await using sink = await FakeSink.start()
  host.append(`  other: { type: otlp, logs_endpoint: "${sink.url}" }`)
  const moved = await host.run('replay loki --to other --remove')
  assert.deepEqual(
    [moved.code, moved.stderr.trim().split('\n').at(-1)],
    [0, `${goldenEvents().length} events delivered to other`],
  )
  assert.deepEqual(
    sink.requests.flatMap((request) => request.logs().records.map(seqOf)),
    goldenEvents().map(({ seq }) => seq),
  )
})

/** Puts the golden events, encoded, into a spool. */
function spool(host: Host, encoded: Encoded, name = 'bus'): Promise<void> {
  return add(host, name, frameOf(describe(encoded, goldenEvents())))
}

async function add(host: Host, name: string, ...frames: readonly SpoolFrame[]): Promise<void> {
  await using opened = await host.open(name)
  const result = await opened.append(frames)
  assert.equal(result.status, 'written')
}
