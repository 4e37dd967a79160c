/**
 * Full preemption: a program is preempted in the middle of its walk up a deep path. Another thread on the same CPU then moves a folder of that path
 * and renames the top folder, which the walk has not reached yet. All names of the file are watched: each read is an event.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { describe } from 'node:test'
import { freshFolder } from '../e2e/support/agent.ts'
import { Calls, line } from '../support/policies/calls.ts'
import { LoadedKernel, reported } from '../support/policies/loading.ts'
import { READS_A_ROUND, RING_BYTES, cannotPreempt, fileAccess, opening } from './support.ts'

const skip = cannotPreempt()
if (skip !== false) console.log(`walk: skipped: ${skip}`)

const READS = 60_000
/** Folders above the one that is moved. */
const DEPTH = 40

describe('walk', { skip }, () => {
  test('walk: a read is reported also when its path changes while the program is preempted', async (t) => {
    const top = freshFolder('walk')
    const deep = join(top, 'first', ...Array.from({ length: DEPTH }, () => 'd'))
    const second = join(top, 'second')
    mkdirSync(join(deep, 'moved'), { recursive: true })
    mkdirSync(second)
    writeFileSync(join(deep, 'moved/f'), 'x')
    const text = (path: string): { readonly text: string } => ({ text: path })
    const leaves = line(
      'leaves',
      text(join(deep, 'moved')),
      text(join(second, 'moved')),
      text(join(top, 'first')),
      text(join(top, 'neither')),
    )
    const rounds = Array.from({ length: READS / READS_A_ROUND }, () => [line('preads', READS_A_ROUND), line('rounds')])
    const names = [join(deep, 'moved/f'), join(second, 'moved/f')]

    // Kprobes are not preempted.
    using kernel = await LoadedKernel.open('fexit', RING_BYTES)
    using calls = await Calls.start([opening(names[0] ?? '')], [[leaves], ...rounds])
    execFileSync('taskset', ['-p', '-c', '0', String(calls.pid)])
    await using _ = await kernel.load([
      { name: 'walk', hooks: [fileAccess('Prefix', `${top}/first/`, `${top}/second/`)] },
    ])
    await calls.go(1)
    let [events, marked, moves] = [0, 0, 0n]
    const wrong = new Set<string>()
    for (let round = 0; round < rounds.length; round++) {
      const [read, moved = -1n] = await calls.go(2)
      assert.equal(read, BigInt(READS_A_ROUND))
      assert.ok(moved >= 0n, 'the thread failed')
      moves = moved
      kernel.read([calls.pid], (event, selector) => {
        const [file = ''] = reported(event, selector).args
        // A write to the standard output of the process has no path.
        if (file === 'file_arg ') return
        events++
        if (file.endsWith(' [unstable]')) marked++
        else if (!names.some((name) => file === `file_arg ${name}`)) wrong.add(file)
      })
    }
    t.diagnostic(`${READS} reads, ${moves} moves, ${marked} marked, ${JSON.stringify(kernel.counters())}`)
    // Other processes read on this CPU, too: the kernel skips the hook there while it preempts the program. A skipped read of the program lacks its event.
    const { security_file_permission: _skipped, ...lost } = kernel.losses()
    assert.deepEqual(lost, {})
    assert.deepEqual([...wrong], [])
    assert.equal(events, READS)
    assert.ok((kernel.counters()['path_raced'] ?? 0) > 0, 'no walk met a move: the test shows nothing')
  })
})
