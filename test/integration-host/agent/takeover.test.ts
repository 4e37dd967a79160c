/**
 * Takeovers that fail: the real agent and one that takes over, each its own process, on played kernels of one host. Each access is in the one file of
 * events, and the audit finds no time in which nothing was watched. test/unit/collector/takeover.test.ts has the stages in one process.
 * KTRAIL_LONG=1 repeats each row 20 times.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { crc32 } from 'node:zlib'
import { Audit, auditSource } from '../../../exporters/index.ts'
import type { AuditedStream } from '../../../exporters/index.ts'
import { cannotReplay, TestAgent } from '../../e2e/support/agent.ts'
import type { AgentOptions } from '../../e2e/support/agent.ts'
import { until } from '../../e2e/support/wait.ts'
import { SmallDisk } from '../../support/delivery/small-disk.ts'
import { policyOf } from '../../support/kernel/functions.ts'
import { LONG } from '../../support/long.ts'

const TIMES = LONG ? 20 : 1
const skip = cannotReplay()
const ARCHIVE = { envelope: true, batch: { max_wait: '10ms' } }
const ASKED = 'another agent takes over'
const TIMES_OF_HOST = { KTRAIL_BOOT_TIME: '1' }
const WENT_BACK = 'the other agent did not take over, and this one goes on'

/** Agents of one host, and the accesses that their kernels see. */
class Host implements AsyncDisposable {
  readonly earlier: TestAgent
  /** By agent, when its kernel has seen the last access. */
  readonly #agents = new Map<TestAgent, Promise<unknown>>()
  readonly #paths: string[] = []
  readonly #stop = new AbortController()
  readonly #playing: Promise<void>

  private constructor(earlier: TestAgent) {
    this.earlier = earlier
    this.#add(earlier)
    this.#playing = this.#play()
  }

  static async start(env: Readonly<Record<string, string>> = {}): Promise<Host> {
    const policies = { 'p.yaml': policyOf('watched') }
    return new Host(
      await TestAgent.start({ replayed: true, policies, archive: ARCHIVE, env: { ...TIMES_OF_HOST, ...env } }),
    )
  }

  get events(): string {
    return join(this.earlier.folder, 'events.jsonl')
  }

  /** An agent that takes over from the one that runs. Rejects with its log if it ends. */
  async next({ archive, ...options }: AgentOptions = {}): Promise<TestAgent> {
    const { earlier, events } = this
    const state = { state_dir: join(earlier.folder, 'state') }
    return TestAgent.start({
      replayed: true,
      takesOver: earlier,
      policies: { 'p.yaml': policyOf('watched') },
      archive: { ...ARCHIVE, path: events, ...archive },
      env: TIMES_OF_HOST,
      onStarted: (agent) => this.#add(agent),
      ...options,
      config: { ...state, ...options.config },
    })
  }

  get living(): number {
    return this.#agents.size
  }

  logged(text: string): number {
    return this.earlier.log().filter(({ msg }) => msg?.includes(text)).length
  }

  /** Starts a successor that stops itself before it opens its exporters. Resolves when it has. */
  async opening(): Promise<{ readonly agent: TestAgent; readonly next: Promise<TestAgent> }> {
    let agent: TestAgent | undefined
    const onStarted = (started: TestAgent): void => this.#add((agent = started))
    const next = this.next({ env: { ...TIMES_OF_HOST, KTRAIL_STOPS: 'opening' }, onStarted })
    next.catch(() => {})
    await until('a stopped successor', () => agent !== undefined && isStopped(agent.pid))
    assert.ok(agent)
    return { agent, next }
  }

  /** Ends the accesses. */
  quiet(): void {
    this.#stop.abort()
  }

  #add(agent: TestAgent): void {
    this.#agents.set(agent, Promise.resolve())
    void agent.ended.then(() => this.#agents.delete(agent))
  }

  /** Accesses a file of its own each millisecond, which all agents of this host see. */
  async #play(): Promise<void> {
    for (let i = 0; !this.#stop.signal.aborted; i++) {
      const path = `/watched/f${i}`
      const seen = [...this.#agents].map(async ([agent, last]) => {
        const run = last.then(() => (this.#agents.has(agent) ? agent.runs(['/bin/cat'], path) : undefined))
        const done = Promise.race([run, agent.ended])
        this.#agents.set(agent, done)
        await done
      })
      if (seen.length > 0) this.#paths.push(path)
      // One may be stopped.
      if (seen.length > 0) await Promise.race(seen)
      await pause(1)
    }
  }

  /** Ends all agents, and returns the accesses that are missing, and what the audit says. */
  async judged(): Promise<{ readonly missing: readonly string[]; readonly stream: AuditedStream }> {
    this.#stop.abort()
    await this.#playing
    await Promise.all(this.#agents.values())
    for (const agent of this.#agents.keys()) await agent.stop()
    const found = new Set<string>()
    const audit = new Audit()
    const source = auditSource(this.events, { env: {}, sinceMs: undefined, nowMs: Date.now() })
    for await (const record of source()) if (record !== undefined && record !== 'unreadable') audit.add(record)
    for (const line of this.earlier.texts())
      for (const [, path] of line.matchAll(/"(\/watched\/f\d+)"/g)) found.add(path ?? '')
    const [stream] = audit.report({ nowMs: Date.now(), partial: false })
    assert.ok(stream)
    assert.ok(this.#paths.length > 50, `${this.#paths.length} accesses`)
    return { missing: this.#paths.filter((path) => !found.has(path)), stream }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    for (const agent of this.#agents.keys()) await agent[Symbol.asyncDispose]()
    await this.earlier[Symbol.asyncDispose]()
  }
}

const isStopped = (pid: number): boolean => / T /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))

/** No access is missing, and no time was without an agent. */
async function assertWhole(host: Host, runs: number): Promise<void> {
  const { missing, stream } = await host.judged()
  assert.deepEqual(missing, [])
  assert.deepEqual([stream.whole, stream.consistent], [true, true], JSON.stringify(stream.runs))
  assert.equal(stream.runs.length, runs)
  for (const { unwatchedMs } of stream.runs.slice(1)) assert.equal(unwatchedMs, 0)
}

/** Exporters that no successor can open; the earlier agent is not asked for its place. */
const UNUSABLE: ReadonlyArray<{
  readonly name: string
  readonly options: (folder: string) => AgentOptions
  readonly error: RegExp
}> = [
  {
    name: 'an output below a regular file',
    options: (folder) => ({ archive: { path: `${folder}/config.yaml/events.jsonl` } }),
    error: /exporters\.archive: cannot write to .*config\.yaml\/events\.jsonl.*ENOTDIR/,
  },
  {
    name: 'an output that is a folder',
    options: (folder) => ({ archive: { path: `${folder}/policies` } }),
    error: /exporters\.archive: cannot write to .*policies.*expected a regular file/,
  },
  {
    name: 'a spool folder below a file',
    options: (folder) => ({ archive: { spool: { dir: `${folder}/config.yaml/spool`, max_size: '16MiB' } } }),
    error: /exporters\.archive: spool: cannot use .*config\.yaml\/spool/,
  },
  {
    name: 'a dead-letter file below a file',
    options: (folder) => ({ archive: { dead_letter: { path: `${folder}/config.yaml/dead.jsonl` } } }),
    error: /exporters\.archive: dead_letter: cannot write to .*config\.yaml/,
  },
]

test(
  'takeover: with exporters that cannot be opened, the earlier agent is not asked, and goes on',
  { skip },
  async (t) => {
    await using host = await Host.start()
    const { folder } = host.earlier
    for (const { name, options, error } of UNUSABLE) {
      await t.test(name, async () => {
        for (let i = 0; i < TIMES; i++) await assert.rejects(host.next(options(folder)), error)
        assert.equal(host.logged(ASKED), 0)
      })
    }
    await assertWhole(host, 1)
  },
)

test(
  'takeover: exporters that fail only when they are opened leave the place to the earlier agent',
  { skip },
  async () => {
    await using host = await Host.start()
    const { folder } = host.earlier
    const dir = join(folder, 'spool')
    mkdirSync(join(dir, 'archive'), { recursive: true })
    // Another release wrote it.
    const header = Buffer.alloc(88)
    header.write('SPL1')
    header.writeUInt32LE(2, 4)
    header.writeUInt32LE(1, 12)
    header.writeUInt32LE(crc32(header.subarray(12)), 8)
    writeFileSync(join(dir, 'archive', '00000001.seg'), Buffer.concat([header, header]))
    for (let i = 0; i < TIMES; i++) {
      const archive = { spool: { dir, max_size: '16MiB' } }
      await assert.rejects(host.next({ archive }), /written by another version of ktrail, in format 2/)
      await until('the way back', () => host.logged(WENT_BACK) === i + 1)
    }
    await assertWhole(host, 1 + TIMES)
  },
)

test('takeover: with a full disk one agent records at every moment', { skip }, async (t) => {
  await using host = await Host.start()
  const small = join(host.earlier.folder, 'small')
  mkdirSync(small)
  execFileSync('nsenter', [
    '-m',
    '-t',
    `${host.earlier.pid}`,
    'mount',
    '-t',
    'tmpfs',
    '-o',
    'size=64k',
    'ktrail',
    small,
  ])
  new SmallDisk(host.earlier.pid, small).fill()
  const archive = { spool: { dir: small, max_size: '16MiB' } }
  const result = await host.next({ archive }).then(
    () => 'took over',
    (error: unknown) => String(error),
  )
  t.diagnostic(result)
  await assertWhole(host, 2)
})

test('takeover: kill -9 of the successor while the earlier agent waits for its word', { skip }, async () => {
  await using host = await Host.start()
  for (let i = 0; i < TIMES; i++) {
    const { agent, next } = await host.opening()
    await agent.kill()
    await assert.rejects(next)
    await until('the way back', () => host.logged(WENT_BACK) === i + 1)
  }
  await assertWhole(host, 1 + TIMES)
})

test('takeover: SIGTERM to the earlier agent while it waits for a successor that dies', { skip }, async () => {
  await using host = await Host.start()
  const { agent } = await host.opening()
  host.quiet()
  const stopped = host.earlier.stop()
  await agent.kill()
  assert.equal((await stopped).code, 0)
  await assertWhole(host, 2)
})

for (const stage of ['opening', 'asked'] as const) {
  const name = stage === 'asked' ? 'when it is asked for its place' : 'while the successor opens its exporters'
  test(`takeover: kill -9 of the earlier agent ${name}`, { skip }, async () => {
    for (let i = 0; i < TIMES; i++) {
      await using host = await Host.start(stage === 'asked' ? { KTRAIL_STOPS: 'asked' } : {})
      if (stage === 'opening') {
        const { agent, next } = await host.opening()
        await host.earlier.kill()
        process.kill(agent.pid, 'SIGCONT')
        await next
        await assertWhole(host, 2)
        continue
      }
      const next = host.next()
      await until('the request', () => isStopped(host.earlier.pid))
      await host.earlier.kill()
      await next
      const { missing, stream } = await host.judged()
      assert.deepEqual(missing, [])
      // As after any kill -9: the end of the run is not known.
      assert.deepEqual(
        stream.runs.map(({ end }) => end),
        ['open', 'stopped'],
      )
    }
  })
}

test('takeover: of two successors at once, one records at the end', { skip }, async () => {
  for (let i = 0; i < TIMES; i++) {
    await using host = await Host.start()
    const both = await Promise.allSettled([host.next(), host.next()])
    // The second one is refused, or takes over from the first.
    const refused = both.flatMap((each) => (each.status === 'rejected' ? [String(each.reason)] : []))
    for (const reason of refused) assert.match(reason, /does not hand over/)
    assert.equal((await host.earlier.ended).code, 0)
    await until('one agent', () => host.living === 1)
    await assertWhole(host, 3 - refused.length)
  }
})

test(
  'takeover: with too few descriptors the successor ends or takes over, and one agent records at every moment',
  { skip },
  async (t) => {
    await using host = await Host.start()
    const results: string[] = []
    for (const openFiles of [24, 32, 40, 48, 56]) {
      const result = await host.next({ openFiles }).then(
        () => 'took over',
        () => 'ended',
      )
      results.push(`${openFiles}: ${result}`)
      if (result === 'took over') break
    }
    t.diagnostic(results.join(', '))
    const { missing, stream } = await host.judged()
    assert.deepEqual(missing, [])
    assert.ok(stream.whole && stream.consistent, JSON.stringify(stream.runs))
    for (const { unwatchedMs } of stream.runs.slice(1)) assert.equal(unwatchedMs, 0)
  },
)

test('takeover: a takeover that succeeds after three that fail', { skip }, async () => {
  await using host = await Host.start()
  const { folder } = host.earlier
  for (const { options, error } of UNUSABLE.slice(0, 3)) await assert.rejects(host.next(options(folder)), error)
  await host.next()
  assert.equal((await host.earlier.ended).code, 0)
  assert.ok(existsSync(host.events))
  await assertWhole(host, 2)
})
