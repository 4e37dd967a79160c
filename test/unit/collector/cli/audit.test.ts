import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { ktrail } from '../../../../collector/cli/ktrail.ts'
import { UsageError } from '../../../../collector/cli/command.ts'
import { Folder } from '../../exporters/support/folder.ts'

const NOW_MS = Date.UTC(2026, 10, 24, 15)

/** A line of the exporter `archive`. */
function line(number: number, more: object = {}, run = 'run1'): string {
  const time = new Date(Date.UTC(2026, 10, 24, 14, 0, number)).toISOString()
  const numbers = { seq: `${run}-${number}`, exporter_seq: `archive-${number}`, ...more }
  return `${JSON.stringify({ process_exec: {}, node_name: 'n1', time, ktrail: numbers })}\n`
}

const mark = (phase: string, previous = ''): object => ({ run: { phase, heartbeat_ms: 60_000, previous } })
const WHOLE = [line(0, mark('start')), line(1), line(2), line(3, mark('stop'))]

async function audit(...args: readonly string[]): Promise<{ code: number; out: string; errors: string[] }> {
  let out = ''
  const errors: string[] = []
  const code = await ktrail(['audit', ...args], {
    env: {},
    print: async (text) => ((out += String(text)), true),
    printError: (text) => void errors.push(text),
    nowMs: () => NOW_MS,
  })
  return { code, out, errors }
}

test('audit: whole files, also compressed ones, are one stream', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('a.gz'), gzipSync(WHOLE.slice(0, 2).join('')))
  writeFileSync(folder.at('b'), WHOLE.slice(2).join(''))
  assert.deepEqual(await audit(folder.at('b'), folder.at('a.gz')), {
    code: 0,
    out: 'n1 archive: no unreported loss; 1 run, 4 records, 2026-11-24T14:00:00Z to 2026-11-24T14:00:03Z\n',
    errors: [],
  })
})

test('audit: reports missing records with and without a loss record, repeated, out of order, and an open end', async () => {
  using folder = new Folder()
  const loss = { loss: { stage: 'exporter', exporter: 'archive', reason: 'queue_full', count: 2, first: 1, last: 2 } }
  const lines = [
    line(0, mark('start', 'run0')),
    line(4),
    line(3, loss),
    line(7),
    line(7),
    'torn\n',
    '{"process_exec":{}}\n',
  ]
  writeFileSync(folder.at('a'), lines.join(''))
  const { code, out, errors } = await audit(folder.at('a'))
  assert.equal(code, 1)
  assert.equal(
    out,
    `\
n1 archive: INCOMPLETE; 1 run, 5 records, 2026-11-24T14:00:00Z to 2026-11-24T14:00:07Z
  run run1: missing, not reported: numbers 5 to 6
  run run1: missing, reported: numbers 1 to 2 (queue_full)
  run run1: twice: 1 record
  run run1: out of order: 1 record
  run run1: no record since 2026-11-24T14:00:07Z, and no stop: later events are unknown
  run run0: all records missing, although the next run refers to it
`.replace('5 records', '4 records'),
  )
  assert.deepEqual(errors, ['ktrail: 1 record without numbers', 'ktrail: 1 record cannot be read'])
})

test('audit: a damaged .gz is one finding, and the other files are audited', async () => {
  using folder = new Folder()
  const packed = gzipSync(WHOLE[2] ?? '')
  const damaged = Buffer.from(packed)
  damaged.fill(0xff, 12, 20)
  for (const [name, bytes] of [
    ['cut.gz', packed.subarray(0, -6)],
    ['bits.gz', damaged],
    ['none.gz', Buffer.from('x')],
  ] as const) {
    writeFileSync(folder.at('a'), WHOLE.slice(0, 2).join(''))
    writeFileSync(folder.at(name), bytes)
    writeFileSync(folder.at('z'), WHOLE.slice(3).join(''))
    const { code, out, errors } = await audit(folder.at('a'), folder.at(name), folder.at('z'))
    assert.match(errors.join(), new RegExp(`^ktrail: cannot read ".*${name}": [^,]+$`))
    assert.match(out, /^n1 archive: .*; 1 run, [34] records/, name)
    assert.doesNotMatch(out, /and no stop:/, 'the file behind it is read')
    assert.equal(code, 1)
    const { problems, streams } = JSON.parse((await audit('-o', 'json', folder.at(name), folder.at('z'))).out)
    assert.deepEqual([problems.length, streams.length], [1, 1])
  }
})

test('audit: numbers that contradict each other are found although nothing is missing', async () => {
  using folder = new Folder()
  const start = { run: { phase: 'start', heartbeat_ms: 60_000, previous: '', events: 'all' } }
  const stop = { run: { phase: 'stop', heartbeat_ms: 60_000, previous: '', events: 'all' } }
  const numbered = (seq: number, more: object = {}): object => ({ seq: `run1-${seq}`, ...more })
  const loss = { stage: 'exporter', exporter: 'archive', reason: 'expired', count: 2 }
  const rows: ReadonlyArray<readonly [lines: readonly string[], want: string]> = [
    [
      [line(0, start), line(1, numbered(4)), line(2, numbered(5, stop))],
      '3 numbers of seq without a record before number 1, although exporter_seq has no gap there and the exporter has no filter',
    ],
    [[line(0, start), line(1, numbered(3)), line(2), line(3, stop)], 'seq and exporter_seq disagree: 1 record'],
    [[line(0, start), line(1, stop), line(2)], 'numbered after the stop of the run: 1 record'],
    [
      [line(0, start), line(1, { loss }), line(2, stop)],
      'counted as lost but not missing: 2 events: the sink accepted them and its answer was lost, or the count was changed',
    ],
  ]
  for (const [lines, want] of rows) {
    writeFileSync(folder.at('a'), lines.join(''))
    const { code, out } = await audit(folder.at('a'))
    const [head, note] = out.split('\n')
    assert.match(head ?? '', /^n1 archive: CONTRADICTORY; 1 run/)
    assert.deepEqual([note, code], [`  run run1: ${want}`, 1])
  }
})

test('audit: a moved exporter is mentioned', async () => {
  using folder = new Folder()
  const moved = { run: { phase: 'heartbeat', heartbeat_ms: 60_000, previous: 'run0', moved: 2 } }
  writeFileSync(folder.at('a'), [line(2, moved), line(3, mark('stop', 'run0'))].join(''))
  const { code, out } = await audit(folder.at('a'))
  assert.equal(code, 0)
  assert.match(out, /^n1 archive: no unreported loss; /)
  assert.match(out, /\n {2}run run1: at the earlier destination of the exporter: numbers 0 to 1\n/)
  assert.match(out, /\n {2}run run0: its records are at the earlier destination of the exporter\n/)
})

test('audit: lists who changed policies and config, on one line each', async () => {
  using folder = new Folder()
  const change = {
    what: 'policy_removed',
    by: 'api uid=0 pid=812\n',
    names: ['a', 'shop/b'],
    count: 7,
    mode: 'enforce',
  }
  const changed = line(1).replace('"process_exec":{}', `"agent_change":${JSON.stringify(change)}`)
  writeFileSync(folder.at('a'), WHOLE.with(1, changed).join(''))
  const { code, out } = await audit(folder.at('a'))
  assert.equal(code, 0)
  const text = 'policy_removed a, shop/b (7 in all) (enforce) by api uid=0 pid=812\\n'
  assert.equal(out.split('\n')[1], `  2026-11-24T14:00:01Z ${text}`)
  const { streams } = JSON.parse((await audit('-o', 'json', folder.at('a'))).out)
  const timeMs = Date.UTC(2026, 10, 24, 14, 0, 1)
  assert.deepEqual(streams[0].changes, [{ ...change, names: 'a, shop/b', run: 'run1', timeMs }])
})

test('audit: the last of many changes are printed, the others counted', async () => {
  using folder = new Folder()
  const lines = Array.from({ length: 150 }, (_, i) => {
    const change = { what: 'policy_added', by: 'cluster', names: [`p${i}`], count: 1 }
    return line(i + 1).replace('"process_exec":{}', `"agent_change":${JSON.stringify(change)}`)
  })
  writeFileSync(folder.at('a'), [WHOLE[0], ...lines, line(151, mark('stop'))].join(''))
  const notes = (await audit(folder.at('a'))).out.split('\n').slice(1, -1)
  assert.deepEqual([notes.length, notes[0]], [21, '  130 other records of changes: see -o json'])
})

test('audit: -o json has the same results for programs', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('a'), WHOLE.toSpliced(1, 1).join(''))
  const { code, out } = await audit('-o', 'json', folder.at('a'))
  const { whole, numbered, streams } = JSON.parse(out)
  assert.deepEqual([code, whole, numbered, streams[0].runs[0].untold], [1, false, 3, [{ first: 1, last: 1 }]])
})

test('audit: a source without numbers, or an unreadable one, fails with the next step', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('plain'), '{"process_exec":{}}\n')
  const plain = await audit(folder.at('plain'))
  assert.equal(plain.code, 1)
  assert.match(plain.errors.join('\n'), /1 record without numbers\n.*no record has numbers: set envelope: true/)
  assert.match((await audit(folder.at('none'))).errors.join(), /^ktrail: cannot read ".*none": ENOENT/)
  writeFileSync(folder.at('bad.gz'), 'not compressed')
  assert.match((await audit(folder.at('bad.gz'))).errors.join(), /^ktrail: cannot read ".*bad\.gz": incorrect header/)
  assert.match((await audit('kafka://b')).errors.join(), /^ktrail: expected an address such as kafka:/)
  for (const [address, better] of [
    ['http://loki:3100', 'for Loki, write loki://loki:3100?{service_name="ktrail"}'],
    ['https://loki/tenant?{a="b"}', 'for Loki, write lokis://loki/tenant?{a="b"}'],
    ['kafka:9092/t', 'for Kafka, write kafka://kafka:9092/t'],
    ['a:9092,b:9092/t,u', 'for Kafka, write kafka://a:9092,b:9092/t,u'],
    ['kafka:9092', 'for Kafka, write kafka://kafka:9092/TOPIC'],
    ['s3://bucket/x', 'use one of these'],
  ] as const) {
    const { errors, code } = await audit(address)
    assert.deepEqual(
      [errors[0], code],
      [`ktrail: expected a file, kafka:// or loki://, got "${address}": ${better}`, 1],
    )
  }
  const login = 'kafka://b:9092/t?sasl.mechanism=none&sasl.password=S3cret'
  const { code, errors } = await audit(login)
  assert.equal(code, 1)
  assert.match(errors.join(), /kafka:\/\/b:9092\/t: sasl/)
  assert.doesNotMatch(errors.join(), /S3cret/)
})

for (const [args, want] of [
  [[], /^audit requires at least one FILE/],
  [['-o', 'table', 'f'], /^-o: expected text, json or yaml, got "table"$/],
  [['--since', 'yesterday', 'f'], /^--since: expected a time/],
  // Date.parse takes them for days of 2001.
  [['--since', 'yesterday 9', 'f'], /^--since: expected a time/],
  [['--since', '1', 'f'], /^--since: expected a time/],
] as const) {
  test(`audit: refused as wrong usage: ${args.join(' ')}`, async () => {
    await assert.rejects(audit(...args), (error) => error instanceof UsageError && want.test(error.message))
  })
}
