/** Root stops the agent, empties its table of processes, or takes its records: each makes a loss record, and the agent is not ready. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, readdirSync, rmdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { line, runAct } from '../support/act.ts'
import { TestAgent, cannotRun, freshFolder } from '../support/agent.ts'
import { fileHook, path, policy } from '../support/policy.ts'
import { lostIn, processOf } from '../support/record.ts'
import { SEEN_MS, bpftool, found, mapOf, unready, zeros } from './support/tampering.ts'
import { makeProgram } from '../../support/programs.ts'

const skip = cannotRun()
if (skip !== false) console.log(`agent: skipped: ${skip}`)
const folder = skip === false ? freshFolder('guarded') : '/none'
const file = join(folder, 'f')
/** include/uapi/linux/ptrace.h PTRACE_SEIZE; the number of ptrace(2) on x86_64. */
const [PTRACE, SEIZE] = [101, 0x4206]

describe('tampering with the agent', { skip }, () => {
  let agent: TestAgent

  before(async () => {
    writeFileSync(file, 'x')
    agent = await TestAgent.start({ policies: { 'p.yaml': policy('watching', [fileHook([path('Prefix', folder)])]) } })
  })
  after(() => agent?.[Symbol.asyncDispose]())

  it('the agent changes its priority for map accesses only if the kernel preempts tasks in kernel code', async (t) => {
    const { preemption } = agent.log().find(({ msg }) => msg === 'ready') ?? {}
    if (preemption !== 'voluntary' && preemption !== 'none') return t.skip(`preemption is ${preemption}`)
    const tracing = '/sys/kernel/tracing/instances/priorities'
    mkdirSync(tracing)
    try {
      writeFileSync(join(tracing, 'set_event_pid'), String(agent.pid))
      for (const call of ['bpf', 'sched_getscheduler', 'sched_setscheduler']) {
        writeFileSync(join(tracing, `events/syscalls/sys_enter_${call}/enable`), '1')
      }
      let trace = ''
      const seen = (pattern: RegExp): number => trace.match(pattern)?.length ?? 0
      // A check of maps is among them: the housekeeping of a few seconds.
      await agent.until('50 calls of bpf', () => {
        trace = readFileSync(join(tracing, 'trace'), 'utf8')
        return seen(/sys_bpf\(/g) >= 50
      })
      t.diagnostic(`${seen(/sys_bpf\(/g)} calls of bpf, ${seen(/sys_sched_/g)} of priorities`)
      assert.equal(seen(/sys_sched_/g), 0)
    } finally {
      rmdirSync(tracing)
    }
  })

  it('a stopped agent answers nothing, and reports the stop when it runs again', async () => {
    process.kill(agent.pid, 'SIGSTOP')
    await agent.until('state T', () => /\) T /.test(readFileSync(`/proc/${agent.pid}/stat`, 'utf8')))
    await assert.rejects(agent.get('/livez', AbortSignal.timeout(1_000)), { name: 'TimeoutError' })
    const from = agent.lines().length
    process.kill(agent.pid, 'SIGCONT')
    const seconds = await unready(
      agent,
      /^tampering: the agent: it was stopped for up to [\d.]+ s, .*: it runs again$/m,
    )
    console.log(`a stopped agent was reported ${seconds.toFixed(1)} s after it ran again`)
    const [now, counted] = await found(agent, 'agent_stopped')
    assert.ok(now === 1 && counted >= 1)
    await agent.until('the loss record', () => lostIn(agent.lines().slice(from)) >= counted)
  })

  it('a frozen agent reports the freeze when it runs again', async () => {
    const [, counted] = await found(agent, 'agent_stopped')
    const cgroup = '/sys/fs/cgroup/freezing'
    const events = join(cgroup, 'cgroup.events')
    mkdirSync(cgroup)
    try {
      writeFileSync(join(cgroup, 'cgroup.procs'), String(agent.pid))
      const watched = `ino:${statSync(events).ino.toString(16)} `
      const about = `/proc/${agent.pid}/fdinfo`
      await agent.until('the agent to watch its cgroup', () =>
        readdirSync(about).some((fd) => readFileSync(join(about, fd), 'utf8').includes(watched)),
      )
      writeFileSync(join(cgroup, 'cgroup.freeze'), '1')
      await agent.until('a frozen agent', () => readFileSync(events, 'utf8').includes('frozen 1'))
      writeFileSync(join(cgroup, 'cgroup.freeze'), '0')
      await agent.until('the report', async () => (await found(agent, 'agent_stopped'))[1] > counted, SEEN_MS)
    } finally {
      writeFileSync('/sys/fs/cgroup/cgroup.procs', String(agent.pid))
      rmdirSync(cgroup)
    }
  })

  it('a traced agent names the tracer', async () => {
    const script = `syscall(${PTRACE}, ${SEIZE}, ${agent.pid}, 0, 0) == 0 or die $!; print "traced\\n"; close STDOUT; sleep 600`
    const tracer = spawn('perl', ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'], timeout: 60_000 })
    try {
      await once(tracer.stdout, 'data')
      await unready(agent, new RegExp(`^tampering: the agent: traced by process ${tracer.pid}, `, 'm'))
      const [now, counted] = await found(agent, 'agent_traced')
      assert.deepEqual([now, counted], [1, 1])
    } finally {
      tracer.kill('SIGKILL')
    }
  })

  it('an emptied table of processes is filled again', async () => {
    const { id } = mapOf('processes')
    const dump = (): Array<{ readonly key: readonly string[] }> =>
      JSON.parse(execFileSync('bpftool', ['-j', 'map', 'dump', 'id', String(id)], { encoding: 'utf8' }))
    // bpftool stops at the first entry that is not there any more.
    const entries = dump().filter(({ key }) => existsSync(`/proc/${Buffer.from(key.map(Number)).readUInt32LE()}`))
    const batch = join(folder, 'batch')
    writeFileSync(batch, entries.map(({ key }) => `map delete id ${id} key ${key.join(' ')}\n`).join(''))
    bpftool('batch', 'file', batch)
    const seconds = await unready(agent, /^tampering: processes: no entry of the agent itself, .*: repaired$/m)
    console.log(`a table without ${entries.length} entries was found after ${seconds.toFixed(1)} s`)
    await agent.until('the processes to be back', () => dump().length >= entries.length)
    // The child of a process whose entry was removed has its parent again.
    const lines = await agent.during(() => runAct([line('read', file)]))
    const read = lines.find((each) => each.process_kprobe !== undefined)
    assert.ok(read !== undefined)
    assert.equal(read.process_kprobe?.parent?.pid, process.pid)
    assert.doesNotMatch(processOf(read).flags ?? '', /unknown/)
  })

  it('nobody can change the counters that prove that no record is missing', () => {
    const { id, bytes_key, bytes_value = 0 } = mapOf('cpu_state')
    const key = ['id', String(id), 'key', ...zeros(bytes_key)]
    assert.match(bpftool('map', 'update', ...key, 'value', ...zeros(bytes_value)), /not permitted/i)
  })

  it('records that another reader takes out of the ring are missed', async () => {
    const binary = join(folder, 'second-reader')
    makeProgram('e2e/second-reader', binary)
    const thief = spawn(binary, ['ring'], { stdio: ['ignore', 'pipe', 'inherit'], timeout: 60_000 })
    try {
      await once(thief.stdout, 'data')
      for (let i = 0; i < 5; i++) runAct([line('read', file)])
    } finally {
      thief.kill('SIGKILL')
    }
    await once(thief, 'close')
    const seconds = await unready(agent, /^tampering: the ring: \d+ records did not arrive, expected every record: /m)
    console.log(`records taken by another were missed after ${seconds.toFixed(1)} s`)
    const [, counted] = await found(agent, 'records_missing')
    assert.ok(counted >= 1)
    const all = async (): Promise<number> => {
      const kinds = ['agent_stopped', 'agent_traced', 'process_map_changed', 'records_missing']
      const counts = await Promise.all(kinds.map((kind) => found(agent, kind)))
      return counts.reduce((sum, [, of]) => sum + of, 0)
    }
    await agent.until('a loss record of each of these', async () => lostIn(agent.lines()) >= (await all()))
  })
})
