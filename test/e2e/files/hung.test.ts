/**
 * Policies on mounts that do not answer: two FUSE file systems whose servers never answer, and a process whose arguments cannot be read. The
 * agent starts, all other paths are watched, and it stops in time.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { linkSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { TestAgent, cannotRun, freshFolder } from '../support/agent.ts'
import { lockedMap } from '../support/hostile.ts'
import { kernelAtLeast } from '../support/kernel.ts'
import { policy } from '../support/policy.ts'
import { makeProgram } from '../../support/programs.ts'

const skip = cannotRun() || (!kernelAtLeast(5, 17) && 'SameFile and UnderDir need 5.17')
/** Time for a stop without events to drain, and six seconds until a path is resolved again, in an emulated guest. */
const STOP_MS = 20_000
const ANEW_MS = 60_000

const watching = (name: string, ...values: string[]): string =>
  policy(name, [
    {
      call: 'security_file_open',
      syscall: false,
      args: [{ index: 0, type: 'file' }],
      selectors: [{ matchArgs: [{ index: 0, operator: 'UnderDir', values }] }],
    },
  ]).replace('cilium.io/', 'ktrail.dev/')

test('two silent mounts and a locked memory map keep no other path from being watched', { skip }, async () => {
  const folder = freshFolder('hung')
  const program = join(folder, 'silent-mount')
  makeProgram('hostile/silent-mount', program)
  const [one, two, good, outside] = ['one', 'two', 'good', 'outside'].map((name) => join(folder, name))
  if (!one || !two || !good || !outside) assert.fail('no folders')
  for (const made of [one, two, good, outside]) mkdirSync(made)
  writeFileSync(join(good, 'file'), 'x')
  linkSync(join(good, 'file'), join(outside, 'link'))
  const servers: ChildProcess[] = []
  const locked = await lockedMap()
  try {
    for (const at of [one, two]) {
      const server = spawn(program, [at], { stdio: ['ignore', 'pipe', 'inherit'] })
      servers.push(server)
      await once(server.stdout ?? assert.fail('no output'), 'data')
    }
    await using agent = await TestAgent.start({
      policies: {
        // The first names sort before the others, so their file systems are resolved first.
        'a-hung.yaml': watching('hung', one, join(one, 'a'), join(one, 'b/c'), join(two, 'a'), two),
        'good.yaml': watching('good', good, join(folder, 'much/later')),
      },
    })
    const running = agent
      .lines()
      .map(({ process_exec: event }) => event?.process)
      .find((each) => each?.pid === locked.pid && each.flags?.includes('procFS'))
    assert.match(running?.flags ?? 'no event of it', /errorArgs/)
    assert.equal(running?.arguments, undefined)
    assert.ok((await agent.metrics()).sum('ktrail_process_files_unread_total', { kind: 'cmdline' }) >= 1)
    const flagsOf = async (path: string): Promise<string | undefined> => {
      const lines = await agent.during(() => void execFileSync('cat', [path]))
      const found = lines.find(
        ({ process_kprobe: event }) => event?.policy_name === 'good' && event.process?.binary?.endsWith('/cat'),
      )
      return found === undefined ? undefined : (found.process_kprobe?.args?.[0]?.file_arg?.flags ?? 'none')
    }
    assert.equal(await flagsOf(join(good, 'file')), 'none')
    await agent.until(
      'the look for hard links to end',
      async () => (await flagsOf(join(outside, 'link'))) === 'none',
      ANEW_MS,
    )
    mkdirSync(join(folder, 'much/later'), { recursive: true })
    writeFileSync(join(folder, 'much/later/file'), 'x')
    const later = (): Promise<boolean> => flagsOf(join(folder, 'much/later/file')).then((flags) => flags === 'none')
    await agent.until('a folder that appears to be watched', later, ANEW_MS)
    const silent = agent.log().flatMap(({ msg = '', mount }) => (msg.includes('does not answer:') ? [mount] : []))
    assert.deepEqual(silent.toSorted(), [one, two])
    const began = performance.now()
    assert.deepEqual(await agent.stop(), { code: 0, signal: null })
    const tookMs = performance.now() - began
    assert.ok(tookMs < STOP_MS, `the stop took ${tookMs} ms`)
  } finally {
    process.kill(-locked.pid, 'SIGKILL')
    for (const server of servers) {
      const ended = once(server, 'exit')
      server.kill('SIGKILL')
      await ended
    }
    for (const at of [one, two]) execFileSync('umount', ['-l', at])
  }
})
