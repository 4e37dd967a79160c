/**
 * The whole agent with the policies of a real API server: kubectl apply, hits, kubectl delete, silence. Only by `make kubernetes`: the API server
 * takes minutes in an emulated guest.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { after } from 'node:test'
import { ApiServer, kubernetesPrograms } from '../support/kubernetes/server.ts'
import { TestAgent, cannotRun, freshFolder } from '../e2e/support/agent.ts'
import { fileHook, path, policy } from '../e2e/support/policy.ts'

const CRD = new URL('../../deploy/crds/tracingpolicies.cilium.io.yaml', import.meta.url).pathname
const NAMESPACED = new URL('../../deploy/crds/tracingpoliciesnamespaced.cilium.io.yaml', import.meta.url).pathname
const programs = await kubernetesPrograms()
const skip = cannotRun() || ('missing' in programs ? programs.missing : false)
const folder = skip === false ? freshFolder('kubernetes') : '/none'
const server = skip === false && 'folder' in programs ? await ApiServer.start(programs.folder) : undefined
after(async () => server?.[Symbol.asyncDispose]())

test(
  'kubernetes: kubectl apply attaches a policy of the running agent, kubectl delete detaches it',
  { skip },
  async () => {
    assert.ok(server)
    const kubectl = async (...args: string[]): Promise<string> => {
      const { code, stdout, stderr } = await server.kubectl(args)
      assert.equal(code, 0, stderr)
      return stdout
    }
    const file = join(folder, 'watched')
    writeFileSync(file, 'x')
    const read = (): unknown => execFileSync('cat', [file])
    const document = policy('of-cluster', [fileHook([path('Equal', file)])])
    await kubectl('apply', '--server-side', '-f', CRD, '-f', NAMESPACED)
    await kubectl('wait', '--for=condition=Established', '--timeout=60s', 'crd', '--all')
    await server.apply(document)

    const config = { kubernetes: { policies: true, kubeconfig: server.kubeconfig }, node_name: 'node-1' }
    await using agent = await TestAgent.start({ config })
    const hits = async (): Promise<number> =>
      (await agent.during(read)).filter((line) => line.process_kprobe?.policy_name === 'of-cluster').length
    const logged = (text: string, times = 1): Promise<true> =>
      agent.until(text, () => agent.log().filter(({ msg }) => msg?.includes(text)).length >= times)

    // It was there at the start: the agent is ready with it.
    assert.ok((await hits()) >= 1)
    await kubectl('delete', 'tracingpolicy', 'of-cluster')
    await logged('policy removed')
    assert.equal(await hits(), 0)
    await server.apply(document)
    await logged('policy added', 2)
    assert.ok((await hits()) >= 1)
    let described = ''
    while (!described.includes('attached')) described = await kubectl('describe', 'tracingpolicy', 'of-cluster')
    assert.match(described, /Normal +Attached +\S+ +ktrail +node-1: attached, 1 hook\n/)

    await server.pause()
    await logged('policies of the API server stay as they are')
    assert.ok((await hits()) >= 1)
    assert.equal((await agent.stop()).code, 0)
  },
)
