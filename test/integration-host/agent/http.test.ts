/**
 * Attacks of a local user through the agent's HTTP address: another program has it first, pipelined requests are never read, and connections
 * stay idle. Meanwhile events are recorded, /livez answers and policies are reloaded; afterwards memory returns. The kernel plays records.
 */
import assert from 'node:assert/strict'
import { execFile, execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'
import { livez } from '../../e2e/hostile/support/livez.ts'
import { TestAgent, cannotReplay, hostFolder, ktrail } from '../../e2e/support/agent.ts'
import { KTRAIL } from '../../e2e/support/faults.ts'
import { UID } from '../../e2e/support/hostile.ts'
import { fileHook, path, policy } from '../../e2e/support/policy.ts'
import { memoryOf } from '../../support/memory.ts'
import { allocated, attacked, readsArrive } from './support/attacked.ts'

const skip = cannotReplay()
if (skip !== false) console.log(`http: skipped: ${skip}`)

/** Listens on a free port, prints it, and never accepts. */
const HOLDER = `use Socket; socket(S, AF_INET, SOCK_STREAM, 0) and bind(S, sockaddr_in(0, INADDR_LOOPBACK)) and listen(S, 1) or die $!;
  $| = 1; print +(sockaddr_in(getsockname S))[0], "\\n"; sleep 600`

describe('http', { skip }, () => {
  const folder = hostFolder('http')
  const watched = '/watched/f'
  const policies = { 'http.yaml': policy('http', [fileHook([path('Equal', watched)])]) }

  let agent: TestAgent
  let holder: ChildProcess
  let held: string
  let restBytes: number

  before(async () => {
    const user = spawn('perl', ['-e', HOLDER], { uid: UID, gid: UID, stdio: ['ignore', 'pipe', 'inherit'] })
    holder = user
    const [port] = await once(user.stdout, 'data')
    held = `127.0.0.1:${String(port).trim()}`
    agent = await TestAgent.start({ replayed: true, policies, openFiles: 512, config: { server: { http: held } } })
    restBytes = await allocated(agent, watched)
  })
  after(async () => {
    holder?.kill()
    await agent?.[Symbol.asyncDispose]()
  })

  /** Opens connections while `work` runs. */
  const flooded = async (t: TestContext, words: readonly string[], work: () => Promise<void>): Promise<void> => {
    await attacked(agent, t, { program: 'http', words: [agent.port, ...words], startsAsRoot: true, restBytes }, work)
    await readsArrive(agent, watched)
  }

  it('a user who takes the port first prevents neither recording nor the agent’s own socket, and gets nothing else', async () => {
    await readsArrive(agent, watched)
    const reason = `cannot listen on ${held}: another program listens on it; set server.http to a free port`
    const run = `/proc/${agent.pid}/root/run/ktrail`
    const own = (page: string): string =>
      execFileSync('curl', ['-sS', '--unix-socket', `${run}/http.sock`, `http://localhost${page}`], {
        encoding: 'utf8',
      })
    assert.equal(own('/readyz'), `ready: 1 policy, 1 hook\n${reason}\n`)
    assert.match(own('/metrics'), /^ktrail_server_listening\{server="http"\} 0$/m)
    const status = await promisify(execFile)('nsenter', ['-t', String(agent.pid), '-m', KTRAIL, 'status'])
    assert.ok(status.stdout.includes(reason), status.stdout)
    assert.equal(agent.log().filter(({ msg }) => msg?.startsWith(reason)).length, 1)
    holder.kill()
    await agent.pagesAt(held)
    assert.equal((await agent.metrics()).sum('ktrail_server_listening'), 3)
  })

  it('six connections with 1,500 requests each that are never read delay neither events nor /livez', async (t) => {
    await flooded(t, ['6', '1500'], async () => {
      for (let i = 0; i < 20; i++) await readsArrive(agent, watched)
    })
  })

  it('2,000 half-open connections cost next to no memory', async (t) => {
    await flooded(t, ['2000', '0'], async () => {
      await livez(agent)
      await readsArrive(agent, watched)
      const more = memoryOf(agent.pid).privateBytes - restBytes
      t.diagnostic(`${(more / 2 ** 20).toFixed(1)} MiB more`)
      assert.ok(more < 32 * 2 ** 20, `${more} bytes more`)
    })
  })

  it('with the minimum of 512 open files, 509 idle connections affect neither /livez, a reload nor events', async (t) => {
    const open = (): number => readdirSync(`/proc/${agent.pid}/fd`).length
    const atRest = open()
    await flooded(t, ['509', '0'], async () => {
      await livez(agent)
      const other = policy('other', [fileHook([path('Equal', '/tmp/nobody-reads-this')])])
      assert.equal(await agent.apply('other', other), 'added')
      await readsArrive(agent, watched)
      await livez(agent)
      t.diagnostic(`${atRest} descriptors at rest, ${open()} in the attack, with one policy more`)
    })
  })

  it('ktrail run: a limit of 32 open files is refused with a message that names the limit', async () => {
    const config = join(folder, 'config.yaml')
    mkdirSync(join(folder, 'policies'))
    writeFileSync(join(folder, 'policies/p.yaml'), policies['http.yaml'])
    const exporters = { archive: { type: 'file', path: join(folder, 'events.jsonl') } }
    const server = { http: '127.0.0.1:0' }
    writeFileSync(config, JSON.stringify({ policies: [join(folder, 'policies')], server, exporters }))
    const ended = await ktrail(['run', '--config', config], { openFiles: 32, ms: 120_000 })
    assert.equal(ended.code, 1)
    assert.match(ended.stderr, /limit on open files .*\b32\b.*ulimit -n .*LimitNOFILE=/)
    assert.doesNotMatch(ended.stderr, /verifier/)
  })
})
