/** A full ring leaves no stale processes: space is reserved for process records, and lost ones are found by reconciliation. */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { describe, it } from 'node:test'
import { TestAgent, cannotRun } from '../support/agent.ts'
import { balanced, burst, report, target } from '../support/faults.ts'
import { Sleepers, lockedMap } from '../support/hostile.ts'
import { fileHook, path, policy } from '../support/policy.ts'
import { processOf } from '../support/record.ts'
import { LONG } from '../../support/long.ts'

const skip = cannotRun()
/** Numbers of the second test, where the reserve takes 250 records of processes. Each spawn has two. */
const [SLEEPERS, SPAWNS, HITS] = LONG ? ([1_000, 600, 10_000] as const) : ([600, 300, 3_000] as const)
/** Numbers of the first test, which fill its ring. */
const [FEW_SLEEPERS, RING] = LONG ? ([SLEEPERS, '1MiB'] as const) : ([300, '256KiB'] as const)
/** The guest is emulated. */
const STOP_MS = 20_000
const LOST = 'ktrail_kernel_lost_events_total'

/** Processes in /proc, and the kernel itself. */
const real = (): number => readdirSync('/proc').filter((name) => /^\d+$/.test(name)).length + 1
const known = async (agent: TestAgent): Promise<number> => (await agent.metrics()).sum('ktrail_processes')
const lost = async (agent: TestAgent, reason: string): Promise<number> => (await agent.metrics()).sum(LOST, { reason })

/** Stops the agent as if it got no processor time while `action` runs. */
async function whileStarved(agent: TestAgent, action: () => Promise<unknown>): Promise<void> {
  process.kill(agent.pid, 'SIGSTOP')
  try {
    await action()
  } finally {
    process.kill(agent.pid, 'SIGCONT')
  }
}

function start(ring: string, folder: string): Promise<TestAgent> {
  return TestAgent.start({
    policies: { 'p.yaml': policy('watched', [fileHook([path('Prefix', folder)])]) },
    config: { ring: { size: ring } },
  })
}

/** Waits until the table matches the real processes; a few come and go by themselves. */
async function agrees(agent: TestAgent): Promise<{ ms: number; processes: number }> {
  const from = performance.now()
  const processes = await agent.until('a table that matches the real processes', async () => {
    const found = await known(agent)
    return Math.abs(found - real()) < 40 ? found : undefined
  })
  return { ms: performance.now() - from, processes }
}

describe('processes that start and end while the ring is full', { skip }, () => {
  it('a flood of hits costs no record of a process', async () => {
    const { folder, file } = target()
    await using agent = await start(RING, folder)
    await using sleepers = await Sleepers.start(FEW_SLEEPERS)
    await agent.settled()
    await whileStarved(agent, async () => {
      await burst(['pread', file, HITS, 1])
      await sleepers.killHalf()
    })
    await agent.settled()
    const [hits, processes] = [await lost(agent, 'ring_full_hook'), await lost(agent, 'ring_full_process')]
    const exits = agent.lines().filter((line) => line.process_exit?.signal === 'SIGKILL')
    report('a flood while half of the sleepers are killed', {
      'hits lost': hits,
      'process records lost': processes,
      exits: exits.length,
    })
    assert.ok(hits > 0, 'the flood must fill the ring')
    assert.equal(processes, 0)
    assert.equal(exits.length, FEW_SLEEPERS / 2)
    await balanced(agent)
  })

  it('processes whose records are lost are removed from the table, or added to it, within seconds', async () => {
    const { folder, file } = target()
    await using agent = await start('64KiB', folder)
    await using sleepers = await Sleepers.start(SLEEPERS)
    await agrees(agent)
    const records = await lost(agent, 'ring_full_process')
    let late: Sleepers | undefined
    const locked: number[] = []
    const kill = (pid: number): boolean => process.kill(-pid, 'SIGKILL')
    await whileStarved(agent, async () => {
      await burst(['pread', file, HITS, 1])
      await sleepers.killHalf()
      await sleepers.killHalf()
      late = await Sleepers.start(SLEEPERS / 2, '-', 'late')
    })
    assert.ok(late)
    try {
      const { ms, processes } = await agrees(agent)
      report('the same beyond the reserve', {
        'process records lost': (await lost(agent, 'ring_full_process')) - records,
        'in the table': processes,
        real: real(),
        'seconds until they agree': ms / 1000,
      })
      assert.ok((await lost(agent, 'ring_full_process')) - records > SLEEPERS / 2, 'the test must lose most of them')
      // The processes have the name in /proc, and the start time that the kernel records.
      const lines = await agent.during(() => late?.killHalf())
      const ends = lines.filter((line) => line.process_exit?.signal === 'SIGKILL').map(processOf)
      assert.equal(ends.length, SLEEPERS / 4)
      for (const { flags, arguments: words } of ends) {
        assert.match(flags ?? '', /^(?:procFS|execve)/)
        assert.match(words ?? '', /- late$/)
      }
      await balanced(agent)
      await whileStarved(agent, async () => {
        await burst(['pread', file, HITS, 1])
        await burst(['spawn', SPAWNS])
        for (const { pid } of [await lockedMap(), await lockedMap()]) locked.push(pid)
      })
      // Their exec is lost. Reads of their arguments hang for as long as they live.
      await agent.until('two processes without arguments', async () => {
        const metrics = await agent.metrics()
        return metrics.sum('ktrail_process_files_unread_total', { kind: 'cmdline' }) >= locked.length
      })
      await agrees(agent)
      const one = locked.shift() ?? 0
      const [end] = (await agent.during(() => kill(one))).filter((line) => processOf(line).pid === one)
      assert.match(processOf(end ?? assert.fail('no exit of it')).flags ?? '', /procFS.*errorArgs/)
      await late[Symbol.asyncDispose]()
      await agrees(agent)
      const began = performance.now()
      assert.deepEqual(await agent.stop(), { code: 0, signal: null })
      const tookMs = performance.now() - began
      assert.ok(tookMs < STOP_MS, `the stop beside a locked process took ${tookMs} ms`)
    } finally {
      for (const pid of locked) kill(pid)
      await late[Symbol.asyncDispose]()
    }
  })
})
