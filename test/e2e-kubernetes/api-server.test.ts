/** The whole agent with a real API server, which runs beside the guest (test/support/kubernetes/beside-guest.ts). */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { after, before } from 'node:test'
import { fileURLToPath } from 'node:url'
import { TestAgent, cannotRun, freshFolder } from '../e2e/support/agent.ts'
import { fileHook, path, policy } from '../e2e/support/policy.ts'
import type { Line } from '../e2e/support/record.ts'
import { startCluster } from '../support/kubernetes/guest-cluster.ts'
import { established } from '../support/kubernetes/server.ts'
import { NODE, filenameAccess } from './filename-access.ts'
import type { WatchedAgent } from './filename-access.ts'
import { otherRuntimes } from './runtimes.ts'

const at = (file: string): string => fileURLToPath(new URL(`../../${file}`, import.meta.url))
const CRDS = ['cilium.io', 'ktrail.dev'].flatMap((group) =>
  ['tracingpolicies', 'tracingpoliciesnamespaced'].flatMap((kind) => ['-f', at(`deploy/crds/${kind}.${group}.yaml`)]),
)
/** The verifier takes long in a guest. */
const LIBRARY_MS = 300_000
const cluster = await startCluster(cannotRun())
const skip = 'missing' in cluster ? cluster.missing : false
const folder = skip === false ? freshFolder('kubernetes') : '/none'
const server = 'missing' in cluster ? undefined : cluster
after(async () => server?.[Symbol.asyncDispose]())

async function kubectl(...args: string[]): Promise<string> {
  assert.ok(server)
  const { code, stdout, stderr } = await server.kubectl(args)
  assert.equal(code, 0, stderr)
  return stdout
}

const watched = join(folder, 'watched')
const OF_CLUSTER = policy('of-cluster', [fileHook([path('Equal', watched)])])
let agent: TestAgent

before(async () => {
  if (server === undefined) return
  writeFileSync(watched, 'x')
  await kubectl('apply', '--server-side', ...CRDS)
  await established(server)
  await server.apply(OF_CLUSTER)
  agent = await TestAgent.start({
    config: {
      node_name: NODE,
      kubernetes: { kubeconfig: server.kubeconfig, policies: true, pods: true, pod_wait: '60s' },
    },
  })
})
after(() => agent?.[Symbol.asyncDispose]())

/** Waits until the log has this text about the policy, at least `times` times. */
const logged = (text: string, of: string, times = 1, ms?: number): Promise<true> =>
  agent.until(
    `${text}: ${of}`,
    () => agent.log().filter(({ msg, policy: about }) => msg === text && about === of).length >= times,
    ms,
  )

const page: WatchedAgent = {
  events: (words) => spawn(at('ktrail'), ['events', ...words], { stdio: ['ignore', 'pipe', 'pipe'] }),
  until: (what, look) => agent.until(what, look),
  logged,
  lines: () => agent.lines(),
  metrics: () => agent.metrics(),
}

test('kubernetes: the page on filename access, from kubectl apply to silence', { skip }, async (t) => {
  assert.ok(server)
  await filenameAccess(t, server, page)
})

test('kubernetes: containers of other runtimes', { skip }, async (t) => {
  assert.ok(server)
  await otherRuntimes(t, server, page)
})

test('kubernetes: policies are followed while the clock of the node is wrong', { skip }, async (t) => {
  assert.ok(server)
  if (!process.env['KTRAIL_GUEST']) return t.skip('it sets the clock: run in a guest')
  const shift = (hours: string): void => void execFileSync('date', ['--set', hours])
  try {
    for (const [i, hours] of ['+1 hour', '-2 hours'].entries()) {
      shift(hours)
      const name = `skewed-${i}`
      await server.apply(policy(name, [fileHook([path('Equal', watched)])]))
      await logged('policy added', name)
      const hit = ({ process_kprobe: found }: Line): boolean => found?.policy_name === name
      assert.ok((await agent.during(() => execFileSync('cat', [watched]))).some(hit))
      await kubectl('delete', 'tracingpolicy', name)
      await logged('policy removed', name)
    }
  } finally {
    shift('+1 hour')
  }
})

test(
  'kubernetes: the library as objects is attached by kubectl apply, and detached by kubectl delete',
  { skip },
  async (t) => {
    assert.ok(server)
    const objects = execFileSync(at('ktrail'), ['policy', 'show', 'library:kubernetes'], { encoding: 'utf8' })
    const names = Array.from(objects.matchAll(/^  name: (\S+)$/gm), ([, name = '']) => name)
    assert.ok(names.includes('setuid-files'))
    const hits = async (): Promise<number> =>
      (await agent.during(() => execFileSync('chmod', ['4755', watched]))).filter(
        (line) => line.process_kprobe?.policy_name === 'setuid-files',
      ).length
    const all = async (text: string): Promise<void> => {
      const began = performance.now()
      await Promise.all(names.map((name) => logged(text, name, 1, LIBRARY_MS)))
      t.diagnostic(`${text}: ${names.length} in ${Math.round(performance.now() - began)} ms`)
    }
    await server.apply(objects)
    await all('policy added')
    assert.ok((await hits()) >= 1)
    const { code, stderr } = await server.kubectl(['delete', '-f', '-'], objects)
    assert.equal(code, 0, stderr)
    await all('policy removed')
    assert.equal(await hits(), 0)
  },
)

test(
  'kubernetes: kubectl apply attaches a policy of the running agent, kubectl delete detaches it',
  { skip },
  async () => {
    assert.ok(server)
    const read = (): unknown => execFileSync('cat', [watched])
    const hits = async (): Promise<number> =>
      (await agent.during(read)).filter((line) => line.process_kprobe?.policy_name === 'of-cluster').length

    // It was there at the start: the agent is ready with it, unless the API server takes longer than a start waits.
    await logged('policy added', 'of-cluster')
    assert.ok((await hits()) >= 1)
    await kubectl('delete', 'tracingpolicy', 'of-cluster')
    await logged('policy removed', 'of-cluster')
    assert.equal(await hits(), 0)
    await server.apply(OF_CLUSTER)
    await logged('policy added', 'of-cluster', 2)
    assert.ok((await hits()) >= 1)
    let described = ''
    while (!described.includes('attached')) described = await kubectl('describe', 'tracingpolicy', 'of-cluster')
    assert.match(described, /Normal +Attached +\S+ +ktrail +node-1: attached, 1 hook\n/)

    await server.pause()
    const stays = 'policies of the API server stay as they are'
    await agent.until(stays, () => agent.log().some(({ msg }) => msg?.includes(stays)))
    assert.ok((await hits()) >= 1)
    assert.equal((await agent.stop()).code, 0)
    // Other files of this run use the same one.
    await server.resume()
    await kubectl('delete', 'tracingpolicy', 'of-cluster')
  },
)
