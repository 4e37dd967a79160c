/**
 * Full preemption: while a system call reads or changes a map, the kernel runs no kprobe on that CPU, also for tasks that preempt the caller. A process
 * as busy with maps as ktrail in a bad moment shares a CPU with one that reads a file. Each read is an event.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { describe } from 'node:test'
import { fileURLToPath } from 'node:url'
import { freshFolder } from '../e2e/support/agent.ts'
import { Calls, line } from '../support/policies/calls.ts'
import { LoadedKernel, reported } from '../support/policies/loading.ts'
import { READS_A_ROUND, RING_BYTES, cannotPreempt, fileAccess, opening } from './support.ts'

const skip = cannotPreempt()
if (skip !== false) console.log(`maps: skipped: ${skip}`)

const BUSY = fileURLToPath(new URL('busy-maps.ts', import.meta.url))

describe('maps', { skip }, () => {
  test('maps: who is preempted in an access to a map costs no event', async (t) => {
    const file = join(freshFolder('maps'), 'f')
    writeFileSync(file, 'x')
    using kernel = await LoadedKernel.open('auto', RING_BYTES)
    using calls = await Calls.start([opening(file)], [[line('preads', READS_A_ROUND)]])
    execFileSync('taskset', ['-p', '-c', '0', String(calls.pid)])
    const busy = spawn('taskset', ['-c', '0', process.execPath, BUSY], { stdio: ['pipe', 'pipe', 'inherit'] })
    try {
      await once(busy.stdout, 'data')
      await using _ = await kernel.load([{ name: 'maps', hooks: [fileAccess('Equal', file)] }])
      assert.deepEqual(await calls.go(1), [BigInt(READS_A_ROUND)])
      let events = 0
      kernel.read([calls.pid], (event, selector) => {
        if (reported(event, selector).args[0] === `file_arg ${file}`) events++
      })
      t.diagnostic(`${READS_A_ROUND} reads, ${events} events`)
      assert.deepEqual(kernel.losses(), {})
      assert.equal(events, READS_A_ROUND)
      const output = busy.stdout.toArray()
      busy.stdin.end()
      const accesses = Number(String(Buffer.concat(await output)))
      t.diagnostic(`${accesses} accesses to maps meanwhile`)
      assert.ok(accesses > 1000, 'the test must be busy with maps, else it shows nothing')
    } finally {
      busy.kill()
    }
  })
})
