/**
 * An agent that is killed or stopped at a random moment leaves nothing in the kernel. test/integration-host/agent/kill.test.ts has more kills and
 * what happens to its files. KTRAIL_SEED repeats the moments; each run prints its seed.
 */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { Seeded } from '../simulation/spool/random.ts'
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
/** Each start takes seconds in a guest; KTRAIL_LONG=1 makes more. The moments are random, so that each run has others. */
const TIMES = process.env['KTRAIL_LONG'] === '1' ? 6 : 1

interface Place {
  readonly folder: string
  readonly config: string
  readonly events: string
  readonly file: string
  /** Writes the policy file and the config anew; hooks and exporters differ each time. */
  rewrite(): void
}

function place(): Place {
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
      // A burst is delivered before a stop ends.
      shutdown: { grace: '1m' },
    })
  }
  const events = join(folder, 'events.jsonl')
  const config = rewrite()
  return { folder, config, events, file, rewrite }
}

interface Moment {
  readonly name: string
  readonly signal: NodeJS.Signals
  /** The agent may have ended by itself just before, with code 0. */
  readonly mayEnd?: true
  /** The signal comes within this time after `begin`. */
  readonly spanMs: () => number
  readonly begin: (agent: RawAgent) => unknown
}

describe('crash', { skip }, () => {
  const seed = Number(process.env['KTRAIL_SEED'] || Date.now() % 1_000_000)
  const random = new Seeded(seed)
  const at = place()
  const readings: Array<Promise<unknown>> = []
  let startMs = 0
  let kills = 0

  const moments: readonly Moment[] = [
    {
      name: 'SIGKILL under load, while policies and exporters change',
      signal: 'SIGKILL',
      spanMs: () => 2500,
      begin: async (agent) => {
        const began = performance.now()
        await agent.ready()
        startMs = performance.now() - began
        readings.push(burst(['pread', at.file, 100_000, 2]))
        at.rewrite()
      },
    },
    {
      name: 'SIGKILL while it stops',
      signal: 'SIGKILL',
      mayEnd: true,
      spanMs: () => 150,
      begin: async (agent) => {
        await agent.ready()
        agent.signal('SIGTERM')
      },
    },
    { name: 'SIGKILL during the start', signal: 'SIGKILL', spanMs: () => startMs, begin: () => {} },
    { name: 'SIGTERM during the start', signal: 'SIGTERM', mayEnd: true, spanMs: () => startMs, begin: () => {} },
  ]
  for (const { name, signal, mayEnd, spanMs, begin } of moments) {
    it(`${name} leaves nothing in the kernel, ${TIMES}×, KTRAIL_SEED=${seed}`, async () => {
      for (let i = 0; i < TIMES; i++) {
        await using agent = new RawAgent(at.config)
        await begin(agent)
        const ms = random.int(Math.round(spanMs()))
        await Promise.race([setTimeout(ms), agent.ended])
        if (mayEnd === undefined) assert.equal(agent.over, undefined, `it ended by itself:\n${agent.stderr}`)
        const end = await agent.end(signal)
        report(name, { 'after ms': ms, 'of ms': spanMs(), signal: end.signal ?? 'none' })
        if (end.signal === 'SIGKILL') kills++
        if (end.signal !== signal) assert.deepEqual([mayEnd, end], [true, { code: 0, signal: null }], agent.stderr)
        await nothingLeft()
      }
      await Promise.all(readings)
    })
  }

  it('the next start works, even with a preloaded library, and repairs the file; SIGTERM during a reload loses no event', async () => {
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
    await setTimeout(random.int(1500))
    // Code 0 means that all events are delivered.
    assert.deepEqual(await agent.end('SIGTERM'), { code: 0, signal: null }, agent.stderr)
    await reading
    await nothingLeft()
    const bad = badLines(at.events)
    report('after kill -9', { kills, 'torn lines, repaired': bad.length })
    // An agent that stops may have ended by itself.
    assert.ok(kills >= 2 * TIMES, `${kills} kills`)
    assert.ok(bad.length <= kills, 'at most the line being written is torn')
  })
})
