/**
 * The test access of hooks: a healthy agent has no finding and no event of its own, whatever its rights and whatever functions the kernel has
 * inlined. Each hook that the kernel no longer calls is found.
 */
import assert from 'node:assert/strict'
import { readFileSync, realpathSync, writeFileSync } from 'node:fs'
import { release } from 'node:os'
import { after, describe, it } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { accesses } from '../../../collector/guard/accesses.ts'
import { parseRelease } from '../../../collector/kernel/read-facts.ts'
import { TestAgent, cannotRun } from '../support/agent.ts'
import { kernelAtLeast } from '../support/kernel.ts'
import { policy } from '../support/policy.ts'
import { processOf } from '../support/record.ts'
import { SEEN_MS, found, unready } from './support/tampering.ts'

const FILE = fileURLToPath(new URL('../../../config/policies/optional/file-integrity.yaml', import.meta.url))
const KPROBES = '/sys/kernel/debug/kprobes/enabled'
const PARANOID = '/proc/sys/kernel/perf_event_paranoid'
/** Older kernels load programs of agents with CAP_SYS_ADMIN only. */
const LEAST = kernelAtLeast(5, 18)
/** docs/reference/kernels.md */
const NEEDS = 'UnderDir needs 5.17'

const skip = cannotRun()
const integrity = skip || (!kernelAtLeast(5, 17) && NEEDS)
for (const reason of new Set([skip, integrity])) if (reason !== false) console.log(`canary: skipped: ${reason}`)

const ACCESSES = accesses({ version: parseRelease(release()) })
const TRUNCATE = kernelAtLeast(6, 2) ? 'security_file_truncate' : 'security_path_truncate'
/** Functions with a test access, in alphabetical order. */
const HOOKED = [
  'chmod_common',
  'chown_common',
  'fd_install',
  'iterate_dir',
  'may_open',
  'notify_change',
  'security_file_mprotect',
  'security_file_open',
  'security_file_permission',
  TRUNCATE,
  'security_inode_getattr',
  'security_inode_readlink',
  'security_inode_setattr',
  'security_mmap_file',
  'security_path_chmod',
  'security_path_chown',
  'security_path_rename',
  'security_path_rmdir',
  'security_path_unlink',
  'vfs_read',
  'vfs_rename',
  'vfs_rmdir',
  'vfs_unlink',
  'vfs_utimes',
].toSorted()
/** Debian's 5.10 does not call it for rmdir(2), which removes the folder all the same: it has inlined it. */
const INLINED = kernelAtLeast(5, 11) ? [] : ['vfs_rmdir']

/** Every call of this Node process is an event, and the agent is a Node process, too. */
const hook = (call: string): object => ({
  call,
  syscall: false,
  selectors: [{ matchBinaries: [{ operator: 'In', values: [realpathSync(process.execPath)] }] }],
})

async function assertWell(agent: TestAgent): Promise<void> {
  await setTimeout(SEEN_MS)
  assert.deepEqual(await found(agent, 'hook_silent'), [0, 0])
  assert.equal((await agent.get('/readyz')).status, 200)
}

const eventsOf = (agent: TestAgent, pid: number): string[] =>
  agent
    .lines()
    .filter((line) => line.process_kprobe !== undefined && processOf(line).pid === pid)
    .flatMap(({ process_kprobe: record }) => record?.function_name ?? [])

describe('test accesses', { skip }, () => {
  const paranoid = skip === false ? readFileSync(PARANOID, 'utf8') : ''
  after(() => {
    writeFileSync(KPROBES, '1')
    writeFileSync(PARANOID, paranoid)
  })

  it(
    'file-integrity.yaml: no finding at the start, and none when all hooks are tested again',
    { skip: integrity },
    async () => {
      await using agent = await TestAgent.start({
        policies: { 'file-integrity.yaml': readFileSync(FILE, 'utf8').replace('"/etc"', '"/proc"') },
        readyMs: 300_000,
      })
      await assertWell(agent)
      // Something new is attached: all hooks are tested.
      await agent.apply('more', policy('more', [hook('security_inode_readlink')]))
      await assertWell(agent)
      assert.deepEqual(eventsOf(agent, agent.pid), [])
    },
  )

  it(`with ${LEAST ? 'the rights of the unit' : 'all rights'}: each hook that the kernel no longer calls is found`, async () => {
    // Perf events without CAP_SYS_ADMIN.
    writeFileSync(PARANOID, '2')
    const [first = '', second = '', ...others] = HOOKED
    const expected = [first, ...others].filter((name) => !INLINED.includes(name)).toSorted()
    await using agent = await TestAgent.start({
      policies: { 'p.yaml': policy('watching', others.map(hook)) },
      config: { attach: { mode: 'kprobe' } },
      readyMs: 300_000,
      ...(LEAST ? { capabilities: '+bpf,+perfmon,+sys_ptrace,+syslog' } : {}),
    })
    await assertWell(agent)
    await agent.apply('more', policy('more', [hook(first)]))
    await assertWell(agent)
    // Such accesses by another process are events.
    const lines = await agent.during(() => ACCESSES.map(({ make }) => assert.ok(make())))
    const seen = new Set(lines.flatMap(({ process_kprobe: record }) => record?.function_name ?? []))
    assert.deepEqual([...seen].toSorted(), expected)
    assert.deepEqual(eventsOf(agent, agent.pid), [])

    writeFileSync(KPROBES, '0')
    await agent.apply('third', policy('third', [hook(second)]))
    await unready(agent, /^tampering: security_mmap_file \(kprobe\): it did not run, /m)
    const text = await (await agent.get('/readyz')).text()
    const silent = [...text.matchAll(/^tampering: (\w+) \(kprobe\): it did not run, /gm)].map(([, name]) => name)
    // The last function has never been seen to run, as if the kernel had inlined it.
    assert.deepEqual(silent.toSorted(), expected)
  })
})
