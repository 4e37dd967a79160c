/**
 * The agent is killed at random moments and is stopped at awkward ones. test/integration-host/agent/files.test.ts has what happens to its files.
 * KTRAIL_SEED repeats a run of the random part; each run prints its seed.
 */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { cannotRun, freshFolder } from './support/agent.ts'
import {
  PRELOADED,
  accessOf,
  badLines,
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
})
