/**
 * Containers as runtimes report them. The hook of a runtime announces a container before its first program runs (real runc and crun, with and
 * without an agent). The API of a runtime names it; here it answers as Docker's. A real Docker daemon: test/integration-host/runtimes.
 */
import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import test, { after, before, describe } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { TestAgent, cannotRun, freshFolder, ktrail } from '../support/agent.ts'
import { processOf } from '../support/record.ts'
import type { Line } from '../support/record.ts'

const skip = cannotRun()
const folder = skip === false ? freshFolder('runtimes') : '/none'
const BUSYBOX = '/bin/busybox'
const UID = '1c9a7f0e-5f6d-4a6e-9a55-0d1c4f0b8a11'
const KTRAIL = fileURLToPath(new URL('../../../ktrail', import.meta.url))
const HOOK = JSON.parse(readFileSync(new URL('../../../deploy/oci-hook/ktrail.json', import.meta.url), 'utf8')).hook
/** The hook's command; tests replace the parts that do not fit a slow guest without /usr/bin/ktrail. */
const SHELL: string = HOOK.args[2]
const COMMAND = 'timeout --kill-after=1 4 /usr/bin/ktrail oci-hook'
const HOOK_LOG = join(folder, 'hook.log')
const SOCKET = join(folder, 'docker.sock')

let made = 0
const freshId = (): string => `${made++}b`.padEnd(64, '0123456789abcdef')

/** Runs busybox as the container's only program, with the hook; returns how long it took. */
async function run(
  runtime: string,
  id: string,
  cgroupsPath: string,
  annotations: Record<string, string> = {},
  command: string = `timeout 60 ${KTRAIL} oci-hook --log ${HOOK_LOG}`,
): Promise<number> {
  const at = freshFolder('bundle')
  for (const name of ['bin', 'proc', 'dev', 'sys']) mkdirSync(join(at, 'rootfs', name), { recursive: true })
  copyFileSync(BUSYBOX, join(at, 'rootfs', BUSYBOX))
  execFileSync('runc', ['spec'], { cwd: at })
  const config = JSON.parse(readFileSync(join(at, 'config.json'), 'utf8'))
  config.process.terminal = false
  config.process.args = [BUSYBOX, 'true']
  config.linux.cgroupsPath = cgroupsPath
  config.annotations = annotations
  config.hooks = { createRuntime: [{ ...HOOK, args: ['sh', '-c', SHELL.replace(COMMAND, command)], timeout: 90 }] }
  writeFileSync(join(at, 'config.json'), JSON.stringify(config))
  const startMs = performance.now()
  // Not synchronous: the runtime's API in this process has to answer meanwhile.
  await promisify(execFile)(runtime, ['run', id], { cwd: at })
  return performance.now() - startMs
}

const notes = (): string => (existsSync(HOOK_LOG) ? readFileSync(HOOK_LOG, 'utf8') : '')
const execOf = (lines: readonly Line[], id: string): Line => {
  const isFirst = (line: Line): boolean =>
    line.process_exec !== undefined && processOf(line).binary === BUSYBOX && processOf(line).docker === id.slice(0, 31)
  return lines.find(isFirst) ?? assert.fail(`no exec in ${id}`)
}

describe('runtimes', { skip }, () => {
  test('runtimes: deploy/ has the tested hook', () => assert.ok(SHELL.includes(COMMAND)))

  let agent: TestAgent
  const asked: string[] = []
  const names = new Map<string, string>()
  const docker = createServer((request, response) => {
    response.setHeader('api-version', '1.41')
    const path = decodeURIComponent(request.url ?? '')
    asked.push(path)
    const found = [...names].filter(([id]) => path.includes(id.slice(0, 31)))
    const list = found.map(([Id, name]) => ({ Id, Names: [`/${name}`], Image: 'busybox:1', ImageID: 'x', Labels: {} }))
    response.end(path === '/_ping' ? 'OK' : JSON.stringify(list))
  })

  before(async () => {
    await new Promise<void>((resolve) => docker.listen(SOCKET, resolve))
    agent = await TestAgent.start({
      config: { containers: { sockets: [SOCKET] } },
      archive: { envelope: true },
      exporters: { screen: { type: 'stdout', format: 'compact' } },
    })
    // The first client loads the API, which takes longer than the hook waits in a guest.
    assert.equal((await ktrail(['policy', 'list'])).code, 0)
  })
  after(async () => {
    docker.close()
    await agent?.[Symbol.asyncDispose]()
  })

  for (const runtime of ['runc', 'crun']) {
    test(`runtimes: ${runtime} announces a container, its cgroup and its pod before its first program`, async (t) => {
      const id = freshId()
      const cgroup = `/kubepods/besteffort/pod${UID}/${id}`
      const annotations = { 'io.kubernetes.cri.container-name': 'main', 'io.kubernetes.cri.sandbox-uid': UID }
      const lines = await agent.during(async () => {
        t.diagnostic(`${runtime} with the hook took ${Math.round(await run(runtime, id, cgroup, annotations))} ms`)
      })
      assert.equal(notes(), '')
      const logged = (await agent.until('the line of the log', () =>
        agent
          .log()
          .find(({ msg, ...line }) => msg === 'a runtime announced a container' && Object.values(line).includes(id)),
      )) as Readonly<Record<string, unknown>>
      assert.deepEqual([logged['cgroup'], logged['used']], [cgroup, true])
      const { time } = execOf(lines, id) as { readonly time?: string }
      assert.ok(Number(logged['time']) <= Date.parse(time ?? ''), `${String(logged['time'])} is after ${time}`)
    })
  }

  test('runtimes: a container has its name from its first event on, in the envelope and in compact lines', async () => {
    const id = freshId()
    names.set(id, 'web')
    const lines = await agent.during(() => run('runc', id, `/docker/${id}`))
    const first = execOf(lines, id) as { readonly ktrail?: { readonly container?: object } }
    assert.deepEqual(first.ktrail?.container, { id, name: 'web', image: 'busybox:1', image_id: 'x' })
    await agent.until('the compact line', () =>
      agent.stdout().some((line) => line === `🚀 process web ${BUSYBOX} true`),
    )
    // The hook caused the only request for it.
    assert.equal(asked.filter((path) => path.includes(id.slice(0, 31))).length, 1)
    // Events of a container that the runtime does not know are sent without a name, and later ones do not wait.
    const other = freshId()
    const more = await agent.during(() => run('runc', other, `/docker/${other}`))
    assert.equal('container' in ((execOf(more, other) as { ktrail?: object }).ktrail ?? {}), false)
    assert.equal(processOf(execOf(more, other)).docker, other.slice(0, 31))
  })

  test('runtimes: a container starts even if the agent hangs or is absent; the hook logs a line', async (t) => {
    process.kill(agent.pid, 'SIGSTOP')
    const hanging = freshId()
    t.diagnostic(`while it hangs: ${Math.round(await run('runc', hanging, `/docker/${hanging}`))} ms`)
    process.kill(agent.pid, 'SIGCONT')
    await agent.kill()
    const away = freshId()
    await run('runc', away, `/docker/${away}`)
    // Nor does it take a ktrail.
    await run('runc', freshId(), `/docker/${freshId()}`, {}, COMMAND)
    const lines = notes().trimEnd().split('\n')
    assert.match(lines[0] ?? '', new RegExp(`ktrail oci-hook: container ${hanging} starts without an announcement`))
    assert.match(lines[1] ?? '', new RegExp(`container ${away} starts without .*asking unix:.*E(NOENT|CONNREFUSED)`))
    assert.equal(lines.length, 2)
  })
})
