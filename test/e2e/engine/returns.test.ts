/**
 * Joined returns: a record shows the call as it was made, whatever changes until it returns. A call whose return is not seen is still an
 * event.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { openObject } from '../../../native/index.ts'
import { compileFixture } from '../../integration/native-fixture.ts'
import { TestAgent, cannotRun, freshFolder } from '../support/agent.ts'
import { audited, balanced } from '../support/faults.ts'
import { bpftool, found, mapOf, unready, zeros } from '../guard/support/tampering.ts'
import { kernelAtLeast, preempts } from '../support/kernel.ts'
import { path, policy } from '../support/policy.ts'
import { summary } from '../support/summary.ts'
import { notToday } from '../../support/long.ts'
import { makeProgram } from '../../support/programs.ts'

const skip = cannotRun()
if (skip !== false) console.log(`returns: skipped: ${skip}`)

const HAS_FENTRY = kernelAtLeast(5, 17) && !preempts()
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
const NEVER = {
  call: 'sys_exit_group',
  syscall: true,
  return: true,
  args: [{ index: 0, type: 'int' }],
  returnArg: { index: 0, type: 'int' },
  selectors: [{ matchArgs: [{ index: 0, operator: 'Equal', values: ['21'] }] }],
}
const EXECS = {
  call: 'sys_execve',
  syscall: true,
  return: true,
  args: [{ index: 0, type: 'string' }],
  returnArg: { index: 0, type: 'int' },
  selectors: [{ matchArgs: [{ index: 0, operator: 'Postfix', values: ['executed'] }] }],
}
/** SIGCHLD, which is ignored, and then a kill. */
const KILLS = {
  ...OPENS,
  selectors: [
    {
      matchArgs: [{ index: 1, operator: 'Postfix', values: ['/deadly'] }],
      matchActions: [{ action: 'Signal', argSig: 17 }, { action: 'Sigkill' }],
    },
  ],
}
const twoPolicies = { 'p.yaml': policy('one', [OPENS, READS, EXECS]), 'q.yaml': policy('two', [READS, NEVER]) }
/** Calls that never return. */
const CALLS = 100
/** Time within which a change of the map of waiting calls is reported. */
const SEEN_S = 10
const PREFIX = process.arch === 'arm64' ? '__arm64_' : '__x64_'

/** Events of the waiting program. */
async function told(agent: TestAgent, ...args: string[]): Promise<string[]> {
  const lines = await agent.during(() => execFileSync(binary, args))
  return lines.flatMap((line) => (line.process_kprobe === undefined ? [] : [summary(line)]))
}

/** A text changes and a file is renamed while a call waits: the event shows both as they were at the entry. */
async function asEntered(agent: TestAgent): Promise<void> {
  const fifo = inFolder('fifo')
  const opened = `${binary} ${PREFIX}sys_openat("${fifo}")`
  const opens = await told(agent, 'open', fifo)
  assert.deepEqual(opens.map((line) => line.replace(/ = [0-9]+$/, '')).toSorted(), [opened, opened])
  const reads = await told(agent, 'read', fifo, inFolder('fifo-other'))
  assert.deepEqual(
    reads.filter((line) => line.includes('vfs_read')),
    [readOf(fifo), readOf(fifo)],
  )
  execFileSync('mv', [inFolder('fifo-other'), fifo])
}

/** Removes the calls from the table and from the map of waiting calls, as root can. */
function takeAwayCalls(): void {
  const [pending, joined] = [mapOf('.data.pending'), mapOf('join')]
  const of = ({ id }: { readonly id: number }, key: readonly string[]): string[] => ['id', String(id), 'key', ...key]
  assert.equal(bpftool('map', 'update', ...of(pending, zeros(4)), 'value', ...zeros(pending.bytes_value)), '')
  const joinedCalls: Array<{ readonly key: readonly string[] }> = JSON.parse(
    execFileSync('bpftool', ['-j', 'map', 'dump', 'id', String(joined.id)], { encoding: 'utf8' }),
  )
  for (const { key } of joinedCalls) assert.equal(bpftool('map', 'delete', ...of(joined, key)), '')
}

const readOf = (fifo: string): string => `${binary} vfs_read(${fifo} prw-r--r--) = 1`

describe('joined returns', { skip }, () => {
  test('returns: the waiting program compiles', () => {
    makeProgram('e2e/waiting', binary)
    execFileSync('mkfifo', [inFolder('fifo')])
    symlinkSync('/bin/true', inFolder('executed'))
    // A file whose content is its name.
    writeFileSync(inFolder('fifo-text'), `${inFolder('fifo-text')}\0`)
  })

  for (const [row, mode] of (['fentry', 'join', 'kprobe.session'] as const).entries()) {
    const lacking =
      mode === 'fentry' && !HAS_FENTRY && 'fentry needs Linux 5.17, and a kernel that does not preempt itself'
    test(
      `returns: ${mode}: texts and paths are from the entry, and calls in progress become events at the stop`,
      { skip: lacking || notToday(row, 3) },
      async (t) => {
        const fifo = inFolder('fifo')
        await using agent = await TestAgent.start({ policies: twoPolicies, config: { attach: { mode } } })
        await asEntered(agent)
        // Nothing could be read at the entry: the return decides.
        const absent = await told(agent, 'absent', inFolder('fifo-text'))
        const byName = `${binary} ${PREFIX}sys_openat("${inFolder('fifo-text')}") = `
        assert.equal(absent.filter((line) => line.startsWith(byName)).length, 2, absent.join('\n'))
        const metrics = await agent.metrics()
        assert.deepEqual(metrics.losses(), [])
        assert.equal(metrics.sum('ktrail_kernel_fallbacks_total', { kind: 'return_not_seen' }), 0)

        // The thread that returns has another number than the one that called. Linux before 5.17 has only the map, whose keys contain that number.
        if (kernelAtLeast(5, 17)) {
          const execs = await told(agent, 'exec', inFolder('executed'))
          const wanted = `${binary} ${PREFIX}sys_execve("${inFolder('executed')}") = 0`
          assert.deepEqual(
            execs.filter((line) => line.includes('sys_execve("')),
            [wanted],
          )
        }

        // A call that never returns is an event when its thread is gone.
        const exits = (): string[] =>
          agent
            .lines()
            .flatMap((line) =>
              line.process_kprobe?.function_name?.endsWith('exit_group') === true ? [summary(line)] : [],
            )
        assert.throws(() => execFileSync('sh', ['-c', 'exit 21']))
        await agent.until('the event of an exit', () => exits().length > 0)
        assert.match(exits().join('\n'), /sys_exit_group\(21\) = error: return not seen$/)

        // On one CPU a new process soon gets the stack of one before, some at the same depth. The processes run so long that the guard checks more
        // than once.
        if (mode === 'join') {
          const earlier = exits().length
          const loop = `for i in $(seq ${CALLS / 20}); do for j in $(seq 20); do (exit 21); done; sleep 1; done; exit 0`
          execFileSync('taskset', ['-c', '0', 'sh', '-c', loop])
          await agent.until(`${CALLS} returns to be given up`, async () => {
            const kind = { kind: 'return_not_seen' }
            return (await agent.metrics()).sum('ktrail_kernel_fallbacks_total', kind) >= CALLS + earlier
          })
          await agent.settled()
          const page = await agent.metrics()
          assert.equal(page.sum('ktrail_returns_waiting'), 0)
          assert.deepEqual(page.losses(), [])
          const ends = exits().slice(earlier)
          assert.equal(ends.length, CALLS)
          for (const line of ends) assert.match(line, /sys_exit_group\(21\) = error: return not seen$/)
          await audited(agent)
          await balanced(agent)
        }

        const cut = `${binary} vfs_read(${fifo} prw-r--r--) = error: return not seen`
        const cuts = (lines: ReturnType<TestAgent['lines']>): number =>
          lines.filter((line) => line.process_kprobe !== undefined && summary(line) === cut).length
        const reader = async (): Promise<ChildProcess> => {
          await agent.settled()
          const child = spawn(binary, ['forever', fifo], { stdio: ['ignore', 'pipe', 'inherit'] })
          // If the test fails, the child would take the bytes of other writers.
          t.after(() => child.kill('SIGKILL'))
          await once(child.stdout, 'data')
          await agent.until('a call to wait', async () => (await agent.metrics()).sum('ktrail_returns_waiting') === 1)
          return child
        }
        const end = async (child: ChildProcess): Promise<void> => {
          child.kill()
          await once(child, 'exit')
        }

        // Return probes have far fewer instances than callers, and each thread makes other calls at the same depths.
        if (mode === 'join' || mode === 'fentry') {
          const start = agent.lines().length
          execFileSync(binary, ['many', fifo, '/dev/zero', '128'])
          const events = (): string[] =>
            agent
              .lines()
              .slice(start)
              .flatMap((each) => (each.process_kprobe === undefined ? [] : [summary(each)]))
              .filter((each) => each.includes('vfs_read'))
          await agent.until('an event of each reader', () => events().length >= 256)
          const whole = events().filter((each) => each === readOf(fifo)).length
          console.log(`${mode}: of 128 waiting readers ${whole / 2} returns were seen`)
          // From 6.14 on, each caller has a return instance (kernel/trace/fprobe.c, over fgraph).
          assert.equal(whole === 256, mode === 'fentry' || kernelAtLeast(6, 14))
          assert.deepEqual(events().toSorted(), [...Array(whole).fill(readOf(fifo)), ...Array(256 - whole).fill(cut)])
        }

        // Another tracer of the function makes a new trampoline. Calls in progress leave the old one without their fexit program.
        if (mode === 'fentry') {
          const from = agent.lines().length
          const left = await reader()
          const program = { name: 'other_10', kind: 'fexit', target: 'vfs_read' } as const
          using others = await openObject(compileFixture('hostile/trampoline.bpf.c'), { programs: [program] })
          using attached = new DisposableStack()
          attached.use(await others.attach(program.name))
          await end(left)
          await agent.until('the events', () => cuts(agent.lines().slice(from)) === 2)
        }

        // Root removes the waiting call from the map. Calls of sessions are in no map.
        if (mode === 'join') {
          const from = agent.lines().length
          const tampered = await reader()
          takeAwayCalls()
          const seconds = await unready(
            agent,
            /^tampering: join: missing or changed entries of 1, expected the calls that wait for their return: their return values are unknown$/m,
          )
          assert.ok(
            seconds <= SEEN_S,
            `a call that was taken away was seen after ${seconds.toFixed(1)} s, expected at most ${SEEN_S}`,
          )
          await agent.until('the events', () => cuts(agent.lines().slice(from)) === 2)
          assert.deepEqual(await found(agent, 'join_map_changed'), [1, 1])
          await end(tampered)
        }

        // When the agent stops, each call in progress becomes one event.
        const before = agent.lines().length
        const waiting = await reader()
        await balanced(agent)
        assert.deepEqual(await agent.stop(), { code: 0, signal: null })
        await end(waiting)
        assert.equal(cuts(agent.lines().slice(before)), 2)
      },
    )
  }

  test('returns: before Linux 5.11 only one signal is sent at a return, and that is the kill', async () => {
    const config = { attach: { mode: 'join' } } as const
    await using agent = await TestAgent.start({ policies: { 'kills.yaml': policy('kills', [KILLS]) }, config })
    const lines = await agent.during(() => {
      writeFileSync(inFolder('name'), `${inFolder('deadly')}\0`)
      const { signal } = spawnSync(binary, ['absent', inFolder('name')])
      assert.equal(signal, 'SIGKILL')
    })
    const both = kernelAtLeast(5, 11)
    const actions = lines.flatMap(({ process_kprobe: call }) => call?.action ?? [])
    assert.deepEqual(actions, [both ? 'KPROBE_ACTION_SIGKILL' : 'KPROBE_ACTION_POST'])
    const page = await agent.metrics()
    const done = (action: string): number => page.sum('ktrail_hook_actions_total', { action })
    assert.deepEqual([done('sigkill'), done('signal'), done('not_done')], both ? [1, 1, 0] : [1, 0, 1])
  })
})
