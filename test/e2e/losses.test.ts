/**
 * Every lost record is counted, compared with the kernel's own numbers: the ring is far too small, and the agent does not read it.
 * test/integration-host/agent/losses.test.ts has the loss records.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { after, before, describe, it } from 'node:test'
import { TestAgent, cannotRun, freshFolder } from './support/agent.ts'
import { accessOf, audited, balanced, burst, countLines, numbersTaken, report, target } from './support/faults.ts'
import { fileHook, path, policy } from './support/policy.ts'
import { lostIn, processOf } from './support/record.ts'
import { LONG } from '../support/long.ts'

const skip = cannotRun()
if (skip !== false) console.log(`losses: skipped: ${skip}`)

const HITS = LONG ? 20_000 : 4_000
const SPAWNS = 600
const LOST = 'ktrail_kernel_lost_events_total'

interface Numbers {
  readonly taken: number
  readonly records: number
  readonly hook: number
  readonly process: number
}

const uncounted = ({ taken, records, hook, process: lost }: Numbers): number => taken - records - hook - lost

/** Reads until two results are the same: threads of the kernel come and go between the metrics and the map. */
async function numbersOf(agent: TestAgent): Promise<Numbers> {
  let numbers = await numbersNow(agent)
  for (let i = 0; i < 10; i++) {
    const last = numbers
    await agent.settled()
    numbers = await numbersNow(agent)
    if (uncounted(numbers) === uncounted(last)) break
  }
  return numbers
}

async function numbersNow(agent: TestAgent): Promise<Numbers> {
  const metrics = await agent.metrics()
  return {
    taken: numbersTaken(),
    records: metrics.sum('ktrail_ring_records_total'),
    hook: metrics.sum(LOST, { reason: 'ring_full_hook' }),
    process: metrics.sum(LOST, { reason: 'ring_full_process' }),
  }
}

/** Number of events that the agent has lost so far. */
async function lostOf(agent: TestAgent): Promise<number> {
  return (await agent.metrics()).sum(LOST)
}

/** Differences of the counters while the agent was stopped and `action` ran, taken once it has caught up. */
async function whileStopped(agent: TestAgent, action: () => Promise<unknown>): Promise<Numbers> {
  await agent.settled()
  await audited(agent)
  const first = await numbersOf(agent)
  process.kill(agent.pid, 'SIGSTOP')
  try {
    await action()
  } finally {
    process.kill(agent.pid, 'SIGCONT')
  }
  // Waits for free room, else the ring would refuse the record of the mark.
  await agent.until('an empty ring', async () => (await agent.metrics()).sum('ktrail_ring_waiting_bytes') === 0)
  await agent.settled()
  await audited(agent)
  const last = await numbersOf(agent)
  return {
    taken: last.taken - first.taken,
    records: last.records - first.records,
    hook: last.hook - first.hook,
    process: last.process - first.process,
  }
}

describe('losses', { skip }, () => {
  const { folder, file } = target()
  let agent: TestAgent

  before(async () => {
    agent = await TestAgent.start({
      policies: { 'p.yaml': policy('lossy', [fileHook([path('Prefix', folder)])]) },
      config: { ring: { size: '64KiB', watermark: '16KiB' } },
    })
  })
  after(() => agent?.[Symbol.asyncDispose]())

  it('a ring of 64 KiB that the agent does not read loses hits and counts each of them', async () => {
    const numbers = await whileStopped(agent, () => burst(['pread', file, HITS, 1]))
    const events = countLines(`${agent.folder}/events.jsonl`, accessOf(file))
    report('64 KiB ring, agent stopped', { hits: HITS, events, ...numbers })
    assert.ok(events > 0 && numbers.hook > 0, 'the test must lose some and not all')
    assert.equal(events + numbers.hook, HITS)
    // The test reads the kernel's numbers without the agent: each belongs to a record that arrived or was refused.
    assert.equal(uncounted(numbers), 0)
    await balanced(agent)
    const logged = agent.log().filter(({ msg }) => msg === 'events were lost')
    assert.ok(logged.length > 0, 'a loss is written to the log')
    assert.match(JSON.stringify(logged), new RegExp(`ring_full_hook=${numbers.hook}\\b`))
    // No further events come: loss records must be written without them.
    await agent.until('loss records of everything', () => lostIn(agent.lines()) >= numbers.hook + numbers.process)
    assert.equal(lostIn(agent.lines()), await lostOf(agent))

    await agent.settled()
    const lines = await agent.during(() => burst(['pread', file, 100, 1]))
    assert.equal(lines.filter((line) => line.process_kprobe !== undefined).length, 100, 'the agent has recovered')
  })

  it('lost exec and exit records are counted, and processes that still run are read from /proc', async () => {
    const from = agent.lines().length
    const logged = agent.log().length
    // The shell starts while all records are lost, and reads (one byte a call, so twice) once the agent runs again.
    const gate = `${freshFolder('gate')}/fifo`
    execFileSync('mkfifo', [gate])
    let late: ChildProcess | undefined
    const numbers = await whileStopped(agent, async () => {
      await burst(['spawn', SPAWNS])
      late = spawn('sh', ['-c', 'read _ <"$0"; read _ <"$1"', gate, file], { stdio: 'ignore' })
    })
    assert.ok(late !== undefined)
    const ended = once(late, 'exit')
    await agent.until('the table to be compared with the kernel’s', () =>
      agent
        .log()
        .slice(logged)
        .some(({ msg }) => msg?.startsWith('the process table was compared') === true),
    )
    writeFileSync(gate, '\n')
    await ended
    await agent.settled()
    const ofBurst = (kind: 'process_exec' | 'process_exit'): number =>
      agent
        .lines()
        .slice(from)
        .filter((line) => line[kind] !== undefined && processOf(line).arguments?.startsWith('end ') === true).length
    const execs = ofBurst('process_exec')
    const exits = ofBurst('process_exit')
    const gone = 2 * SPAWNS - execs - exits
    report('64 KiB ring, processes', { spawned: SPAWNS, execs, exits, ...numbers })
    assert.ok(numbers.process > SPAWNS, 'the test must lose most of them')
    assert.ok(gone <= numbers.process, `${gone} of exec and exit are missing, ${numbers.process} counted`)
    assert.ok(numbers.process <= gone + SPAWNS + 50, 'no more are counted than can be missing')
    assert.equal(uncounted(numbers), 0)
    await balanced(agent)

    const reads = agent
      .lines()
      .slice(from)
      .filter((line) => line.process_kprobe !== undefined)
    assert.deepEqual(
      reads.map((line) => [processOf(line).pid, processOf(line).flags, line.process_kprobe?.parent?.pid]),
      [1, 2].map(() => [late?.pid, 'procFS', process.pid]),
    )

    const lines = await agent.during(() => burst(['spawn', 20]))
    assert.equal(lines.filter((line) => line.process_exec !== undefined).length, 21, 'the agent has recovered')
    assert.equal(lines.filter((line) => line.process_exit !== undefined).length, 21)
    const lost = await lostOf(agent)
    assert.deepEqual(await agent.stop(), { code: 0, signal: null })
    assert.equal(lostIn(agent.lines()), lost, 'losses without a record yet are recorded at the end')
  })
})
