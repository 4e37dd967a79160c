/**
 * Joined returns: a record shows the call as it was made, whatever changes until it returns, and a call whose return is not seen is an event
 * all the same.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { TestAgent, cannotRun, freshFolder } from '../support/agent.ts'
import { balanced } from '../support/faults.ts'
import { path, policy } from '../support/policy.ts'
import { summary } from '../support/summary.ts'

const skip = cannotRun()
if (skip !== false) console.log(`returns: skipped: ${skip}`)

const folder = freshFolder('returns')
const binary = join(folder, 'waiting')
const inFolder = (name: string): string => join(folder, name)

const OPENS = {
  call: 'sys_openat',
  syscall: true,
  return: true,
  args: [{ index: 1, type: 'string' }],
  returnArg: { index: 0, type: 'int' },
  selectors: [{ matchArgs: [{ index: 1, operator: 'Postfix', values: ['fifo', 'fifo-text'] }] }],
}
const READS = {
  call: 'vfs_read',
  syscall: false,
  return: true,
  args: [{ index: 0, type: 'file' }],
  returnArg: { index: 0, type: 'long' },
  selectors: [{ matchArgs: [path('Postfix', 'fifo', 'fifo-other')] }],
}
const twoPolicies = { 'p.yaml': policy('one', [OPENS, READS]), 'q.yaml': policy('two', [READS]) }
const PREFIX = process.arch === 'arm64' ? '__arm64_' : '__x64_'

describe('joined returns', { skip }, () => {
  test('returns: the waiting program compiles', () => {
    const source = fileURLToPath(new URL('../../fixtures/e2e/waiting.c', import.meta.url))
    execFileSync('gcc', ['-O2', '-Wall', '-Werror', '-pthread', '-o', binary, source])
    execFileSync('mkfifo', [inFolder('fifo')])
    // A file whose name stands in it.
    writeFileSync(inFolder('fifo-text'), `${inFolder('fifo-text')}\0`)
  })

  for (const mode of ['join', 'kprobe.session'] as const) {
    test(`returns: ${mode}: texts and paths are those of the entry, calls in progress are events at the stop`, async () => {
      const fifo = inFolder('fifo')
      await using agent = await TestAgent.start({ policies: twoPolicies, config: { attach: { mode } } })
      const told = async (...args: string[]): Promise<string[]> => {
        const lines = await agent.during(() => execFileSync(binary, args))
        return lines.flatMap((line) => (line.process_kprobe === undefined ? [] : [summary(line)]))
      }
      const opened = `${binary} ${PREFIX}sys_openat("${fifo}")`
      const opens = await told('open', fifo)
      assert.deepEqual(opens.map((line) => line.replace(/ = [0-9]+$/, '')).toSorted(), [opened, opened])
      const read = `${binary} vfs_read(${fifo} prw-r--r--) = 1`
      const reads = await told('read', fifo, inFolder('fifo-other'))
      assert.deepEqual(
        reads.filter((line) => line.includes('vfs_read')),
        [read, read],
      )
      execFileSync('mv', [inFolder('fifo-other'), fifo])
      // Nothing could be read at the entry: the return decides.
      const absent = await told('absent', inFolder('fifo-text'))
      const byName = `${binary} ${PREFIX}sys_openat("${inFolder('fifo-text')}") = `
      assert.equal(absent.filter((line) => line.startsWith(byName)).length, 2, absent.join('\n'))
      const metrics = await agent.metrics()
      assert.deepEqual(metrics.losses(), [])
      assert.equal(metrics.sum('ktrail_kernel_fallbacks_total', { kind: 'return_not_seen' }), 0)

      // Calls in progress are events when the agent stops, each once.
      await agent.settled()
      const reader = spawn(binary, ['forever', fifo], { stdio: ['ignore', 'pipe', 'inherit'] })
      await once(reader.stdout, 'data')
      await agent.until('a call to wait', async () => (await agent.metrics()).sum('ktrail_returns_waiting') === 1)
      await balanced(agent)
      assert.deepEqual(await agent.stop(), { code: 0, signal: null })
      reader.kill()
      await once(reader, 'exit')
      const cut = `${binary} vfs_read(${fifo} prw-r--r--) = error: return not seen`
      assert.equal(agent.lines().filter((line) => line.process_kprobe !== undefined && summary(line) === cut).length, 2)
    })
  }
})
