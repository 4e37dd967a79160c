/**
 * Hosts with cgroup v1, and with both: systemd.unified_cgroup_hierarchy=0 keeps the controllers on v1, and a unified hierarchy without any beside
 * them. Real runtimes run containers there, in pods and outside of them: checks their records, and the policies for pods that see them.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { after, before, describe } from 'node:test'
import type { TestContext } from 'node:test'
import { scripted, writeKubeconfig } from '../../support/kubernetes/scripted.ts'
import type { Scripted } from '../../support/kubernetes/scripted.ts'
import { line, startAct } from '../support/act.ts'
import { TestAgent, cannotRun, freshFolder } from '../support/agent.ts'
import { fileHook, path } from '../support/policy.ts'
import { processOf } from '../support/record.ts'
import type { Line } from '../support/record.ts'
import { BUSYBOX, SECRET, freshId, runContainer } from '../support/runc.ts'
import { until } from '../support/wait.ts'
import { notToday } from '../../support/long.ts'

const skip =
  cannotRun() || (process.env['KTRAIL_GUEST'] ? false : 'it mounts other cgroups than the host has: run in a guest')
const CGROUPS = '/sys/fs/cgroup'
const CONTROLLERS =
  'memory pids cpuset cpu,cpuacct devices freezer blkio net_cls,net_prio perf_event hugetlb rdma misc dmem'.split(' ')
/** Controllers by which a process is placed (bpf/process/cgroup.h). */
const PLACING = ['memory', 'pids', 'cpuset']
/** Time until the unified hierarchy frees the controllers of ended tests. */
const FREE_MS = 10_000

const folders = (top: string, ...words: string[]): string[] =>
  execFileSync('find', [top, ...words, '-depth', '-type', 'd'], { encoding: 'utf8' })
    .split('\n')
    .filter(Boolean)

/** The hierarchies of a host, mounted where systemd does; with `unified` also one of v2. Before that they are all of v2. */
class Hierarchies implements Disposable {
  /** The cgroup paths of a process. */
  readonly tops: string[] = []
  /** Controllers of PLACING that this kernel does not have on v1. */
  readonly lacking: string[] = []

  static async mount(unified: boolean): Promise<Hierarchies> {
    // A controller that a cgroup of v2 uses is not available on v1.
    for (const folder of folders(CGROUPS)) {
      const file = join(folder, 'cgroup.subtree_control')
      const used = readFileSync(file, 'utf8').trim().split(' ').filter(Boolean)
      if (used.length > 0) writeFileSync(file, used.map((each) => `-${each}`).join(' '))
    }
    execFileSync('umount', [CGROUPS])
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', CGROUPS])
    const found = new Hierarchies()
    for (const name of CONTROLLERS) await found.#mount(name, ['-t', 'cgroup', '-o', name])
    await found.#mount('systemd', ['-t', 'cgroup', '-o', 'none,name=systemd'])
    if (unified) await found.#mount('unified', ['-t', 'cgroup2'])
    // Without these settings no process can join a new cgroup.
    if (found.tops.some((top) => top.endsWith('/cpuset')))
      writeFileSync(join(CGROUPS, 'cpuset/cgroup.clone_children'), '1')
    return found
  }

  async #mount(name: string, options: readonly string[]): Promise<void> {
    const at = join(CGROUPS, name)
    mkdirSync(at)
    const end = performance.now() + FREE_MS
    const done = await until(`the controller ${name}`, () => {
      writeFileSync('/proc/sys/vm/drop_caches', '3')
      const { status, stderr } = spawnSync('mount', [...options, 'cgroup', at], { encoding: 'utf8' })
      if (status !== 0 && stderr.includes('busy') && performance.now() < end) return undefined
      return { mounted: status === 0, stderr }
    })
    if (done.mounted) return void this.tops.push(at)
    rmdirSync(at)
    if (PLACING.includes(name)) this.lacking.push(`${name}: ${done.stderr.trim()}`)
  }

  /** Why a runtime cannot run here; false if it can. */
  refusedBy(runtime: string): string | false {
    const on = this.tops.some((top) => top.endsWith('/unified'))
      ? readFileSync(join(CGROUPS, 'unified/cgroup.controllers'), 'utf8')
      : ''
    return (
      runtime === 'crun' &&
      on.trim() !== '' &&
      `crun refuses a host with both where v2 has controllers, here ${on.trim()}`
    )
  }

  /** Puts a process into the cgroup of this path, in each hierarchy. */
  enter(cgroup: string, pid: number): void {
    for (const top of this.tops) {
      mkdirSync(join(top, cgroup), { recursive: true })
      writeFileSync(join(top, cgroup, 'cgroup.procs'), String(pid))
    }
  }

  [Symbol.dispose](): void {
    for (const top of this.tops) for (const folder of folders(top, '-mindepth', '1')) rmdirSync(folder)
    execFileSync('umount', ['--recursive', CGROUPS])
    execFileSync('mount', ['-t', 'cgroup2', 'cgroup2', CGROUPS])
  }
}

interface TestPod {
  readonly name: string
  readonly uid: string
  readonly labels: Readonly<Record<string, string>>
  readonly containers: readonly string[]
}

const objectOf = ({ name, uid, labels, containers }: TestPod): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'shop', uid, labels, resourceVersion: '1' },
  spec: { nodeName: 'node-1', containers: containers.map((_, i) => ({ name: `c${i}` })) },
  status: {
    containerStatuses: containers.map((id, i) => ({
      name: `c${i}`,
      containerID: `containerd://${id}`,
      image: 'docker.io/library/busybox:1',
      imageID: 'sha256:1',
      state: { running: { startedAt: '2024-04-14T02:17:40Z' } },
    })),
  },
})

const policyFor = (name: string, selection: object, file: string): string =>
  JSON.stringify({
    apiVersion: 'cilium.io/v1alpha1',
    kind: 'TracingPolicy',
    metadata: { name },
    spec: { kprobes: [fileHook([path('Equal', file, SECRET)])], ...selection },
  })

const HOSTS: ReadonlyArray<readonly [what: string, unified: boolean]> = [
  ['cgroup v1', false],
  ['cgroup v1 and v2', true],
]

for (const [row, [what, unified]] of HOSTS.entries()) {
  describe(`hierarchies: ${what}`, { skip: skip || notToday(row, HOSTS.length) }, () => {
    const madePod = (name: string, n: number): TestPod => ({
      name,
      uid: `1c9a7f0e-5f6d-4a6e-9a55-00000000000${n}`,
      labels: { app: name },
      containers: [freshId(), freshId(), freshId()],
    })
    const [web, other] = [madePod('web', 0), madePod('other', 1)]
    const folder = skip === false ? freshFolder('hierarchies') : '/none'
    const watched = join(folder, 'watched')
    const READ = [line('wait'), line('read', watched, 1)]
    let hierarchies: Hierarchies
    let api: Scripted
    let agent: TestAgent
    let early: ReturnType<typeof startAct> | undefined
    let waits = false
    const cgroupOf = ({ uid }: TestPod, id: string): string => `/kubepods/besteffort/pod${uid}/${id}`

    before(async () => {
      writeFileSync(watched, 'x')
      hierarchies = await Hierarchies.mount(unified)
      early = startAct([...READ, ...READ])
      waits = true
      void early.ended.then(() => (waits = false))
      hierarchies.enter(cgroupOf(web, web.containers[0] ?? ''), early.pid)
      api = await scripted((url, answer) => {
        answer.writeHead(200, { 'content-type': 'application/json' })
        if (url.searchParams.get('watch') !== null) return void answer.flushHeaders()
        const items = [web, other].map(objectOf)
        answer.end(JSON.stringify({ kind: 'PodList', apiVersion: 'v1', metadata: { resourceVersion: '1' }, items }))
      })
      const kubeconfig = join(folder, 'kubeconfig')
      await writeKubeconfig(kubeconfig, api)
      agent = await TestAgent.start({
        config: { node_name: 'node-1', kubernetes: { kubeconfig, pods: true, pod_wait: '0s' } },
        policies: {
          'all.yaml': policyFor('all', {}, watched),
          'p.yaml': policyFor('p', { podSelector: { matchLabels: { app: 'web' } } }, watched),
          'h.yaml': policyFor('h', { hostSelector: {} }, watched),
        },
      })
      await agent.until('the pods', () => agent.log().some(({ msg }) => msg === 'the pods of this node are known'))
    })
    after(async () => {
      // If a test failed, the process still waits.
      if (early !== undefined && waits) process.kill(early.pid, 'SIGKILL')
      await early?.ended
      await agent?.[Symbol.asyncDispose]()
      await api?.[Symbol.asyncDispose]()
      hierarchies?.[Symbol.dispose]()
    })

    /** Policies that saw reads, with container and pod as their records have them. */
    const seen = (lines: readonly Line[]): string[] => {
      const texts = lines.flatMap((found) => {
        const { docker = '', pod } = processOf(found)
        const { name = '', container } = (pod ?? {}) as { name?: string; container?: { id?: string } }
        const hit = found.process_kprobe
        return hit === undefined ? [] : `${hit.policy_name} ${docker} ${name} ${container?.id ?? ''}`
      })
      return [...new Set(texts)].toSorted()
    }
    const expected = (policies: string, id = '', pod = ''): string[] =>
      policies.split(' ').map((name) => `${name} ${id.slice(0, 31)} ${pod} ${pod === '' ? '' : `containerd://${id}`}`)

    test(`hierarchies: ${what}: a controller of v1 determines the place of processes`, (t: TestContext) => {
      // Kernels may be built without some of them on v1.
      for (const each of hierarchies.lacking) t.diagnostic(each)
      assert.ok(PLACING.some((name) => hierarchies.tops.includes(join(CGROUPS, name))))
    })

    test(`hierarchies: ${what}: a process that ran in its pod before the agent, and after a move to the host`, async () => {
      const act = early ?? assert.fail()
      const read = async (): Promise<string[]> =>
        seen(
          await agent.during(async () => {
            const from = agent.lines().length
            act.go()
            await agent.until('the read', () =>
              agent
                .lines()
                .slice(from)
                .some((found) => processOf(found).pid === act.pid),
            )
          }),
        )
      assert.deepEqual(await read(), expected('all p', web.containers[0], 'web'))
      hierarchies.enter('/', act.pid)
      assert.deepEqual(await read(), expected('all h'))
    })

    for (const [i, runtime] of ['runc', 'crun'].entries()) {
      test(`hierarchies: ${what}: containers of pods that ${runtime} runs`, async (t: TestContext) => {
        const refused = hierarchies.refusedBy(runtime)
        if (refused !== false) return t.skip(refused)
        for (const [of, policies] of [
          [web, 'all p'],
          [other, 'all'],
        ] as const) {
          const id = of.containers[i + 1] ?? assert.fail()
          const lines = await agent.during(() => runContainer(runtime, id, cgroupOf(of, id)))
          assert.deepEqual(seen(lines), expected(policies, id, of.name))
          const inside = lines.map(processOf).filter(({ binary }) => binary === BUSYBOX)
          assert.ok(inside.length >= 4)
          assert.ok(inside.every(({ docker, in_init_tree: inTree }) => docker === id.slice(0, 31) && inTree === true))
        }
      })

      test(`hierarchies: ${what}: a container outside of pods that ${runtime} runs`, async (t: TestContext) => {
        const refused = hierarchies.refusedBy(runtime)
        if (refused !== false) return t.skip(refused)
        const id = freshId()
        const lines = await agent.during(() => runContainer(runtime, id, `/docker/${id}`))
        assert.deepEqual(seen(lines), expected('all h', id))
      })
    }

    test(`hierarchies: ${what}: every record is accounted for`, async () => {
      assert.equal((await agent.metrics()).sum('ktrail_accounting_imbalance_events'), 0)
    })
  })
}
