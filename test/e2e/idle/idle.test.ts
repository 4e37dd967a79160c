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
 * Half of what an agent used that polled its ring. The aim is 120; but an emulated processor also counts the time that the machine gave to
 * others, so that a busy one doubles the figure.
 */
const CPU_MS = 600
/** Ended processes leave the table and garbage is collected after a burst; the start is one. */
const QUIET_MS = 20_000

describe('idle', { skip: cannotRun() }, () => {
  test(`idle: at most ${WAKEUPS_A_SECOND} wakeups/s and ${CPU_MS} ms of CPU in ${SECONDS} s`, async (context) => {
    await using sink = await FakeSink.start()
    await using agent = await TestAgent.start({
      policies: { 'file-monitoring.yaml': SEED },
      archive: { fsync: '1s' },
      exporters: { loki: { type: 'otlp', endpoint: sink.url, compression: 'none' } },
      config: { log: { level: 'info', format: 'json' } },
    })
    await agent.settled()
    await agent.until('a request', () => sink.requests.length > 0)
    await setTimeout(QUIET_MS)
    const lines = agent.lines().length
    const before = threadUse(agent.pid)
    await setTimeout(SECONDS * 1000)
    const used = usedBetween(before, threadUse(agent.pid))
    for (const { name, switches, cpuMs } of used) {
      context.diagnostic(`${name}: ${switches} wakeups, ${cpuMs.toFixed(1)} ms`)
    }
    const wakeups = used.reduce((sum, { switches }) => sum + switches, 0) / SECONDS
    const cpuMs = used.reduce((sum, use) => sum + use.cpuMs, 0)
    context.diagnostic(
      `${wakeups} wakeups/s, ${cpuMs.toFixed(1)} ms of CPU in ${SECONDS} s; the aim is 120 ms, but on a busy machine emulated time counts double`,
    )
    assert.equal(agent.lines().length, lines, 'something happened meanwhile')
    assert.ok(wakeups <= WAKEUPS_A_SECOND, `${wakeups} wakeups/s, expected at most ${WAKEUPS_A_SECOND}`)
    assert.ok(cpuMs <= CPU_MS, `${cpuMs} ms of CPU, expected at most ${CPU_MS}`)
  })
})
