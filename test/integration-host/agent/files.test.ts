/**
 * Files of the real agent: rotated by others, on a full disk, standard output that closes. The kernel plays records, so a start
 * takes half a second; test/e2e/crash.test.ts has the real kernel.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { badLines } from '../../e2e/support/faults.ts'
import { RawAgent } from '../../e2e/support/raw.ts'
import { until } from '../../e2e/support/wait.ts'
import { SmallDisk, smallDisk } from '../../support/delivery/small-disk.ts'
import { policyOf } from '../../support/kernel/functions.ts'
import { Folder } from '../../unit/exporters/support/folder.ts'
import { NODE, place, reads } from './support/place.ts'

test('agent files: SIGHUP while it writes, after a rename: no line is lost, torn or doubled', async (t) => {
  const MOVES = 20
  const EACH = 2000
  using folder = new Folder()
  const { events, config } = place(folder)
  await using agent = new RawAgent(config(), { command: NODE })
  await agent.ready()
  for (let i = 1; i <= MOVES; i++) {
    const written = until('events in the new file', () => reads(events) > 0, { more: () => agent.stderr })
    await agent.request(EACH)
    await written
    renameSync(events, `${events}-moved-${i}`)
    agent.signal('SIGHUP')
    await until('the new file', () => readdirSync(folder.path).includes('events.jsonl'))
  }
  assert.deepEqual(await agent.end('SIGTERM'), { code: 0, signal: null })
  const files = readdirSync(folder.path).filter((name) => name.startsWith('events.jsonl'))
  const counts = files.map((name) => reads(folder.at(name)))
  t.diagnostic(`events by file: ${counts.join(' + ')}`)
  assert.equal(
    counts.reduce((sum, n) => sum + n, 0),
    MOVES * EACH,
  )
  for (const name of files) assert.deepEqual(badLines(folder.at(name)), [], name)
  assert.equal(files.length, MOVES + 1)
})

test('agent files: standard output is closed (| head -1): the file exporter continues', async () => {
  using folder = new Folder()
  const { events, config } = place(folder)
  const file = config({
    exporters: {
      screen: { type: 'stdout', batch: { max_wait: '0ms' } },
      archive: { type: 'file', path: events, batch: { max_wait: '20ms' } },
    },
    shutdown: { grace: '1s' },
  })
  await using agent = new RawAgent(file, { stdout: true, command: NODE })
  agent.stdout?.once('data', () => agent.stdout?.destroy())
  await agent.ready()
  await agent.request(3000)
  await until('3000 events in the file', () => reads(events) === 3000, { more: () => agent.stderr })
  const metrics = await agent.metrics()
  assert.equal(metrics.sum('ktrail_accounting_imbalance_events'), 0)
  assert.equal(metrics.sum('ktrail_exporter_dropped_events_total', { exporter: 'archive' }), 0)
  // Events that standard output did not accept are reported.
  assert.deepEqual(await agent.end('SIGTERM'), { code: 1, signal: null })
  assert.match(agent.stderr, /stopped before all events were delivered/)
  assert.deepEqual(badLines(events), [])
})

for (const { name, maxEvents } of [
  { name: 'the queue holds the waiting events, and nothing is lost', maxEvents: 20_000 },
  { name: 'the queue is too small, and dropped events are counted', maxEvents: 500 },
]) {
  test(`agent files: a full disk delays lines and tears none; ${name}`, async (t) => {
    using folder = new Folder()
    const { config } = place(folder)
    mkdirSync(folder.at('disk'))
    const disk = await smallDisk(16, folder.at('disk'))
    if ('missing' in disk) return t.skip(disk.missing)
    const file = config({
      exporters: {
        archive: {
          type: 'file',
          path: folder.at('disk/events.jsonl'),
          retry: { initial: '100ms', max: '500ms' },
          queue: { max_events: maxEvents },
          batch: { max_events: 100, max_wait: '20ms' },
        },
      },
    })
    await using agent = new RawAgent(file, { command: [...disk.wrapper, ...NODE] })
    await agent.ready()
    const small = new SmallDisk(agent.pid, folder.at('disk'))
    const events = `/proc/${agent.pid}/root${folder.at('disk/events.jsonl')}`
    small.fill()
    let asked = 0
    const sum = async (metric: string): Promise<number> => (await agent.metrics()).sum(metric)
    await until('a retry', async () => {
      await agent.request(100)
      asked += 100
      return (await sum('ktrail_exporter_retries_total')) > 1
    })
    await agent.request(2000)
    asked += 2000
    const full = await agent.metrics()
    assert.equal(full.sum('ktrail_exporter_state', { state: 'retrying' }), 1)
    assert.equal(full.sum('ktrail_accounting_imbalance_events'), 0)
    assert.deepEqual(badLines(events), [], 'also while the disk is full')
    small.free()
    await until('the queue to empty', async () => (await sum('ktrail_exporter_queue_events')) === 0)
    const metrics = await until('the file to have all events that were not dropped', async () => {
      const page = await agent.metrics()
      const ended =
        page.sum('ktrail_exporter_delivered_events_total') + page.sum('ktrail_exporter_dropped_events_total')
      return page.sum('ktrail_events_read_total', { type: 'process_kprobe' }) === asked && ended >= asked && page
    })
    const dropped = metrics.sum('ktrail_exporter_dropped_events_total', { reason: 'queue_full' })
    t.diagnostic(`${asked} reads, ${reads(events)} in the file, ${dropped} dropped`)
    assert.equal(metrics.sum('ktrail_exporter_dropped_events_total'), dropped)
    if (maxEvents === 500) assert.ok(dropped > 0, 'the test must drop some')
    else assert.deepEqual([dropped, reads(events)], [0, asked])
    assert.equal(metrics.sum('ktrail_accounting_imbalance_events'), 0)
    assert.deepEqual(badLines(events), [])
    assert.deepEqual(await agent.end('SIGTERM'), { code: 0, signal: null })
  })
}

test('agent files: a second SIGTERM does not wait for a sink that accepts nothing', async (t) => {
  using folder = new Folder()
  const { config } = place(folder)
  mkdirSync(folder.at('disk'))
  const disk = await smallDisk(1, folder.at('disk'))
  if ('missing' in disk) return t.skip(disk.missing)
  const path = folder.at('disk/events.jsonl')
  const archive = { type: 'file', path, retry: { initial: '200ms', max: '1s' } }
  const file = config({ exporters: { archive }, shutdown: { grace: '5m' } })
  await using agent = new RawAgent(file, { command: [...disk.wrapper, ...NODE] })
  await agent.ready()
  await agent.request(5000)
  agent.signal('SIGTERM')
  await until('the stop to begin', () => agent.stderr.includes('"stopping"'))
  assert.equal(agent.over, undefined)
  // Undelivered events are counted and reported, so the exit code is not 0.
  assert.deepEqual(await agent.end('SIGTERM'), { code: 1, signal: null })
  assert.match(agent.stderr, /stopped before all events were delivered/)
})

test('agent files: without free file descriptors policies stay and no event is lost', async () => {
  using folder = new Folder()
  const { events, config } = place(folder)
  await using agent = new RawAgent(config(), { command: NODE })
  await agent.ready()
  await agent.request(10)
  await until('the first events', () => reads(events) === 10)
  const limit = (soft: number): unknown => execFileSync('prlimit', ['--pid', String(agent.pid), `--nofile=${soft}:`])
  limit(3) // a limit below the number of open files: no file can be opened, open ones stay
  agent.signal('SIGHUP')
  await until('a reload without descriptors', () => agent.stderr.includes('EMFILE'), { more: () => agent.stderr })
  await agent.request(2000)
  await until('2000 events', () => reads(events) === 2010, { more: () => agent.stderr })
  assert.doesNotMatch(agent.stderr, /policy removed/)
  limit(1024)
  writeFileSync(folder.at('policies/q.yaml'), policyOf('second'))
  agent.signal('SIGHUP')
  await until('the second policy', () => /"policy":"second","msg":"policy added"/.test(agent.stderr))
  await agent.request(10)
  await until('the last events', () => reads(events) === 2020)
  assert.equal((await agent.metrics()).sum('ktrail_accounting_imbalance_events'), 0)
  assert.deepEqual(await agent.end('SIGTERM'), { code: 0, signal: null })
})

const UNUSABLE: ReadonlyArray<readonly [what: string, make: (folder: Folder) => string, message: RegExp]> = [
  [
    'in a folder that does not exist and cannot be created',
    (folder) => folder.at('none/none/events.jsonl'),
    /cannot open ".*\/none\/none\/events\.jsonl": its folder does not exist \(ENOENT\)/,
  ],
  [
    'on a read-only file system',
    () => '/sys/kernel/btf/events.jsonl',
    /cannot open "\/sys\/kernel\/btf\/events\.jsonl": /,
  ],
  [
    'that is a symbolic link',
    (folder) => {
      symlinkSync(folder.at('elsewhere'), folder.at('link.jsonl'))
      return folder.at('link.jsonl')
    },
    /cannot open ".*\/link\.jsonl": expected a file, got a symbolic link \(ELOOP\)/,
  ],
]

for (const [what, make, message] of UNUSABLE) {
  test(`agent files: an output ${what}: no start, exit code 1`, async () => {
    using folder = new Folder()
    const { config } = place(folder)
    await using agent = new RawAgent(config({ exporters: { a: { type: 'file', path: make(folder) } } }), {
      command: NODE,
    })
    const { code } = await agent.ended
    assert.equal(code, 1, agent.stderr)
    assert.match(agent.stderr, message)
  })
}
