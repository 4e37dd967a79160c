/**
 * Unreadable entries in a policy folder, and a folder of an attacker: the other policies are reloaded, and SIGTERM ends the agent in time. The kernel plays
 * records.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { cannotReplay, hostFolder, TestAgent } from '../../e2e/support/agent.ts'
import { UID } from '../../e2e/support/hostile.ts'
import { fileHook, path, policy } from '../../e2e/support/policy.ts'
import { makeProgram } from '../../support/programs.ts'
import { allocated, attacked, readsArrive } from './support/attacked.ts'

const skip = cannotReplay()
/** A stop without events to drain. */
const STOP_MS = 10_000

const prefix = (folder: string): string => policy('good', [fileHook([path('Prefix', folder)])])

/** The good policy is replaced and the agent stops, as if its folder held nothing else. */
async function goesOn(agent: TestAgent): Promise<void> {
  assert.equal(await agent.apply('good', prefix('/tmp/second/')), 'replaced')
  assert.equal(await agent.apply('more', policy('more', [fileHook([path('Prefix', '/tmp/third/')])])), 'added')
  assert.equal((await agent.get('/readyz')).status, 200)
  const began = performance.now()
  assert.deepEqual(await agent.stop(), { code: 0, signal: null })
  const tookMs = performance.now() - began
  assert.ok(tookMs < STOP_MS, `the stop took ${tookMs} ms`)
}

const refused = (agent: TestAgent, file: string): string | undefined =>
  agent.log().find((line) => line.file === file && line.msg?.startsWith('policy refused'))?.msg

test('policy folder: a FIFO is refused and does not block the other policies', { skip }, async () => {
  await using agent = await TestAgent.start({ replayed: true, policies: { 'good.yaml': prefix('/tmp/first/') } })
  const fifo = join(agent.policies, 'a.yaml')
  execFileSync('mkfifo', [fifo])
  const refusal = await agent.until('the FIFO to be refused', () => refused(agent, fifo))
  assert.match(refusal, /a\.yaml: cannot read the file: it is a FIFO; expected a regular file$/)
  await goesOn(agent)
})

test('policy folder: a file system that does not answer does not block the other policies', { skip }, async (t) => {
  if (!existsSync('/dev/fuse')) return t.skip('this kernel has no FUSE')
  await using agent = await TestAgent.start({ replayed: true, policies: { 'good.yaml': prefix('/tmp/first/') } })
  const folder = hostFolder('silent')
  const program = join(folder, 'silent-mount')
  makeProgram('hostile/silent-mount', program)
  mkdirSync(join(folder, 'mount'))
  // A mount in the agent's own namespace, which ends with the agent.
  const inside = ['-t', String(agent.pid), '-m', program, join(folder, 'mount')]
  const server = spawn('nsenter', inside, { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(server, 'exit')
  try {
    const [first] = await Promise.race([once(server.stdout, 'data'), ended])
    assert.equal(String(first), 'mounted\n')
    const link = join(agent.policies, 'a.yaml')
    symlinkSync(join(folder, 'mount/p.yaml'), link)
    const refusal = await agent.until('the file to be refused', () => refused(agent, link))
    assert.match(refusal, /cannot read the file: its file system does not answer within 5 s/)
    await goesOn(agent)
  } finally {
    server.kill('SIGKILL')
    await ended
  }
})

test(
  'policy folder: an attacker fills its own with thousands of files, and with links, FIFOs and huge files in turn',
  { skip },
  async (t) => {
    const own = hostFolder('attacker')
    chmodSync(own, 0o777)
    const folder = join(own, 'policies')
    mkdirSync(folder)
    chownSync(folder, UID, UID)
    await using agent = await TestAgent.start({
      replayed: true,
      policies: { 'good.yaml': prefix('/tmp/first/') },
      paths: [folder],
    })
    const watched = '/tmp/first/f'
    const restBytes = await allocated(agent, watched)
    /** Reasons for which an entry that stands for one kind of file after another was refused. */
    const reasons = (): ReadonlySet<string | undefined> =>
      new Set(agent.log().flatMap(({ file, msg }) => (file === join(folder, 'a.yaml') ? [msg] : [])))
    await attacked(agent, t, { program: 'policies', words: [folder], restBytes }, async () => {
      await agent.until('the entry to be refused for four reasons', () => reasons().size >= 4)
      await readsArrive(agent, watched)
    })
    await readsArrive(agent, watched)
    // The agent runs as root, and has written nothing there.
    assert.deepEqual([readdirSync(own), readdirSync(folder)], [['policies'], []])
    assert.deepEqual((await agent.metrics()).losses(), [])
    await goesOn(agent)
  },
)
