/**
 * The real agent is killed at random moments and stopped at awkward ones, under load and while policies and exporters change: each start works,
 * its files are repaired. test/e2e/crash.test.ts covers remains in the kernel, test/integration-host/kill.test.ts the sinks.
 * KTRAIL_SEED repeats the moments.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { badLines } from '../../e2e/support/faults.ts'
import { RawAgent } from '../../e2e/support/raw.ts'
import { until } from '../../e2e/support/wait.ts'
import { Seeded } from '../../simulation/spool/random.ts'
import { policyOf } from '../../support/kernel/functions.ts'
import { Folder } from '../../unit/exporters/support/folder.ts'
import { NODE, place, reads } from './support/place.ts'

/** KTRAIL_LONG=1 kills more often. The moments are random, so that each run has others. */
const LONG = process.env['KTRAIL_LONG'] === '1'
const KILLS_AT_START = LONG ? 60 : 4
const KILLS_A_PHASE = LONG ? 20 : 2
const LOAD = 20_000

const seed = Number(process.env['KTRAIL_SEED'] || Date.now() % 1_000_000)

test(`agent kills: at ${KILLS_AT_START} moments of a start and ${KILLS_A_PHASE} of each later phase, KTRAIL_SEED=${seed}; each start works, and lines are repaired`, async (t) => {
  using folder = new Folder()
  const { events, archive, config, policy } = place(folder)
  const random = new Seeded(seed)
  let turn = 0
  /** Another policy and another exporter each time. */
  const rewrite = (): string => {
    policy('p.yaml', policyOf(`watched-${turn++}`))
    const other = { type: 'file', path: folder.at(`other-${turn % 2}.jsonl`) }
    return config({ exporters: { archive, [`other-${turn}`]: other }, shutdown: { grace: '1m' } })
  }
  const file = rewrite()

  /** `mayEnd`: the agent may have ended by itself just before. */
  async function killed(moment: (agent: RawAgent) => Promise<unknown>, mayEnd = false): Promise<number> {
    await using agent = new RawAgent(file, { command: NODE })
    await moment(agent)
    if (!mayEnd) assert.equal(agent.over, undefined, `it ended by itself:\n${agent.stderr}`)
    const end = await agent.end('SIGKILL')
    if (end.signal === 'SIGKILL') return 1
    assert.deepEqual([mayEnd, end], [true, { code: 0, signal: null }], agent.stderr)
    return 0
  }

  let startMs = 0
  // The second start counts: the first also fills caches.
  for (let i = 0; i < 2; i++) {
    await using agent = new RawAgent(file, { command: NODE })
    const began = performance.now()
    await agent.ready()
    startMs = performance.now() - began
    assert.deepEqual(await agent.end('SIGTERM'), { code: 0, signal: null })
  }
  const moments = Array.from({ length: KILLS_AT_START }, () => random.int(Math.round(startMs)))
  t.diagnostic(`a start took ${Math.round(startMs)} ms; killed after ${moments.join(' ')}`)
  let kills = 0
  for (const ms of moments) kills += await killed((agent) => Promise.race([setTimeout(ms), agent.ended]))

  const phases: ReadonlyArray<{ spanMs: number; begin: (agent: RawAgent) => void; mayEnd?: true }> = [
    { spanMs: 400, begin: (agent) => void agent.request(LOAD) },
    {
      spanMs: 1000,
      begin: (agent) => {
        void agent.request(LOAD)
        rewrite()
        agent.signal('SIGHUP')
      },
    },
    { spanMs: 50, begin: (agent) => agent.signal('SIGTERM'), mayEnd: true },
  ]
  for (const { spanMs, begin, mayEnd } of phases) {
    for (let i = 0; i < KILLS_A_PHASE; i++) {
      kills += await killed(async (agent) => {
        await agent.ready()
        begin(agent)
        await setTimeout(random.int(spanMs))
      }, mayEnd)
    }
  }

  await using agent = new RawAgent(file, { command: NODE })
  await agent.ready()
  const before = reads(events)
  await agent.request(500)
  await until('500 more events', () => reads(events) === before + 500, { more: () => agent.stderr })
  await agent.request(LOAD)
  rewrite()
  agent.signal('SIGHUP')
  await setTimeout(random.int(500))
  // Code 0 means that all events are delivered, even during a reload.
  assert.deepEqual(await agent.end('SIGTERM'), { code: 0, signal: null }, agent.stderr)
  assert.equal(reads(events), before + 500 + LOAD)
  const torn = badLines(events)
  t.diagnostic(`${kills} kills, ${torn.length} torn lines were repaired`)
  // An agent that stops may have ended by itself.
  assert.ok(kills >= KILLS_AT_START + 2 * KILLS_A_PHASE, `${kills} kills`)
  assert.ok(torn.length <= kills, 'at most the line being written is torn')
})

test('agent kills: SIGTERM during the start ends it; SIGINT drains', async () => {
  using folder = new Folder()
  const { events, config } = place(folder)
  const file = config()
  for (const ms of [20, 200, 400, 800]) {
    await using agent = new RawAgent(file, { command: NODE })
    await setTimeout(ms)
    const { code, signal } = await agent.end('SIGTERM')
    assert.ok(signal === 'SIGTERM' || code === 0, `${code} ${signal}\n${agent.stderr}`)
  }
  await using agent = new RawAgent(file, { command: NODE })
  await agent.ready()
  await agent.request(5000)
  assert.deepEqual(await agent.end('SIGINT'), { code: 0, signal: null })
  assert.equal(reads(events), 5000)
  assert.deepEqual(badLines(events), [])
})
