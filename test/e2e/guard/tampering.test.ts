/** Root removes the hooks of a running agent: the agent finds that within ten seconds, reports it, and repairs what it can. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { release } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { line, runAct } from '../support/act.ts'
import { TestAgent, cannotRun, freshFolder } from '../support/agent.ts'
import type { AgentOptions } from '../support/agent.ts'
import { fileHook, path, policy } from '../support/policy.ts'
import { lostIn, processOf } from '../support/record.ts'
import { SEEN_MS, bpftool, found, list, mapOf, unready, zeros } from './support/tampering.ts'

/** A finding stays for half a minute after it was last seen. */
const GONE_MS = 60_000
const KPROBES = '/sys/kernel/debug/kprobes/enabled'
const [MAJOR = 0, MINOR = 0] = release().split('.').map(Number)
/** Older kernels load programs of agents with CAP_SYS_ADMIN only. */
const LEAST = MAJOR > 5 || (MAJOR === 5 && MINOR >= 18)
const PARANOID = '/proc/sys/kernel/perf_event_paranoid'
const FTRACE = '/proc/sys/kernel/ftrace_enabled'
const FIXED = ['selectors', 'sets', 'number_sets', 'numbers', 'texts', 'suffixes', 'edges']

const skip = cannotRun()
if (skip !== false) console.log(`tampering: skipped: ${skip}`)
const folder = skip === false ? freshFolder('tampering') : '/none'
const file = join(folder, 'f')
if (skip === false) writeFileSync(file, 'x')

/** Writes a switch of the kernel; false if the kernel refuses. */
function turn(name: string, value: '0' | '1'): boolean {
  try {
    writeFileSync(name, value)
    return true
  } catch {
    return false
  }
}

/** The program in the first slot of a gate. */
function programIn(map: number): number {
  const text = execFileSync('bpftool', ['-j', 'map', 'lookup', 'id', String(map), 'key', ...zeros(4)], {
    encoding: 'utf8',
  })
  const { value }: { readonly value: readonly string[] } = JSON.parse(text)
  return Buffer.from(value.map(Number)).readUInt32LE()
}

/** Events of one read of the file. */
async function reads(agent: TestAgent): Promise<number> {
  const lines = await agent.during(() => runAct([line('read', file)]))
  return lines.filter(({ process_kprobe: kprobe }) => kprobe !== undefined).length
}

const readyAgain = (agent: TestAgent): Promise<unknown> =>
  agent.until('200 from /readyz', async () => (await agent.get('/readyz')).status === 200, GONE_MS)

const start = (options: AgentOptions = {}): Promise<TestAgent> =>
  TestAgent.start({ policies: { 'p.yaml': policy('watching', [fileHook([path('Prefix', folder)])]) }, ...options })

describe('tampering by root', { skip }, () => {
  let agent: TestAgent
  let expected = 0

  before(async () => {
    agent = await start()
    expected = await reads(agent)
    assert.ok(expected > 0)
  })

  after(async () => {
    turn(FTRACE, '1')
    await agent?.[Symbol.asyncDispose]()
  })

  it('maps that hold a policy cannot be changed', async () => {
    for (const name of FIXED) {
      const { id, frozen, bytes_key, bytes_value } = mapOf(name)
      assert.equal(frozen, 1, name)
      const key = ['id', String(id), 'key', ...zeros(bytes_key)]
      assert.match(bpftool('map', 'update', ...key, 'value', ...zeros(bytes_value)), /not permitted/i, name)
    }
    assert.equal(await reads(agent), expected)
  })

  it('the kernel does not detach another program’s link', async () => {
    const links = list('link')
    assert.ok(links.length >= 4)
    for (const { id } of links) assert.match(bpftool('link', 'detach', 'id', String(id)), /not supported/i)
    assert.equal(await reads(agent), expected)
  })

  it('an emptied gate and a gate with another program are reported and repaired within ten seconds, and the agent is not ready', async () => {
    const from = agent.lines().length
    const { id } = mapOf('gate_0')
    const first = ['map', 'update', 'id', String(id), 'key', ...zeros(4), 'value', 'id']
    for (let index = 0; index < 2; index++)
      bpftool('map', 'delete', 'id', String(id), 'key', 'hex', `0${index}`, '00', '00', '00')
    const seconds = await unready(
      agent,
      /^tampering: security_file_permission: no program, expected program \d+: repaired$/m,
    )
    console.log(`an emptied gate was seen after ${seconds.toFixed(1)} s`)
    assert.equal(await reads(agent), expected)
    // The kernel takes only a program of the same kind. The last programs are of the object that the gate calls.
    const others = list('prog').toReversed()
    const foreign = others.find((other) => other.id !== programIn(id) && bpftool(...first, String(other.id)) === '')
    assert.ok(foreign !== undefined, 'no program of the same kind')
    const sentence = `^tampering: security_file_permission: program ${foreign.id}, expected program \\d+: repaired$`
    await unready(agent, new RegExp(sentence, 'm'))
    assert.equal(await reads(agent), expected)
    const [now, counted] = await found(agent, 'gate_changed')
    assert.ok(now >= 1 && counted >= 2)
    await agent.until('the loss record', () => lostIn(agent.lines().slice(from)) === counted)
    const logged = agent.log().filter(({ level, msg }) => level === 50 && msg?.startsWith('tampering: '))
    assert.equal(logged.length, counted)
  })

  it('switched-off ftrace is reported, and the agent does not change the switch; then no finding is left, and the agent is ready', async () => {
    const [, gates] = await found(agent, 'gate_changed')
    const refused = !turn(FTRACE, '0')
    assert.ok(!refused || MAJOR >= 7, 'kernels before 7.0 take it')
    if (!refused) await unready(agent, /^tampering: \/proc\/sys\/kernel\/ftrace_enabled: 0, expected 1/m)
    const seen = await reads(agent)
    console.log(`ftrace_enabled=0: ${refused ? 'refused' : 'taken'}, ${seen} of ${expected} events`)
    assert.equal(readFileSync(FTRACE, 'utf8'), refused ? '1\n' : '0\n')
    assert.deepEqual(await found(agent, 'ftrace_disabled'), refused ? [0, 0] : [1, 1])
    turn(FTRACE, '1')
    await readyAgain(agent)
    assert.deepEqual(await found(agent, 'gate_changed'), [0, gates])
    assert.ok(agent.log().some(({ level, msg }) => level === 30 && msg === 'the tampering is gone'))
    assert.equal(await reads(agent), expected)
  })
})

describe('hooks that the kernel does not call', { skip }, () => {
  const paranoid = skip === false ? readFileSync(PARANOID, 'utf8') : ''
  after(() => {
    turn(KPROBES, '1')
    writeFileSync(PARANOID, paranoid)
  })

  it(`with ${LEAST ? 'the rights of the unit' : 'all rights'}, are found by the next test access, which makes no event; switched-off kprobes are reported, and the agent does not change the switch`, async () => {
    assert.ok(existsSync(KPROBES), `${KPROBES} is missing: mount debugfs`)
    const hook = (call: string): object => ({
      ...fileHook([path('Prefix', '/proc/', folder)]),
      call,
      return: false,
      returnArg: undefined,
      args: [{ index: 0, type: 'file' }],
    })
    // Perf events without CAP_SYS_ADMIN.
    writeFileSync(PARANOID, '2')
    await using agent = await TestAgent.start({
      policies: { 'p.yaml': policy('watching', [hook('security_file_permission')]) },
      config: { attach: { mode: 'kprobe' } },
      ...(LEAST ? { capabilities: '+bpf,+perfmon,+sys_ptrace,+syslog' } : {}),
    })
    assert.ok((await reads(agent)) > 0)
    await setTimeout(SEEN_MS)
    assert.equal((await agent.get('/readyz')).status, 200)
    assert.deepEqual(await found(agent, 'hook_silent'), [0, 0])
    if (LEAST) assert.match(readFileSync(`/proc/${agent.pid}/status`, 'utf8'), /^CapEff:\t000000c400080000$/m)
    const own = agent.lines().filter((each) => each.process_kprobe !== undefined && processOf(each).pid === agent.pid)
    assert.deepEqual(own, [])
    assert.ok(turn(KPROBES, '0'))
    const seconds = await unready(agent, /^tampering: \/sys\/kernel\/debug\/kprobes\/enabled: 0, expected 1/m)
    console.log(`kprobes/enabled=0 was seen after ${seconds.toFixed(1)} s`)
    assert.equal(readFileSync(KPROBES, 'utf8'), '0\n')
    assert.deepEqual(await found(agent, 'kprobes_disarmed'), [1, 1])
    // Something new is attached: the agent tests its hooks.
    await agent.apply('more', policy('more', [hook('security_file_open')]))
    await unready(agent, /^tampering: security_file_permission \(kprobe\): it did not run, /m)
    await unready(agent, /^tampering: security_file_open \(kprobe\): it did not run, /m)
    assert.deepEqual(await found(agent, 'hook_silent'), [2, 2])
    assert.ok(turn(KPROBES, '1'))
    const text = async (): Promise<string> => (await agent.get('/readyz')).text()
    await agent.until(
      'the older hook to be called again',
      async () => !(await text()).includes('file_permission'),
      GONE_MS,
    )
    await agent.until('the loss records', () => lostIn(agent.lines()) >= 1 + 2)
    // The kernel never arms a kprobe that was attached while all were off.
    assert.match(await text(), /^tampering: security_file_open \(kprobe\): it did not run, .*: restart the agent$/m)
  })
})

describe('tampering with the agent itself', { skip }, () => {
  it('links whose descriptors a debugger has closed are reported until the agent is restarted', async () => {
    const module = fileURLToPath(new URL('support/close-links.ts', import.meta.url))
    await using agent = await start({ module })
    process.kill(agent.pid, 'SIGUSR2')
    const sentence = (on: string): RegExp =>
      new RegExp(`^tampering: ${on}: no link, expected link \\d+ of program \\d+: restart the agent$`, 'm')
    await unready(agent, sentence('process_exec'))
    await unready(agent, sentence('security_file_permission'))
    const [now, counted] = await found(agent, 'link_gone')
    assert.ok(now >= 4)
    assert.equal(counted, now)
    await agent.until('the loss record', () => lostIn(agent.lines()) >= counted)
  })
})
