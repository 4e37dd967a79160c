/**
 * API, commands and reload on a real kernel: a policy comes and goes while `ktrail events` reads, and other policies change under load.
 * test/integration-host/agent/ has their details.
 * KTRAIL_POLICY_CHANGES: number of changes.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { readFileSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text as textOf } from 'node:stream/consumers'
import { after, before, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import { FineGuidanceSensors } from '../../collector/proto/tetragon/sensors_pb.js'
import { ApiClient } from '../../collector/api/client.ts'
import { DEFAULT_SERVER } from '../../config/base/addresses.ts'
import { programIds } from '../integration/native-fixture.ts'
import { inlineLines } from '../support/docs/shell-lines.ts'
import { memoryOf } from '../support/memory.ts'
import { typed } from '../unit/collector/cli/support/terminal.ts'
import { TestAgent, cannotRun, freshFolder } from './support/agent.ts'
import { fileHook, path, policy } from './support/policy.ts'
import { kernelBytes } from '../support/measure/bpf-memory.ts'
import { makeProgram } from '../support/programs.ts'

const skip = cannotRun()
if (skip !== false) console.log(`api: skipped: ${skip}`)

const CHANGES = Number(process.env['KTRAIL_POLICY_CHANGES'] || 8)
/** Bytes of the heap that V8 has not collected. */
const SLACK_BYTES = 32 << 20
const LATENCY = 'ktrail_exporter_event_latency_seconds'
const KTRAIL = fileURLToPath(new URL('../../ktrail', import.meta.url))

function readIfThere(name: string): string | undefined {
  try {
    return readFileSync(name, 'utf8')
  } catch {
    return undefined
  }
}

/** Probes of GetInfo that differ from a check of this kernel by another way. */
async function probesThatDiffer(client: ApiClient): Promise<string[]> {
  const { probes } = await client.call(FineGuidanceSensors.method.getInfo, {})
  const symbols = readFileSync('/proc/kallsyms', 'utf8')
  const has = (name: string): boolean => symbols.includes(` ${name}\n`)
  const direct = has('register_ftrace_direct')
  const want = {
    kprobe_multi: has('bpf_kprobe_multi_link_attach') && has('register_fprobe_ips'),
    override_return: has('bpf_override_return'),
    fmodret: direct && has('security_task_prctl'),
    fmodret_syscall: direct && has('within_error_injection_list'),
    signal: has('bpf_send_signal'),
    lsm: /\bbpf\b/.test(readIfThere('/sys/kernel/security/lsm') ?? ''),
    substring_kfunc: true,
  }
  return Object.entries(want).flatMap(([name, enabled]) =>
    probes.some((probe) => probe.Name === name && probe.Enabled === enabled) ? [] : [`${name}: expected ${enabled}`],
  )
}

/** A changed config is in effect, and recorded. */
async function isReloaded(agent: TestAgent): Promise<void> {
  const config = join(agent.folder, 'config.yaml')
  writeFileSync(config, readFileSync(config, 'utf8').replace('"max_wait":"20ms"', '"max_wait":"25ms"'))
  const changes = (): unknown[] => agent.lines().flatMap(({ agent_change: change }) => change ?? [])
  const names = ['exporters.archive.batch.max_wait']
  const record = { what: 'config_changed', by: `file ${config}`, names, count: 1 }
  await agent.until('the record of the reload', () => changes().some((change) => isDeepStrictEqual(change, record)))
}

describe('api', { skip }, () => {
  let agent: TestAgent
  before(async () => {
    const archive = { envelope: true, rotate: { max_size: '16MiB', max_files: 1 } }
    agent = await TestAgent.start({ archive, sigusr1: true })
  })
  after(() => agent?.[Symbol.asyncDispose]())

  it('a policy that a command adds reports accesses to a live reader until another deletes it', async () => {
    assert.deepEqual(agent.ports(), [Number(agent.port)])
    const folder = freshFolder('api')
    const file = join(folder, 'secret')
    writeFileSync(file, 'x')
    using client = new ApiClient(DEFAULT_SERVER)
    const { method } = FineGuidanceSensors
    const yaml = join(freshFolder('api-policy'), 'secret.yaml')
    writeFileSync(yaml, policy('secret', [fileHook([path('Prefix', folder)])]))
    assert.deepEqual(await typed(['policy', 'add', yaml]), { code: 0, stdout: '', stderr: 'policy secret added\n' })

    const reader = spawn(KTRAIL, ['events', '-o', 'compact'], { stdio: ['ignore', 'pipe', 'inherit'] })
    let text = ''
    reader.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
    const reading = async (count: number): Promise<boolean> =>
      (await agent.metrics()).sum('ktrail_api_readers') === count
    try {
      await agent.until('the reader to be connected', () => reading(1))
      const cat = (): void => void execFileSync('cat', [file])
      cat()
      await agent.until('the read to be shown', () => /📚 read {4}\S+ \S*cat \S+secret\n/.test(text))
      const { policies } = await client.call(method.listTracingPolicies, {})
      const [only] = policies.filter(({ domain }) => domain === 'grpc')
      assert.equal(only?.name, 'secret')
      assert.ok((only?.stats?.actionCounters?.post ?? 0n) >= 1n)
      // A page for its program and one for each map at least, and no more than all of the agent's.
      const bytes = Number(only?.kernelMemoryBytes ?? 0n)
      const all = kernelBytes(agent.pid)
      assert.ok(bytes >= 16_384 && bytes < all, `${bytes} of ${all}`)
      assert.deepEqual(await probesThatDiffer(client), [])

      const status = await typed(['status'])
      assert.match(status.stdout, /^ready, up since [^]*^secret +enabled +1 /m)
      const exit = /💥 exit {4}\S+ \S*cat /
      await agent.until('the exit of the first cat to be shown', () => exit.test(text))
      const isShown = async (): Promise<boolean> => {
        text = ''
        cat()
        await agent.until('the exit of the next cat to be shown', () => exit.test(text))
        return text.includes('📚')
      }
      for (const [command, shown] of [
        ['disable', false],
        ['enable', true],
        ['delete', false],
      ] as const) {
        assert.equal((await typed(['policy', command, 'secret'])).stderr, `policy secret ${command}d\n`)
        assert.equal(await isShown(), shown, command)
      }
    } finally {
      reader.kill()
    }
    await agent.until('the reader to be gone', () => reading(0))
    await isReloaded(agent)
    assert.equal((await agent.metrics()).sum('ktrail_api_lost_events_total'), 0)
  })

  const lines = inlineLines().filter(({ run }) => run === 'guest')
  for (const { page, text } of lines) {
    it(`${page}: ${text}`, async () => {
      const { code, stdout, stderr } = await typed(text.split(' ').slice(1))
      assert.equal(code, 0, stdout + stderr)
    })
  }

  it(`${CHANGES} changes of policies under load lose no call and leave nothing behind`, async (t) => {
    const folder = freshFolder('api-changes')
    const file = join(folder, 'f')
    const binary = join(folder, 'preads')
    makeProgram('e2e/preads', binary)
    writeFileSync(file, 'x')
    assert.equal(await agent.apply('stays', policy('stays', [fileHook([path('Equal', file)])])), 'added')
    using client = new ApiClient(DEFAULT_SERVER)
    const { method } = FineGuidanceSensors
    const name = 'changes'
    const other = { call: 'security_path_truncate', syscall: false, args: [{ index: 0, type: 'path' }] }
    const steps = [
      (i: number) =>
        client.call(method.addTracingPolicy, {
          yaml: policy(name, [fileHook([path('Prefix', i % 8 === 0 ? folder : `/none-${i}/`)]), other]),
        }),
      () => client.call(method.disableTracingPolicy, { name }),
      () => client.call(method.enableTracingPolicy, { name }),
      () => client.call(method.deleteTracingPolicy, { name }),
    ]
    const durations: number[] = []
    const change = async (i: number): Promise<void> => {
      const startMs = performance.now()
      await steps[i % steps.length]?.(i)
      durations.push(performance.now() - startMs)
    }
    for (let i = 0; i < steps.length; i++) await change(i)
    const count = async (): Promise<number> =>
      (await agent.metrics()).sum('ktrail_events_read_total', { type: 'process_kprobe', policy: 'stays' })
    const use = () => ({
      programs: programIds().size,
      files: descriptorsOf(agent.pid),
      bytes: memoryOf(agent.pid).privateBytes,
    })
    const [atFirst, countBefore] = [use(), await count()]

    const reader = spawn(binary, [file, '1', '100'], { stdio: ['ignore', 'pipe', 'inherit'] })
    const output = textOf(reader.stdout)
    for (let i = steps.length; i < CHANGES + steps.length; i++) await change(i)
    reader.kill('SIGTERM')
    const calls = Number(await output)
    await agent.until('all calls to be reported', async () => (await count()) - countBefore >= calls)
    const metrics = await agent.metrics()
    const atLast = use()
    const sorted = durations.toSorted((a, b) => a - b)
    const slow = (le: string): number =>
      1 -
      metrics.sum(`${LATENCY}_bucket`, { exporter: 'archive', le }) /
        metrics.sum(`${LATENCY}_count`, { exporter: 'archive' })
    t.diagnostic(
      JSON.stringify({
        calls,
        medianMs: sorted[sorted.length >> 1],
        longestMs: sorted.at(-1),
        later: { '0.5': slow('0.5'), '1': slow('1') },
        atFirst,
        atLast,
      }),
    )
    assert.ok(calls > CHANGES * 10, 'the program was reading all the time')
    assert.equal((await count()) - countBefore, calls)
    assert.deepEqual(metrics.losses(), [])
    assert.equal(metrics.sum('ktrail_exporter_dropped_events_total'), 0)
    assert.deepEqual([atLast.programs, atLast.files], [atFirst.programs, atFirst.files])
    assert.ok(atLast.bytes < atFirst.bytes + SLACK_BYTES, `${atFirst.bytes} private bytes, then ${atLast.bytes}`)
  })
})

/** Number of BPF descriptors of a process, by kind. */
function descriptorsOf(pid: number): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    const [, kind] = /^anon_inode:\[?(bpf[-_]\w+|perf_event)\]?$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`)) ?? []
    if (kind !== undefined) counts[kind] = (counts[kind] ?? 0) + 1
  }
  return counts
}
