/** An agent with the shipped policy, a file and a connected OTLP exporter, while nothing happens: it sleeps. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import test, { describe } from 'node:test'
import { FakeSink } from '../../support/otlp/server.ts'
import { TestAgent, cannotRun } from '../support/agent.ts'
import { threadUse, usedBetween } from '../../support/idle.ts'

const SEED = readFileSync(new URL('../../../config/policies/file-monitoring.yaml', import.meta.url), 'utf8')
const SECONDS = 20
const WAKEUPS_A_SECOND = 5
/**
 * An emulated processor also counts the time that the machine gave to others: the same agent used 170 ms or 1,200. So the least of some
 * periods counts, until they meet both bounds.
 */
const CPU_MS = 600
const AIM_MS = 120
const PERIODS = 4
/** Ended processes leave the table and garbage is collected after a burst; the start is one. */
const QUIET_MS = 20_000

describe('idle', { skip: cannotRun() }, () => {
  test(`idle: at most ${WAKEUPS_A_SECOND} wakeups/s and ${CPU_MS} ms of CPU in ${SECONDS} s`, async (context) => {
    await using sink = await FakeSink.start()
    await using agent = await TestAgent.start({
      policies: { 'file-monitoring.yaml': SEED },
      archive: { fsync: '1s' },
      exporters: { loki: { type: 'otlp', logs_endpoint: sink.url, compression: 'none' } },
      config: { log: { level: 'info', format: 'json' } },
    })
    await agent.settled()
    await agent.until('a request', () => sink.requests.length > 0)
    await setTimeout(QUIET_MS)
    let quiet = 0
    let wakeupsInAll = 0
    let leastMs = Infinity
    const met = (): boolean => leastMs <= CPU_MS && wakeupsInAll <= WAKEUPS_A_SECOND * quiet
    for (let period = 1; period <= PERIODS && !met(); period++) {
      const lines = agent.lines().length
      const before = threadUse(agent.pid)
      await setTimeout(SECONDS * 1000)
      const used = usedBetween(before, threadUse(agent.pid))
      const threads = used.map(({ name, switches, cpuMs }) => `${name}: ${switches} wakeups, ${cpuMs.toFixed(1)} ms`)
      const wakeups = used.reduce((sum, { switches }) => sum + switches, 0) / SECONDS
      const cpuMs = used.reduce((sum, use) => sum + use.cpuMs, 0)
      context.diagnostic(
        `period ${period}: ${wakeups} wakeups/s, ${cpuMs.toFixed(1)} ms of CPU, aim ${AIM_MS} (${threads.join('; ')})`,
      )
      // Someone touched a file in /etc.
      if (agent.lines().length > lines) continue
      quiet++
      wakeupsInAll += wakeups
      leastMs = Math.min(leastMs, cpuMs)
    }
    assert.ok(quiet > 0, 'something happened in each period')
    // On average: a heartbeat falls into every third period.
    const wakeups = wakeupsInAll / quiet
    assert.ok(wakeups <= WAKEUPS_A_SECOND, `${wakeups} wakeups/s, expected at most ${WAKEUPS_A_SECOND}`)
    assert.ok(leastMs <= CPU_MS, `${leastMs} ms of CPU, expected at most ${CPU_MS}`)
  })
})
