/**
 * The agent is killed at random moments, is stopped at awkward ones, or loses its output, its disk or its descriptors.
 * KTRAIL_SEED repeats a run of the random part; each run prints its seed.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { TestAgent, cannotRun, freshFolder } from './support/agent.ts'
import {
  PRELOADED,
  accessOf,
  audited,
  balanced,
  burst,
  configFile,
  countLines,
  nothingLeft,
  report,
  target,
} from './support/faults.ts'
import { fileHook, path, policy } from './support/policy.ts'
import { RawAgent } from './support/raw.ts'
import { until } from './support/wait.ts'

const skip = cannotRun()
if (skip !== false) console.log(`crash: skipped: ${skip}`)
/** KTRAIL_LONG=1 kills two or three times as often. The moments are random, so that each run has others. */
const LONG = process.env['KTRAIL_LONG'] === '1'
const KILLS_AT_START = LONG ? 12 : 4
const KILLS_A_PHASE = LONG ? 4 : 2
if (!LONG) console.log('crash: fewer kills: each start takes seconds in a guest; KTRAIL_LONG=1 makes all')

interface Place {
  readonly folder: string
  readonly config: string
  readonly events: string
  readonly file: string
  /** Writes the policy file and the config anew; hooks and exporters differ each time. */
  rewrite(): void
}

function place(keys: Readonly<Record<string, unknown>> = {}): Place {
  const { folder: watched, file } = target()
  const folder = freshFolder('crash')
  const policies = join(folder, 'policies')
  mkdirSync(policies)
  let turn = 0
  const rewrite = (): string => {
    const text = policy('watched', [fileHook([path('Prefix', watched, `/nowhere/${turn++}/`)])])
    writeFileSync(join(folder, 'new'), text)
    renameSync(join(folder, 'new'), join(policies, 'p.yaml'))
    return configFile(folder, {
      policies: [policies],
      server: { http: '127.0.0.1:0' },
      exporters: {
        archive: { type: 'file', path: events, batch: { max_wait: '20ms' } },
        [`other-${turn}`]: { type: 'file', path: join(folder, `other-${turn % 2}.jsonl`) },
      },
      log: { level: 'info', format: 'json' },
      ...keys,
    })
  }
  const events = join(folder, 'events.jsonl')
  const config = rewrite()
  return { folder, config, events, file, rewrite }
}

/** mulberry32: small, seeded, good enough to pick moments. */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Lines that are not JSON. */
function badLines(file: string): string[] {
  const lines = readFileSync(file, 'utf8').split('\n')
  assert.equal(lines.pop(), '', 'the file ends with a line feed')
  return lines.filter((line) => {
    try {
      JSON.parse(line)
      return false
    } catch {
      return true
    }
  })
}

describe('kill -9', { skip }, () => {
  const seed = Number(process.env['KTRAIL_SEED'] || Date.now() % 1_000_000)
  const random = randomFrom(seed)
  // A burst is delivered before a stop ends.
  const at = place({ shutdown: { grace: '1m' } })
  let startMs = 0
  let kills = 0

  /** Kills it at this moment; `mayEnd`: it may have ended by itself just before. */
  async function killed(moment: (agent: RawAgent) => Promise<unknown>, mayEnd = false): Promise<void> {
    await using agent = new RawAgent(at.config)
    await moment(agent)
    if (!mayEnd) assert.equal(agent.over, undefined, `it ended by itself:\n${agent.stderr}`)
    const end = await agent.end('SIGKILL')
    if (end.signal === 'SIGKILL') kills++
    else assert.deepEqual([mayEnd, end], [true, { code: 0, signal: null }], agent.stderr)
    await nothingLeft()
  }

  it(`${KILLS_AT_START} times while it starts, KTRAIL_SEED=${seed}`, async () => {
    // The second start counts: the first also fills the page cache.
    for (let i = 0; i < 2; i++) {
      await using agent = new RawAgent(at.config)
      const began = performance.now()
      await agent.ready()
      startMs = performance.now() - began
      assert.deepEqual(await agent.end('SIGTERM'), { code: 0, signal: null })
      await nothingLeft()
    }
    const moments = Array.from({ length: KILLS_AT_START }, () => Math.round(random() * startMs))
    report('a start, ms', { took: startMs, 'killed after': moments.join(' ') })
    for (const ms of moments) await killed((agent) => Promise.race([setTimeout(ms), agent.ended]))
  })

  const readings: Array<Promise<unknown>> = []
  const phases: ReadonlyArray<{
    name: string
    spanMs: number
    begin: (agent: RawAgent) => unknown
    mayEnd?: boolean
  }> = [
    { name: 'under load', spanMs: 1500, begin: () => readings.push(burst(['pread', at.file, 300_000, 2])) },
    {
      name: 'while policies and exporters change, under load',
      spanMs: 2500,
      begin: () => {
        readings.push(burst(['pread', at.file, 100_000, 1]))
        at.rewrite()
      },
    },
    { name: 'while it stops', spanMs: 150, begin: (agent) => agent.signal('SIGTERM'), mayEnd: true },
  ]
  for (const { name, spanMs, begin, mayEnd } of phases) {
    it(`${KILLS_A_PHASE} times ${name}; each start works`, async () => {
      for (let i = 0; i < KILLS_A_PHASE; i++) {
        const ms = Math.round(random() * spanMs)
        await killed(async (agent) => {
          await agent.ready()
          begin(agent)
          await setTimeout(ms)
        }, mayEnd)
      }
      await Promise.all(readings)
    })
  }

  it('afterwards a start works, also with a preloaded library, records events, and has repaired the file; SIGTERM during a reload loses none', async () => {
    await using agent = new RawAgent(at.config, { env: { LD_PRELOAD: PRELOADED } })
    await agent.ready()
    const maps = readFileSync(`/proc/${agent.pid}/maps`, 'utf8')
    assert.deepEqual([maps.includes('/libz.so'), maps.includes('/libjemalloc.so')], [true, false])
    const before = countLines(at.events, accessOf(at.file))
    await burst(['pread', at.file, 500, 1])
    await until('500 more events', () => countLines(at.events, accessOf(at.file)) === before + 500)
    const reading = burst(['pread', at.file, 30_000, 1])
    await until('events under load', () => countLines(at.events, accessOf(at.file)) > before + 500)
    at.rewrite()
    await setTimeout(random() * 1500)
    // Code 0: all that was read is delivered.
    assert.deepEqual(await agent.end('SIGTERM'), { code: 0, signal: null }, agent.stderr)
    await reading
    const bad = badLines(at.events)
    report('after kill -9', { kills, 'torn lines, repaired': bad.length })
    // An agent that stops may have ended by itself.
    assert.ok(kills >= KILLS_AT_START + 2 * KILLS_A_PHASE, `${kills} kills`)
    assert.ok(bad.length <= kills, 'at most the line being written is torn')
  })
})

describe('signals', { skip }, () => {
  after(nothingLeft)

  it('SIGTERM during start ends it and leaves nothing in the kernel', async () => {
    const { config } = place()
    for (const ms of [50, 1500, 3000]) {
      await using agent = new RawAgent(config)
      await setTimeout(ms)
      const { code, signal } = await agent.end('SIGTERM')
      assert.ok(signal === 'SIGTERM' || code === 0, `${code} ${signal}\n${agent.stderr}`)
      await nothingLeft()
    }
  })

  it('SIGINT drains and stops with exit code 0', async () => {
    const { config, events, file } = place()
    await using agent = new RawAgent(config)
    await agent.ready()
    await burst(['pread', file, 5000, 1])
    assert.deepEqual(await agent.end('SIGINT'), { code: 0, signal: null })
    assert.equal(countLines(events, accessOf(file)), 5000)
    assert.deepEqual(badLines(events), [])
  })

  it('a second SIGTERM does not wait for a sink that accepts nothing', async () => {
    const disk = smallDisk('1m')
    const { config, file } = place({
      exporters: {
        archive: { type: 'file', path: join(disk.folder, 'e.jsonl'), retry: { initial: '200ms', max: '1s' } },
      },
      shutdown: { grace: '5m' },
    })
    await using agent = new RawAgent(config)
    await agent.ready()
    await burst(['pread', file, 5000, 1])
    agent.signal('SIGTERM')
    await until('the stop to begin', () => agent.stderr.includes('"stopping"'))
    assert.equal(agent.over, undefined)
    // Undelivered events are counted and reported, so the exit code is not 0.
    assert.deepEqual(await agent.end('SIGTERM'), { code: 1, signal: null })
    assert.match(agent.stderr, /stopped before all events were delivered/)
    await nothingLeft()
    disk[Symbol.dispose]()
  })

  it('SIGHUP while it writes, after a rename: no line is lost, torn or doubled', async () => {
    const MOVES = 6
    const EACH = 4000
    const { config, events, file, folder } = place()
    await using agent = new RawAgent(config)
    await agent.ready()
    const files = (): string[] => readdirSync(folder).filter((name) => name.startsWith('events.jsonl'))
    const counts = (): number[] => files().map((name) => countLines(join(folder, name), accessOf(file)))
    const count = (): number => counts().reduce((sum, n) => sum + n, 0)
    const readings: Array<Promise<unknown>> = []
    const begun = (): boolean => {
      if (existsSync(events) && countLines(events, accessOf(file)) > 0) return true
      // All of the burst before may have been written before the new file was opened.
      if (count() === readings.length * EACH) readings.push(burst(['pread', file, EACH, 1]))
      return false
    }
    for (let i = 1; i <= MOVES; i++) {
      await until('events in the new file', begun, { more: () => agent.stderr })
      renameSync(events, `${events}-moved-${i}`)
      agent.signal('SIGHUP')
    }
    await until('the last new file', () => existsSync(events))
    await Promise.all(readings)
    assert.deepEqual(await agent.end('SIGTERM'), { code: 0, signal: null })
    report('SIGHUP', { files: files().length, events: counts().join(' + ') })
    assert.equal(count(), readings.length * EACH)
    for (const name of files()) assert.deepEqual(badLines(join(folder, name)), [], name)
    assert.equal(files().length, MOVES + 1)
  })
})

/** A tmpfs of this size, for an output that fills it. */
function smallDisk(size: string): Disposable & { readonly folder: string; resize(size: string): void } {
  const folder = freshFolder('disk')
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'none', folder])
  return {
    folder,
    resize: (to) => void execFileSync('mount', ['-o', `remount,size=${to}`, folder]),
    [Symbol.dispose]: () => void execFileSync('umount', ['-l', folder]),
  }
}

describe('lost resources', { skip }, () => {
  after(nothingLeft)

  it('standard output is closed (| head -1): the file exporter continues', async () => {
    const { folder, events, file, config: _ } = place()
    const config = configFile(folder, {
      policies: [join(folder, 'policies')],
      server: { http: '127.0.0.1:0' },
      exporters: {
        screen: { type: 'stdout', batch: { max_wait: '0ms' } },
        archive: { type: 'file', path: events, batch: { max_wait: '20ms' } },
      },
      shutdown: { grace: '1s' },
    })
    await using agent = new RawAgent(config, { stdout: true })
    agent.stdout?.once('data', () => agent.stdout?.destroy())
    await agent.ready()
    await burst(['pread', file, 3000, 1])
    await until('3000 events in the file', () => countLines(events, accessOf(file)) === 3000, {
      more: () => agent.stderr,
    })
    const metrics = await agent.metrics()
    assert.equal(metrics.sum('ktrail_accounting_imbalance_events'), 0)
    assert.equal(metrics.sum('ktrail_exporter_dropped_events_total', { exporter: 'archive' }), 0)
    const { code, signal } = await agent.end('SIGTERM')
    assert.equal(signal, null)
    // What standard output did not take is reported.
    assert.equal(code, 1, agent.stderr)
    assert.match(agent.stderr, /stopped before all events were delivered/)
    assert.deepEqual(badLines(events), [])
  })

  for (const { name, maxEvents } of [
    { name: 'the queue holds the waiting events, and nothing is lost', maxEvents: 20_000 },
    { name: 'the queue is too small, and what is dropped is counted', maxEvents: 500 },
  ]) {
    it(`the disk is full: writes are retried, no line is torn, and output continues once there is space; ${name}`, async () => {
      const { folder: watched, file } = target()
      using disk = smallDisk('1m')
      const events = join(disk.folder, 'events.jsonl')
      await using agent = await TestAgent.start({
        policies: { 'p.yaml': policy('watched', [fileHook([path('Prefix', watched)])]) },
        archive: {
          path: events,
          retry: { initial: '100ms', max: '500ms' },
          queue: { max_events: maxEvents },
          batch: { max_events: 100 },
        },
      })
      let hits = 0
      const more = async (): Promise<boolean> => {
        await burst(['pread', file, 400, 1])
        hits += 400
        return (await agent.metrics()).sum('ktrail_exporter_retries_total') > 1
      }
      await agent.until('a retry', more)
      await burst(['pread', file, 2000, 1])
      hits += 2000
      const full = await agent.metrics()
      assert.equal(full.sum('ktrail_exporter_state', { state: 'retrying' }), 1)
      assert.ok(full.sum('ktrail_exporter_queue_events') > 0)
      assert.equal(full.sum('ktrail_accounting_imbalance_events'), 0)
      assert.deepEqual(badLines(events), [], 'also while the disk is full')
      disk.resize('64m')
      await agent.until(
        'the queue to empty',
        async () => (await agent.metrics()).sum('ktrail_exporter_queue_events') === 0,
      )
      await audited(agent)
      await balanced(agent)
      // Losses are written as events too and need some time: wait until none is pending.
      const metrics = await agent.until('the file to have all that was read and not dropped', async () => {
        const page = await agent.metrics()
        const delivered = page.sum('ktrail_exporter_delivered_events_total')
        const ended = delivered + page.sum('ktrail_exporter_dropped_events_total')
        return ended === page.sum('ktrail_events_read_total') && delivered === countLines(events, '') && page
      })
      const dropped = metrics.sum('ktrail_exporter_dropped_events_total', { reason: 'queue_full' })
      const count = metrics.sum('ktrail_exporter_delivered_events_total')
      report('full disk', {
        hits,
        'lines in the file': count,
        dropped,
        retries: metrics.sum('ktrail_exporter_retries_total'),
      })
      assert.equal(metrics.sum('ktrail_exporter_dropped_events_total'), dropped)
      assert.equal(metrics.sum('ktrail_events_read_total'), count + dropped)
      assert.equal(metrics.sum('ktrail_events_read_total', { type: 'process_kprobe' }), hits)
      if (maxEvents === 500) assert.ok(dropped > 0, 'the test must drop some')
      else assert.equal(countLines(events, accessOf(file)), hits)
      assert.deepEqual(badLines(events), [])
      assert.deepEqual(await agent.stop(), { code: 0, signal: null })
    })
  }

  it('no file descriptors are left: the policies stay effective and nothing is lost', async () => {
    const { folder: watched, file } = target()
    await using agent = await TestAgent.start({
      policies: { 'p.yaml': policy('watched', [fileHook([path('Prefix', watched)])]) },
    })
    await agent.settled()
    const limit = (soft: string): unknown =>
      execFileSync('prlimit', ['--pid', String(agent.pid), `--nofile=${soft}:65536`])
    limit('3') // below the number of open files: no file can be opened, open ones stay
    // Two polls of the policies (once a second) and a reopening find no descriptor.
    process.kill(agent.pid, 'SIGHUP')
    await setTimeout(3500)
    const before = countLines(`${agent.folder}/events.jsonl`, accessOf(file))
    await burst(['pread', file, 2000, 1])
    await agent.until('2000 events', () => countLines(`${agent.folder}/events.jsonl`, accessOf(file)) === before + 2000)
    assert.deepEqual(
      agent.log().filter(({ msg }) => msg === 'policy removed'),
      [],
    )
    limit('1024')
    await agent.until('/readyz', async () => (await agent.get('/readyz')).ok)
    assert.equal(await agent.apply('p', policy('watched', [fileHook([path('Prefix', watched, '/more/')])])), 'replaced')
    const lines = await agent.during(() => burst(['pread', file, 10, 1]))
    assert.equal(lines.filter((line) => line.process_kprobe !== undefined).length, 10)
    await audited(agent)
    await balanced(agent)
    assert.deepEqual(await agent.stop(), { code: 0, signal: null })
  })
})
