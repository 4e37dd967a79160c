/** Losses are counted, to the last record: with a ring that is far too small and an agent that does not read it. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { TestAgent, cannotRun, freshFolder } from './support/agent.ts'
import { accessOf, audited, balanced, burst, countLines, numbersTaken, report, target } from './support/faults.ts'
import { LineFile } from './support/line-file.ts'
import { fileHook, path, policy } from './support/policy.ts'
import { lostIn, processOf } from './support/record.ts'
import type { Line } from './support/record.ts'

const skip = cannotRun()
if (skip !== false) console.log(`losses: skipped: ${skip}`)

const HITS = 20_000
const LIMITED_HITS = 5000
const SPAWNS = 600
const LOST = 'ktrail_kernel_lost_events_total'

interface Numbers {
  readonly taken: number
  readonly records: number
  readonly hook: number
  readonly process: number
}

const uncounted = ({ taken, records, hook, process: lost }: Numbers): number => taken - records - hook - lost

/** Twice with the same result: threads of the kernel come and go between a look at the metrics and one at the map. */
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

/** All events that the agent has lost so far. */
async function lostOf(agent: TestAgent): Promise<number> {
  return (await agent.metrics()).sum(LOST)
}

/** Differences of the counters while the agent was stopped and `action` ran, taken once it has caught up. */
async function whileStopped(agent: TestAgent, action: () => Promise<unknown>): Promise<Numbers> {
  await agent.settled()
  await audited(agent)
  const before = await numbersOf(agent)
  process.kill(agent.pid, 'SIGSTOP')
  try {
    await action()
  } finally {
    process.kill(agent.pid, 'SIGCONT')
  }
  await audited(agent)
  await agent.settled()
  await audited(agent)
  const after = await numbersOf(agent)
  return {
    taken: after.taken - before.taken,
    records: after.records - before.records,
    hook: after.hook - before.hook,
    process: after.process - before.process,
  }
}

describe('losses', { skip }, () => {
  it('a ring of 64 KiB that the agent does not read loses hits and counts each of them', async () => {
    const { folder, file } = target()
    await using agent = await TestAgent.start({
      policies: { 'p.yaml': policy('lossy', [fileHook([path('Prefix', folder)])]) },
      config: { ring: { size: '64KiB', watermark: '16KiB' } },
    })
    const numbers = await whileStopped(agent, () => burst(['pread', file, HITS, 1]))
    const events = countLines(`${agent.folder}/events.jsonl`, accessOf(file))
    report('64 KiB ring, agent stopped', { hits: HITS, events, ...numbers })
    assert.ok(events > 0 && numbers.hook > 0, 'the test must lose some and not all')
    assert.equal(events + numbers.hook, HITS)
    // The kernel's own numbers, not by the agent: each number belongs to a record that arrived or one that was refused.
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
    assert.deepEqual(await agent.stop(), { code: 0, signal: null })
  })

  it('after a clean stop the loss records of both files contain every event that a rate limit dropped', async () => {
    const { folder, file } = target()
    const narrow = `${freshFolder('narrow')}/events.jsonl`
    await using agent = await TestAgent.start({
      policies: { 'p.yaml': policy('limited', [fileHook([path('Prefix', folder)])]) },
      exporters: {
        narrow: {
          type: 'file',
          path: narrow,
          filter: { policies: ['limited'], event_types: ['process_kprobe'] },
          rate_limit: { events: 10, per: '1s', burst: 500 },
        },
      },
    })
    await burst(['pread', file, LIMITED_HITS, 1])
    await agent.settled()
    const kernel = await lostOf(agent)
    assert.deepEqual(await agent.stop(), { code: 0, signal: null })
    const all = countLines(`${agent.folder}/events.jsonl`, accessOf(file))
    const passed = countLines(narrow, accessOf(file))
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what the file exporter writes
    const lines = new LineFile(narrow).read().map((line) => JSON.parse(line) as Line)
    report('rate limit', { hits: LIMITED_HITS, all, passed, kernel, reported: lostIn(lines) })
    assert.ok(passed >= 500 && passed < all / 2)
    assert.equal(lostIn(lines), all - passed + kernel, 'in the file with the rate limit')
    assert.equal(lostIn(agent.lines()), all - passed + kernel, 'in the file without')
  })

  it('lost exec and exit records are counted, and processes that still run are read from /proc', async () => {
    const { folder, file } = target()
    await using agent = await TestAgent.start({
      policies: { 'p.yaml': policy('lossy', [fileHook([path('Prefix', folder)])]) },
      config: { ring: { size: '64KiB', watermark: '16KiB' } },
    })
    // Starts while everything is lost, and reads (sh reads one byte a call, so twice) once the agent runs again.
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
      agent.log().some(({ msg }) => msg?.startsWith('the process table was compared') === true),
    )
    writeFileSync(gate, '\n')
    await ended
    await agent.settled()
    const ofBurst = (kind: 'process_exec' | 'process_exit'): number =>
      agent.lines().filter((line) => line[kind] !== undefined && processOf(line).arguments?.startsWith('end ') === true)
        .length
    const execs = ofBurst('process_exec')
    const exits = ofBurst('process_exit')
    const gone = 2 * SPAWNS - execs - exits
    report('64 KiB ring, processes', { spawned: SPAWNS, execs, exits, ...numbers })
    assert.ok(numbers.process > SPAWNS, 'the test must lose most of them')
    assert.ok(gone <= numbers.process, `${gone} of exec and exit are missing, ${numbers.process} counted`)
    assert.ok(numbers.process <= gone + SPAWNS + 50, 'no more are counted than can be missing')
    assert.equal(uncounted(numbers), 0)
    await balanced(agent)

    const reads = agent.lines().filter((line) => line.process_kprobe !== undefined)
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

  it('a call that never returns is an event once its thread is gone, and its slot is freed', async () => {
    const CALLS = 400
    const never = {
      call: 'sys_exit_group',
      syscall: true,
      return: true,
      args: [{ index: 0, type: 'int' }],
      returnArg: { index: 0, type: 'int' },
      selectors: [{ matchArgs: [{ index: 0, operator: 'Equal', values: ['77'] }] }],
    }
    await using agent = await TestAgent.start({
      policies: { 'p.yaml': policy('never', [never]) },
      config: { attach: { mode: 'join' } },
    })
    // On one CPU a new process soon gets the stack of one before, some of them at the same depth. For so long that the guard looks more than once.
    const script = `for i in $(seq ${CALLS / 20}); do for j in $(seq 20); do (exit 77); done; sleep 0.1; done; exit 0`
    execFileSync('taskset', ['-c', '0', 'sh', '-c', script])
    await agent.until(`${CALLS} returns to be given up`, async () => {
      const metrics = await agent.metrics()
      return metrics.sum('ktrail_kernel_fallbacks_total', { kind: 'return_not_seen' }) >= CALLS
    })
    await agent.settled()
    const metrics = await agent.metrics()
    assert.equal(metrics.sum('ktrail_returns_waiting'), 0)
    assert.deepEqual(metrics.losses(), [])
    const returns = agent.lines().flatMap(({ process_kprobe: kprobe }) => (kprobe === undefined ? [] : [kprobe.return]))
    assert.deepEqual(
      returns,
      Array.from({ length: CALLS }, () => ({ error_arg: { Message: 'return not seen' } })),
    )
    await audited(agent)
    await balanced(agent)
  })
})
