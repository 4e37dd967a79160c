/**
 * Containers on a real kernel: real runtimes (runc, crun) run them in cgroups as docker, podman and kubelets name them (on cgroup v1:
 * hierarchies.test.ts); and a program that moves, hides and storms through cgroups. Checks `docker` and `in_init_tree` in the records.
 */
import assert from 'node:assert/strict'
import { mkdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { after, before, describe } from 'node:test'
import { line, startAct } from '../support/act.ts'
import { TestAgent, cannotRun, freshFolder } from '../support/agent.ts'
import { fileHook, path, policy } from '../support/policy.ts'
import { processOf } from '../support/record.ts'
import type { Line, ProcessRecord } from '../support/record.ts'
import { BUSYBOX, SECRET, freshId, runContainer } from '../support/runc.ts'

const skip = cannotRun()
const folder = skip === false ? freshFolder('containers') : '/none'
const watched = join(folder, 'watched')
const UID = '1c9a7f0e_5f6d_4a6e_9a55_0d1c4f0b8a11'
const CGROUPS = '/sys/fs/cgroup'

const LAYOUTS: ReadonlyArray<readonly [what: string, (id: string) => string]> = [
  ['docker', (id) => `/system.slice/docker-${id}.scope`],
  [
    'a pod of containerd',
    (id) => `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${UID}.slice/cri-containerd-${id}.scope`,
  ],
  ['a pod with cgroupfs', (id) => `/kubepods/besteffort/pod${UID.replaceAll('_', '-')}/${id}`],
]

/** Events of busybox processes, with their container, and whether they descend from its first process. */
const seen = (lines: readonly Line[]): string[] =>
  lines
    .filter((found) => processOf(found).binary === BUSYBOX)
    .map((found) => {
      const { arguments: args, docker, in_init_tree: inTree } = processOf(found)
      const kind = Object.keys(found)[0]?.replace('process_', '')
      return `${kind} ${args?.split(' ')[0]} ${docker} ${inTree}`
    })
    // The kernel calls the hook once or twice for one cat.
    .filter((text, i, all) => text !== all[i - 1])

function expected(id: string): string[] {
  return ['exec sh', 'exec cat', 'kprobe cat', 'exit cat', 'exit sh'].map((what) => `${what} ${id.slice(0, 31)} true`)
}

const dockers = (lines: readonly Line[], pid: number): Array<string | undefined> =>
  lines
    .map(processOf)
    .filter((of) => of.pid === pid)
    .map(({ docker }: ProcessRecord) => docker)

describe('containers', { skip }, () => {
  let agent: TestAgent
  const running = freshId()
  const early = startedIn(running)

  function startedIn(id: string): ReturnType<typeof startAct> | undefined {
    if (skip !== false) return undefined
    const cgroup = join(CGROUPS, `docker-${id}.scope`)
    mkdirSync(cgroup)
    const act = startAct([line('wait'), line('exec', '/bin/true', 'true', 'later')])
    writeFileSync(join(cgroup, 'cgroup.procs'), String(act.pid))
    return act
  }

  before(async () => {
    writeFileSync(watched, 'x')
    agent = await TestAgent.start()
    await agent.apply('mine', policy('mine', [fileHook([path('Equal', watched, SECRET)])]))
  })
  after(() => agent?.[Symbol.asyncDispose]())

  test('containers: a process that ran before the agent is in its container, and stays in it after an exec', async () => {
    const act = early ?? assert.fail()
    const lines = await agent.during(async () => {
      act.go()
      await act.ended
    })
    const docker = running.slice(0, 31)
    assert.deepEqual(dockers(agent.lines(), act.pid).slice(0, 1), [docker])
    assert.deepEqual(dockers(lines, act.pid), [docker, docker])
  })

  test('containers: a moved process is in its new container at once, without an exec', async () => {
    const ids = [freshId(), freshId()]
    const cgroups = ids.map((id) => join(CGROUPS, `libpod-${id}.scope`))
    for (const cgroup of cgroups) mkdirSync(cgroup)
    const [first = '', second = ''] = cgroups
    const does = [line('read', watched, 1), line('wait')]
    let pid = 0
    const lines = await agent.during(async () => {
      const act = startAct([...does, ...does, ...does, ...does, line('fork', 1), line('exit', 0)])
      pid = act.pid
      for (const [i, to] of [first, second, CGROUPS, first].entries()) {
        // Events of the exec, and of a read before each move.
        await agent.until('the read before the move', () => dockers(agent.lines(), pid).length === i + 2)
        writeFileSync(join(to, 'cgroup.procs'), String(pid))
        act.go()
      }
      assert.equal((await act.ended).code, 0)
    })
    for (const cgroup of cgroups) rmdirSync(cgroup)
    const [a, b] = ids.map((id) => id.slice(0, 31))
    assert.deepEqual(dockers(lines, pid), [undefined, undefined, a, b, undefined, a])
    // Its child, which has done nothing else.
    assert.equal(processOf(lines.find((found) => found.process_exit !== undefined) ?? {}).docker, a)
  })

  test('containers: a process below nineteen cgroups with long names is still in its container', async () => {
    const id = freshId()
    const top = join(CGROUPS, `docker-${id}.scope`)
    const names = Array.from({ length: 19 }, (_, i) => `${i}-`.padEnd(200, 'x'))
    const deep = join(top, ...names)
    mkdirSync(deep, { recursive: true })
    let pid = 0
    const lines = await agent.during(async () => {
      const act = startAct([
        line('wait'),
        line('wait'),
        line('read', watched, 1),
        line('fork', 1),
        line('exec', '/bin/true', 'true', 'child'),
        line('exec', '/bin/true', 'true'),
      ])
      pid = act.pid
      await agent.until('its exec', () => dockers(agent.lines(), pid).length === 1)
      for (const to of [top, deep]) {
        writeFileSync(join(to, 'cgroup.procs'), String(pid))
        act.go()
      }
      assert.equal((await act.ended).code, 0)
    })
    for (const i of names.keys()) rmdirSync(join(top, ...names.slice(0, names.length - i)))
    rmdirSync(top)
    const docker = id.slice(0, 31)
    assert.deepEqual(dockers(lines, pid), [undefined, docker, docker, docker])
    const child = lines.map(processOf).filter(({ arguments: args }) => args === 'child')
    assert.deepEqual(
      child.map((of) => of.docker),
      [docker, docker],
    )
  })

  test('containers: 2,000 moves through 1,000 cgroups lose nothing', async (t) => {
    const ids = Array.from({ length: 1000 }, freshId)
    const cgroups = ids.map((id) => join(CGROUPS, `docker-${id}.scope`))
    for (const cgroup of cgroups) mkdirSync(cgroup)
    let pid = 0
    const lines = await agent.during(async () => {
      const act = startAct([line('wait'), line('read', watched, 1)])
      pid = act.pid
      await agent.until('its exec', () => dockers(agent.lines(), pid).length === 1)
      const startMs = performance.now()
      for (const cgroup of [...cgroups, ...cgroups]) writeFileSync(join(cgroup, 'cgroup.procs'), String(pid))
      t.diagnostic(`2,000 moves in ${Math.round(performance.now() - startMs)} ms`)
      act.go()
      assert.equal((await act.ended).code, 0)
    })
    for (const cgroup of cgroups) rmdirSync(cgroup)
    const last = ids.at(-1)?.slice(0, 31)
    assert.deepEqual(dockers(lines, pid), [undefined, last, last])
    const page = await agent.metrics()
    assert.equal(page.sum('ktrail_accounting_imbalance_events'), 0)
  })

  for (const runtime of ['runc', 'crun']) {
    for (const [what, pathOf] of LAYOUTS) {
      test(`containers: ${runtime} in the cgroup of ${what}`, async () => {
        const id = freshId()
        const lines = await agent.during(() => runContainer(runtime, id, pathOf(id)))
        assert.deepEqual(seen(lines), expected(id))
      })
    }
  }
})
