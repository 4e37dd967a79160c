/**
 * An agent in a small memory cgroup: a burst of reads is recorded, and no process of it is killed. The cgroup also counts the agent's kernel memory
 * and the cached files that it reads; the kernel can take back the cache.
 */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { TestAgent, cannotRun } from '../support/agent.ts'
import { accessOf, audited, balanced, burst, countLines, report, target } from '../support/faults.ts'
import { fileHook, path, policy } from '../support/policy.ts'
import { until } from '../support/wait.ts'
import { notToday } from '../../support/long.ts'
import { livez } from './support/livez.ts'

const skip = cannotRun()
const TOP = '/sys/fs/cgroup'
const READS = 20_000

const LIMITS_MIB = [128, 200]

for (const [row, limitMiB] of LIMITS_MIB.entries()) {
  const without = skip || notToday(row, LIMITS_MIB.length)
  test(`cramped: with ${limitMiB} MiB of memory it records a burst and is not killed`, { skip: without }, async () => {
    writeFileSync(join(TOP, 'cgroup.subtree_control'), '+memory')
    const cgroup = join(TOP, `cramped-${limitMiB}`)
    const value = (name: string): string => readFileSync(join(cgroup, name), 'utf8')
    mkdirSync(cgroup)
    writeFileSync(join(cgroup, 'memory.max'), String(limitMiB << 20))
    const { folder, file } = target()
    {
      await using agent = await TestAgent.start({
        cgroup,
        policies: { 'p.yaml': policy('cramped', [fileHook([path('Prefix', folder)])]) },
      })
      await burst(['pread', file, READS, 1])
      const longestMs = await livez(agent)
      await agent.until('all reads', () => countLines(`${agent.folder}/events.jsonl`, accessOf(file)) >= READS)
      assert.equal(countLines(`${agent.folder}/events.jsonl`, accessOf(file)), READS)
      await audited(agent)
      await balanced(agent)
      assert.match(value('memory.events'), /^oom_kill 0$/m)
      report(`memory.max ${limitMiB} MiB`, {
        'MiB now': Number(value('memory.current')) >> 20,
        'MiB at most': Number(value('memory.peak')) >> 20,
        'answer of /livez, ms': longestMs,
      })
    }
    await until('the cgroup to be empty', () => value('cgroup.procs') === '')
    rmdirSync(cgroup)
  })
}
