/**
 * podSelector, containerSelector, hostSelector, matchWorkloads and namespaced policies on a real kernel: which policies see what a process does, by
 * the cgroup that it is in. The API server is a scripted one; test/e2e-kubernetes has a real one, and real containers.
 */
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { chownSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import test, { after, before, describe } from 'node:test'
import { promisify } from 'node:util'
import { line, startAct } from '../support/act.ts'
import { TestAgent, cannotRun, freshFolder } from '../support/agent.ts'
import { burst } from '../support/faults.ts'
import { processOf } from '../support/record.ts'
import type { Line } from '../support/record.ts'
import { livez } from '../hostile/support/livez.ts'
import { memoryOf } from '../../support/memory.ts'
import { scripted, writeKubeconfig } from '../../support/kubernetes/scripted.ts'
import type { Scripted } from '../../support/kubernetes/scripted.ts'

const skip = cannotRun()
/** Number of pods and containers that come and go; `make churn` sets these. */
const CHURN = {
  pods: Number(process.env['KTRAIL_CHURN_PODS'] || 20),
  containers: Number(process.env['KTRAIL_CHURN_CONTAINERS'] || 2),
}
/** collector/identity/workloads.ts */
const [ALL, OF_HOST] = [16_384, 4_096]
const READS = 200
/** V8 collects only worthwhile amounts (test/e2e/hostile/support/flood.ts). */
const REST_SLACK_BYTES = 12 << 20
const folder = skip === false ? freshFolder('workloads') : '/none'
const watched = join(folder, 'watched')
const TOP = '/sys/fs/cgroup/kubepods-test'

let made = 0
const uidOf = (n: number): string => `1c9a7f0e-5f6d-4a6e-9a55-${String(n).padStart(12, '0')}`
const freshId = (): string => `${made++}a`.padEnd(64, '0123456789abcdef')

interface TestPod {
  readonly name: string
  readonly namespace: string
  readonly uid: string
  readonly labels: Readonly<Record<string, string>>
  /** By name. */
  readonly containers: Readonly<Record<string, string>>
}

const WEB: TestPod = {
  name: 'web',
  namespace: 'shop',
  uid: uidOf(0),
  labels: { app: 'web' },
  containers: { main: freshId(), side: freshId() },
}
const OTHER: TestPod = {
  name: 'other',
  namespace: 'default',
  uid: uidOf(1),
  labels: { app: 'db' },
  containers: { main: freshId() },
}

let version = 10
const objectOf = ({ name, namespace, uid, labels, containers }: TestPod): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace, uid, labels, resourceVersion: String(version++) },
  spec: { nodeName: 'node-1', containers: Object.keys(containers).map((each) => ({ name: each })) },
  status: {
    containerStatuses: Object.entries(containers).map(([each, id]) => ({
      name: each,
      containerID: `containerd://${id}`,
      image: `docker.io/library/${each}:1`,
      imageID: 'sha256:1',
      state: { running: { startedAt: '2024-04-14T02:17:40Z' } },
    })),
  },
})

const P = { podSelector: { matchLabels: { app: 'web' } } }
const C = { containerSelector: { matchLabels: { name: 'main' } } }
const H = { hostSelector: {} }
const hook = (matchWorkloads: object = {}, [operator, value]: readonly string[] = ['Equal', watched]): object => ({
  call: 'security_file_permission',
  syscall: false,
  args: [{ index: 0, type: 'file' }],
  selectors: [{ matchArgs: [{ index: 0, operator, values: [value] }], matchWorkloads }],
})
const policyFor = (name: string, selection: object, own?: object, path?: readonly string[]): string =>
  JSON.stringify({
    apiVersion: 'cilium.io/v1alpha1',
    kind: 'TracingPolicy',
    metadata: { name },
    spec: { kprobes: [hook(own, path)], ...selection },
  })
const namespaced = JSON.stringify({
  apiVersion: 'cilium.io/v1alpha1',
  kind: 'TracingPolicyNamespaced',
  metadata: { name: 'ns', namespace: 'shop' },
  spec: { kprobes: [hook()] },
})
const POLICIES: Readonly<Record<string, string>> = {
  all: policyFor('all', {}),
  c: policyFor('c', C),
  p: policyFor('p', P),
  pc: policyFor('pc', { ...P, ...C }),
  h: policyFor('h', H),
  hc: policyFor('hc', { ...H, ...C }),
  hp: policyFor('hp', { ...H, ...P }),
  hpc: policyFor('hpc', { ...H, ...P, ...C }),
  ns: namespaced,
  // The only policy on its function, which remembers cgroups that the policy does not match.
  alone: JSON.stringify({
    apiVersion: 'cilium.io/v1alpha1',
    kind: 'TracingPolicy',
    metadata: { name: 'alone' },
    spec: { kprobes: [{ ...hook(), call: 'security_file_open' }], ...P },
  }),
  // Both must match: the policy's, and the selector's own.
  both: policyFor('both', P, C),
  by: policyFor('by', {
    podSelector: {
      matchExpressions: [{ key: 'k8s:io.kubernetes.pod.namespace', operator: 'In', values: ['default'] }],
    },
  }),
}

/** Makes cgroups like a kubelet; removes them again. */
class Cgroups implements Disposable {
  readonly #made: string[] = []

  make(...names: string[]): string {
    const at = join(TOP, ...names)
    for (let i = 0; i <= names.length; i++) {
      const each = join(TOP, ...names.slice(0, i))
      if (mkdirSync(each, { recursive: true }) !== undefined) this.#made.push(each)
    }
    return at
  }

  /** Cgroups below one that belongs to a user, who chose their names. */
  ofUser(name: string, ...names: string[]): string {
    let at = this.make(name)
    for (const [i] of names.entries()) {
      chownSync(at, 65_534, 65_534)
      at = this.make(name, ...names.slice(0, i + 1))
    }
    return at
  }

  of(pod: TestPod, container: string): string {
    return this.make(`pod${pod.uid}`, container)
  }

  [Symbol.dispose](): void {
    for (const each of this.#made.toReversed()) rmdirSync(each)
  }
}

const enter = (pid: number, cgroup: string): void => writeFileSync(join(cgroup, 'cgroup.procs'), String(pid))
const READ = [line('wait'), line('read', watched, 1)]

describe('workloads', { skip }, () => {
  let agent: TestAgent
  let api: Scripted
  let watching: ServerResponse | undefined
  /** The pods of the API server, and changes that no watch has received. */
  const cluster = new Map([WEB, OTHER].map((pod) => [pod.uid, pod]))
  const unsent: string[] = []
  /** The API server no longer has the version at which a watch ended. */
  let forgotten = false
  let away = false
  let early: ReturnType<typeof startAct> | undefined
  let waits = true
  const cgroups = new Cgroups()
  const main = WEB.containers['main'] ?? ''
  const side = WEB.containers['side'] ?? ''
  const ofOther = OTHER.containers['main'] ?? ''

  before(async () => {
    writeFileSync(watched, 'x')
    early = startAct(READ)
    void early.ended.then(() => (waits = false))
    enter(early.pid, cgroups.of(WEB, main))
    cgroups.ofUser('user@1.service', `pod${WEB.uid}`, side)
    api = await scripted((url, answer) => {
      if (away) return void answer.destroy()
      answer.writeHead(200, { 'content-type': 'application/json' })
      if (url.searchParams.get('watch') === null) {
        const metadata = { resourceVersion: String(version++) }
        const items = [...cluster.values()].map(objectOf)
        answer.end(JSON.stringify({ kind: 'PodList', apiVersion: 'v1', metadata, items }))
      } else if (forgotten) {
        forgotten = false
        answer.end(JSON.stringify({ type: 'ERROR', object: { kind: 'Status', code: 410, message: 'too old' } }))
      } else {
        answer.flushHeaders()
        watching = answer
        for (const text of unsent.splice(0)) answer.write(text)
      }
    })
    const kubeconfig = join(folder, 'kubeconfig')
    await writeKubeconfig(kubeconfig, api)
    agent = await TestAgent.start({
      config: {
        node_name: 'node-1',
        kubernetes: { kubeconfig, pods: true, pod_wait: '0s', metrics_by_namespace: true },
      },
      policies: Object.fromEntries(Object.entries(POLICIES).map(([name, text]) => [`${name}.yaml`, text])),
    })
    await agent.until('the pods', () => agent.log().some(({ msg }) => msg === 'the pods of this node are known'))
  })
  after(async () => {
    // Where the start failed it still waits.
    if (waits) early?.go()
    await early?.ended
    await agent?.[Symbol.asyncDispose]()
    await api?.[Symbol.asyncDispose]()
    cgroups[Symbol.dispose]()
  })

  /** Changes the pods of the API server, and sends the change to the agent's watch, or to the next one. */
  function change(type: 'ADDED' | 'MODIFIED' | 'DELETED', pod: TestPod): void {
    if (type === 'DELETED') cluster.delete(pod.uid)
    else cluster.set(pod.uid, pod)
    const text = `${JSON.stringify({ type, object: objectOf(pod) })}\n`
    if (watching === undefined) unsent.push(text)
    else watching.write(text)
  }

  /** The API server closes all connections, and new ones until `back`. */
  function goAway(): void {
    away = forgotten = true
    watching = undefined
    api.cut()
  }

  /** The policies that see a read in this cgroup; of the host without one. */
  async function seenIn(cgroup?: string, act = startAct(READ)): Promise<string> {
    if (cgroup !== undefined) enter(act.pid, cgroup)
    const lines = await agent.during(async () => {
      act.go()
      assert.equal((await act.ended).code, 0)
    })
    return policiesOf(lines, act.pid)
  }

  /** `seenIn` a cgroup that is made while the agent is stopped. */
  async function seenUnheard(...names: string[]): Promise<string> {
    const act = startAct(READ)
    const lines = await agent.during(async () => {
      process.kill(agent.pid, 'SIGSTOP')
      try {
        enter(act.pid, cgroups.make(...names))
        act.go()
        assert.equal((await act.ended).code, 0)
      } finally {
        process.kill(agent.pid, 'SIGCONT')
      }
    })
    return policiesOf(lines, act.pid)
  }

  /** Does it for each, while the agent answers /livez. */
  async function eachWhileAlive(names: readonly string[], does: (name: string) => void): Promise<void> {
    for (const [i, name] of names.entries()) {
      does(name)
      if (i % 500 === 0) await livez(agent)
    }
  }

  function policiesOf(lines: readonly Line[], pid: number): string {
    const names = lines.flatMap((each) => (processOf(each).pid === pid ? (each.process_kprobe?.policy_name ?? []) : []))
    return [...new Set(names)].toSorted().join(' ')
  }

  const unknown = async (): Promise<number> =>
    (await agent.metrics()).sum('ktrail_kernel_fallbacks_total', { kind: 'workload_unknown' })

  const OF_MAIN = 'all alone both c hc hp hpc ns p pc'
  const OF_SIDE = 'all alone hp ns p'

  test('workloads: a process that ran in its container before the agent', async () => {
    assert.equal(await seenIn(undefined, early), OF_MAIN)
  })

  test('workloads: a process of the host', async () => {
    assert.equal(await seenIn(), 'all h hc hp hpc')
    assert.equal(await seenIn(cgroups.make('a-service-of-systemd-with-a-very-long-name.service')), 'all h hc hp hpc')
  })

  test('workloads: a container outside of pods counts as host before the agent knows it', async () => {
    const counted = await unknown()
    for (const names of [
      [freshId()],
      [`docker-${freshId()}.scope`],
      [`libpod-${freshId()}.scope`],
      [`docker-${freshId()}.scope`, 'system.slice', 'nginx.service'],
    ]) {
      assert.equal(await seenUnheard(...names), 'all h hc hp hpc', names.join('/'))
    }
    assert.equal(await unknown(), counted)
  })

  test('workloads: a cgroup that may be a pod does not count as host before the agent knows it, counted', async () => {
    const uid = '2c9a7f0e-5f6d-4a6e-9a55-00000000000'
    const counted = await unknown()
    for (const pod of [
      `pod${uid}0`,
      // A static pod's.
      `pod${'0123456789abcdef'.repeat(2)}`,
      `kubepods-burstable-pod${uid.replaceAll('-', '_')}2.slice`,
      `a-name-that-leaves-no-room-for-more-than-the-pod-${'x'.repeat(160)}-pod${uid}3`,
    ]) {
      assert.equal(await seenUnheard(pod, freshId()), 'all', pod)
    }
    assert.ok((await unknown()) >= counted + 4)
  })

  test('workloads: processes in a cgroup that was delegated to a user stay on the host, whatever its names', async () => {
    const counted = await unknown()
    for (const name of ['user@1.service', 'user@2.service']) {
      assert.equal(await seenIn(cgroups.ofUser(name, `pod${WEB.uid}`, side)), 'all h hc hp hpc')
    }
    assert.equal(await unknown(), counted)
  })

  test('workloads: containers of pods, made while the agent runs', async () => {
    assert.equal(await seenIn(cgroups.of(WEB, main)), OF_MAIN)
    assert.equal(await seenIn(cgroups.of(WEB, side)), OF_SIDE)
    assert.equal(await seenIn(cgroups.of(OTHER, ofOther)), 'all by c hc')
  })

  test('workloads: a process below a container is still in it, whatever the names', async () => {
    const counted = await unknown()
    assert.equal(await seenIn(cgroups.make(`pod${WEB.uid}`, side, 'system.slice', 'nginx.service')), OF_SIDE)
    assert.equal(await seenIn(cgroups.make(`pod${WEB.uid}`, side, `pod${OTHER.uid}`, ofOther)), OF_SIDE)
    assert.equal(await unknown(), counted)
  })

  test('workloads: a move to another container counts at once, and back', async () => {
    const act = startAct([...READ, ...READ, ...READ])
    const seen: string[] = []
    for (const cgroup of [cgroups.of(WEB, side), cgroups.of(OTHER, ofOther), '/sys/fs/cgroup']) {
      enter(act.pid, cgroup)
      const lines = await agent.during(async () => {
        const from = agent.lines().length
        act.go()
        await agent.until('the read', () =>
          agent
            .lines()
            .slice(from)
            .some((each) => processOf(each).pid === act.pid),
        )
      })
      seen.push(
        lines
          .flatMap((each) => each.process_kprobe?.policy_name ?? [])
          .toSorted()
          .join(' '),
      )
    }
    assert.deepEqual(
      seen.map((names) => [...new Set(names.split(' '))].join(' ')),
      [OF_SIDE, 'all by c hc', 'all h hc hp hpc'],
    )
  })

  test('workloads: only policies without conditions see an unknown pod, counted; all do as soon as it is known', async () => {
    const late: TestPod = { ...WEB, name: 'late', uid: uidOf(2), containers: {} }
    const id = freshId()
    const cgroup = cgroups.of(late, id)
    assert.equal(await seenIn(cgroup), 'all')
    const counted = await unknown()
    assert.ok(counted > 0)
    // The pod comes first: its container is reported after the container has started.
    change('ADDED', late)
    await agent.until('the pod to count', async () => (await seenIn(cgroup)) === OF_SIDE)
    assert.ok((await unknown()) > counted)
    change('MODIFIED', { ...late, containers: { main: id } })
    await agent.until('the container to count', async () => (await seenIn(cgroup)) === OF_MAIN)
    // Its label.
    change('MODIFIED', { ...late, labels: {}, containers: { main: id } })
    await agent.until('the label to count', async () => (await seenIn(cgroup)) === 'all c hc ns')
    change('MODIFIED', { ...late, containers: { main: id } })
    await agent.until('the label to count again', async () => (await seenIn(cgroup)) === OF_MAIN)
  })

  test('workloads: containers come and go under load, and no policy confuses them', async (t) => {
    const churned = join(folder, 'churn-')
    const kinds = ['even', 'odd']
    for (const churn of kinds) {
      const text = policyFor(churn, { podSelector: { matchLabels: { churn } } }, {}, ['Prefix', churned])
      assert.equal(await agent.apply(churn, text), 'added')
    }
    assert.equal(await agent.apply('any', policyFor('any', {}, {}, ['Prefix', churned])), 'added')
    const pods = Array.from({ length: CHURN.pods }, (_, n): TestPod => {
      const containers = Object.fromEntries(Array.from({ length: CHURN.containers }, (_i, i) => [`c${i}`, freshId()]))
      return {
        name: `churn-${n}`,
        namespace: 'default',
        uid: uidOf(100 + n),
        labels: { churn: kinds[n % 2] ?? '' },
        containers,
      }
    })
    const half = pods.length / 2
    const known = (n: number): boolean => n < half
    const last: TestPod = { ...WEB, name: 'last', uid: uidOf(3) }
    for (const pod of [...pods.slice(0, half), last]) change('ADDED', pod)
    await agent.until('the pods', async () => (await seenIn(cgroups.of(last, freshId()))).includes(' p'))

    const all = pods.flatMap((pod, n) =>
      Object.values(pod.containers).map((id, i) => ({ pod, n, id, name: `${n}-${i}` })),
    )
    // Mixed, and in the same order each time.
    const step = [37, 41].find((prime) => all.length % prime !== 0) ?? 1
    const left = all.map((_, i) => all[(step * i) % all.length] ?? assert.fail())
    // kubelet makes a pod's cgroup long before its first process. Here the process starts at once, and may make a call before the agent knows the
    // cgroup.
    const firsts = new Set<string>()
    const gaveUp = async (): Promise<number> => (await agent.metrics()).sum('ktrail_enrichment_gave_up_events_total')
    const start = { unknown: await unknown(), gaveUp: await gaveUp() }
    const load = spawn('sh', ['-c', 'while :; do cat "$1" >/dev/null; done', 'sh', watched], { stdio: 'ignore' })
    const began = performance.now()
    const lines = await agent.during(async () => {
      const run = async (): Promise<void> => {
        for (let next = left.shift(); next !== undefined; next = left.shift()) {
          const { pod, n, id, name } = next
          // The API server is away for a quarter of the time; then it has forgotten the changes that it sent.
          if (left.length === Math.floor(all.length / 2)) goAway()
          if (left.length === Math.floor(all.length / 4)) away = false
          const cgroup = join(TOP, `pod${pod.uid}`, id)
          if (mkdirSync(cgroup, { recursive: true }) !== cgroup) firsts.add(name)
          writeFileSync(`${churned}${name}`, 'x')
          const script = 'echo $$ > "$1/cgroup.procs"; exec cat "$2"'
          const ends = promisify(execFile)('sh', ['-c', script, 'sh', cgroup, `${churned}${name}`])
          if (!known(n)) change('ADDED', pod)
          await ends
          rmdirSync(cgroup)
          // The pod ends with the last of its containers.
          if (!left.some((other) => other.pod === pod)) change('DELETED', pod)
        }
      }
      await Promise.all([run(), run(), run(), run()])
    })
    const seconds = (performance.now() - began) / 1000
    load.kill()
    for (const { uid } of pods) rmdirSync(join(TOP, `pod${uid}`))
    const hits = lines.flatMap((found) => {
      const { process_kprobe: hit } = found
      const file = hit?.args?.[0]?.file_arg?.path ?? ''
      // This program writes them.
      if (!file.startsWith(churned) || processOf(found).pid === process.pid) return []
      const of = all.find(({ name }) => churned + name === file) ?? assert.fail(file)
      return [{ of, policy: hit?.policy_name ?? '', pod: processOf(found).pod, docker: processOf(found).docker }]
    })

    // Events name the container by its cgroup always, and the pod unless it was not known yet.
    const named = ({ of, pod, docker }: (typeof hits)[number]): string => {
      if (docker !== of.id.slice(0, 31)) return 'wrong'
      if (pod === undefined) return 'unknown'
      const { uid, container } = pod as { uid?: string; container?: { id?: string } }
      if (uid !== of.pod.uid) return 'wrong'
      if (container === undefined) return 'unknown'
      return container.id === `containerd://${of.id}` ? 'right' : 'wrong'
    }
    const events = hits.filter(({ policy }) => policy === 'any')
    const count = (what: string): number => events.filter((each) => named(each) === what).length
    const chosen = hits.filter(({ policy }) => policy !== 'any')
    const seen = new Set(chosen.map(({ of }) => of))
    const unseen = all.filter((each) => !seen.has(each))
    const counted = { unknown: (await unknown()) - start.unknown, gaveUp: (await gaveUp()) - start.gaveUp }
    t.diagnostic(
      `${all.length} containers of ${pods.length} pods in ${Math.round(seconds)} s: ${count('right')} events name the right container, ${count('wrong')} a wrong one, ` +
        `${count('unknown')} none; policies did not see ${unseen.length}. Counted: ${counted.gaveUp} events, ${counted.unknown} calls`,
    )
    assert.equal(new Set(events.map(({ of }) => of.name)).size, all.length, 'every container was seen')
    const texts = (which: (each: (typeof hits)[number]) => boolean, of: readonly (typeof hits)[number][]): string[] =>
      of.filter(which).map((each) => `${each.of.name} ${each.policy} ${each.docker} ${JSON.stringify(each.pod)}`)
    assert.deepEqual(
      texts((each) => named(each) === 'wrong', events),
      [],
    )
    assert.deepEqual(
      texts((each) => known(each.of.n) && named(each) !== 'right', events),
      [],
    )

    // Each policy saw calls of its own pods only, and none of these is missing.
    assert.deepEqual(
      texts(({ policy, of }) => policy !== kinds[of.n % 2], chosen),
      [],
    )
    assert.deepEqual(
      unseen.filter(({ n, name }) => known(n) && !firsts.has(name)).map(({ name }) => name),
      [],
      'every container of the pods that were known, but for the first, which count',
    )
    assert.ok(count('unknown') <= counted.gaveUp)
    assert.ok(unseen.length <= counted.unknown)
    for (const name of [...kinds, 'any']) await agent.withdraw(name)
    // The watch continues.
    const next: TestPod = { ...WEB, name: 'next', uid: uidOf(4), containers: { main: freshId() } }
    change('ADDED', next)
    await agent.until(
      'the next pod',
      async () => (await seenIn(cgroups.of(next, next.containers['main'] ?? ''))) === OF_MAIN,
    )
  })

  test('workloads: test accesses find the hooks working, although one hook remembers the agent’s cgroup', () => {
    // Tests above stop the agent.
    assert.deepEqual(
      agent.log().filter(({ msg }) => msg?.startsWith('tampering: ') && !msg.startsWith('tampering: the agent: ')),
      [],
    )
  })

  test('workloads: more cgroups of the host than the table holds: pods and the host stay what they are, and memory returns', async (t) => {
    const restBytes = memoryOf(agent.pid).privateBytes
    const counted = await unknown()
    const flood = cgroups.make('flood')
    const names = Array.from({ length: OF_HOST + 500 }, (_, i) => join(flood, `session-${i}.scope`))
    await eachWhileAlive(names, (name) => mkdirSync(name))
    const [last = ''] = names.slice(-1)
    assert.equal(await seenIn(last), 'all h hc hp hpc', 'beyond the table')
    const pod: TestPod = { ...WEB, name: 'flooded', uid: uidOf(5), containers: { main: freshId() } }
    change('ADDED', pod)
    const inPod = cgroups.of(pod, pod.containers['main'] ?? '')
    await agent.until('a pod that comes during the flood', async () => (await seenIn(inPod)) === OF_MAIN)
    const reads = await agent.during(() => burst(['pread', watched, READS, 1]))
    assert.equal(reads.filter(({ process_kprobe: hit }) => hit?.policy_name === 'all').length, READS)
    assert.equal(await unknown(), counted)
    const fullMs = await livez(agent)
    await eachWhileAlive(names, (name) => rmdirSync(name))
    await agent.settled()
    await agent.until('memory to return', () => memoryOf(agent.pid).privateBytes <= 1.2 * restBytes + REST_SLACK_BYTES)
    t.diagnostic(`${names.length} cgroups; /livez took ${Math.round(fullMs)} ms; ${restBytes >> 20} MiB before`)
  })

  const long =
    process.env['KTRAIL_LONG'] === '1' ? false : 'KTRAIL_LONG=1 makes 16,384 cgroups of pods, which takes half a minute'
  test(
    'workloads: with a full table a new pod is unknown, counted; a pod that is made when the table has room is known',
    { skip: long },
    async () => {
      const names = Array.from({ length: ALL }, (_, i) => join(TOP, `pod${uidOf(1_000 + i)}`))
      const pods = [6, 7].map((n): TestPod => ({
        ...WEB,
        name: `late-${n}`,
        uid: uidOf(n),
        containers: { main: freshId() },
      }))
      for (const pod of pods) change('ADDED', pod)
      const [beyond, later] = pods.map((pod) => () => cgroups.of(pod, pod.containers['main'] ?? ''))
      await eachWhileAlive(names, (name) => mkdirSync(name))
      await agent.settled()
      const counted = await unknown()
      assert.equal(await seenIn(beyond?.()), 'all')
      assert.ok((await unknown()) > counted)
      assert.equal(await seenIn(), 'all h hc hp hpc')
      await eachWhileAlive(names, (name) => rmdirSync(name))
      await agent.settled()
      assert.equal(await seenIn(later?.()), OF_MAIN)
    },
  )

  test('workloads: policies come and go', async () => {
    const cgroup = cgroups.of(WEB, side)
    await agent.withdraw('p')
    assert.equal(await seenIn(cgroup), 'all alone hp ns')
    // It takes the room of the one that is gone.
    assert.equal(
      await agent.apply('other', policyFor('other', { podSelector: { matchLabels: { app: 'db' } } })),
      'added',
    )
    assert.equal(await seenIn(cgroup), 'all alone hp ns')
    assert.equal(await seenIn(cgroups.of(OTHER, ofOther)), 'all by c hc other')
    assert.equal(await agent.apply('p', POLICIES['p'] ?? ''), 'added')
    assert.equal(await seenIn(cgroup), OF_SIDE)
    const page = await agent.metrics()
    assert.equal(page.sum('ktrail_accounting_imbalance_events'), 0)
    // Calls in the pod match the policy for pods in this namespace.
    assert.ok(page.sum('ktrail_namespace_events_total', { policy: 'p', namespace: WEB.namespace }) > 0)
    assert.equal(page.sum('ktrail_namespace_events_total', { namespace: '' }), 0)
  })
})
