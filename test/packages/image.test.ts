/** The container image: built on a Debian image, run by an engine, and its root file system on a real kernel. */
import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import path from 'node:path'
import { after, test } from 'node:test'
import { promisify } from 'node:util'
import { findEngine } from '../support/containers/engine.ts'
import { imageOf } from '../support/containers/images.ts'
import { debianPackage } from '../support/guest/built-packages.ts'
import { ROOT, SCRATCH, eventsIn, run } from '../support/guest/fresh-root.ts'
import { choosePolicy } from '../support/guest/own-policy.ts'
import { notToday } from '../support/long.ts'

const IMAGE = 'ktrail:test'
const PAGE = readFileSync(path.join(ROOT, 'docs/start/container.md'), 'utf8')
/** The command of the page, and the one for Docker 20.10, which the page describes by a replacement. */
const [COMMAND = ''] = /^docker run [^`]*/m.exec(PAGE) ?? []
const [, inPlace = '', replaced = ''] = /use `([^`]+)` in place of `([^`]+)`/.exec(PAGE) ?? []
const OLD_COMMAND = COMMAND.replace(replaced, inPlace)

/** Rights as setpriv takes them. */
const rightsOf = (command: string): string =>
  ['-all', ...[...command.matchAll(/--cap-add (\w+)/g)].map(([, name = '']) => `+${name.toLowerCase()}`)].join()

const found = await findEngine()
after(async () => {
  if ('engine' in found) await found.engine[Symbol.asyncDispose]()
})

/** A Debian 12 with bash and libstdc++6, as debian:bookworm-slim is. */
const base = {
  name: 'ktrail-test-debian',
  entrypoint: ['/bin/bash'],
  inputs: ['bookworm'],
  async fill(folder: string): Promise<void> {
    const fresh = run('test/support/guest/root.sh', ['bookworm']).trim()
    run('sh', ['-c', `tar -C "$0" --exclude=./opt --exclude=./var/cache/apt -c . | tar -C "$1" -x`, fresh, folder])
  },
}

const docker = (...args: string[]): string => run('docker', args)
const inImage = (...command: string[]): string => docker('run', '--rm', '--network=host', IMAGE, ...command)

/** Runs a command of the page, which shows its capabilities instead; its folders of the host are in `folder`. Returns the output. */
function runAs(command: string, folder: string): string {
  const line = command
    .replace('--detach --name ktrail --restart unless-stopped', '--rm --entrypoint cat')
    .replaceAll(/--volume (\/\S*\/ktrail):/g, `--volume ${folder}$1:`)
    .replace(/ktrail:\d\S*/, `${IMAGE} /proc/self/status`)
  const shown = shell(line)
  if (!shown.includes('error setting rlimit')) return shown
  console.log('image: without --ulimit: root of this machine may not raise limits (CAP_SYS_RESOURCE)')
  return shell(line.replace('--ulimit rtprio=1', ''))
}

function shell(line: string): string {
  const { stdout, stderr } = spawnSync('sh', ['-c', line], { encoding: 'utf8' })
  return stdout + stderr
}

test('image: the health check asks at an IPv6 address', async () => {
  await using server = createServer((_, answer) => void answer.end('ok'))
  server.listen(0, '::1')
  await once(server, 'listening')
  const address = server.address()
  assert.ok(typeof address === 'object')
  await promisify(execFile)('deploy/docker/healthcheck', [`[::1]:${address?.port}`], { cwd: ROOT })
})

/** Builds the image, or with `true` as the builder only its layer. Returns the layer's hash. */
function build(from: string, builder: 'docker' | 'true'): string {
  run('env', [`BASE=${from}`, `DOCKER=${builder}`, 'deploy/docker/image.sh', IMAGE])
  return run('sha256sum', ['build/image/root.tar'])
}

test('image: the same layer each time; it runs, knows its health, and reports an access on a real kernel', async (t) => {
  if ('missing' in found) return t.skip(found.missing)
  try {
    docker('version')
  } catch (error) {
    return t.skip(`this test needs the docker command: ${String(error)}`)
  }
  const chosen = await imageOf(found.engine, 'debian:bookworm-slim', base)
  if ('missing' in chosen) return t.skip(chosen.missing)
  debianPackage()

  const layer = build(chosen.image, 'docker')
  // A builder only unpacks it.
  assert.equal(build(chosen.image, 'true'), layer)

  const { Config: config } = JSON.parse(docker('image', 'inspect', IMAGE))[0]
  assert.deepEqual(config.Healthcheck.Test, ['CMD', '/usr/lib/ktrail/healthcheck'])
  assert.match(config.Labels['org.opencontainers.image.revision'], /^[0-9a-f]{40}$|^unknown$/)
  assert.match(inImage('version'), /^ktrail \d+\.\d+\.\d+/)
  inImage('check', '/etc/ktrail/ktrail.yaml', 'library:default')
  const sbom = JSON.parse(
    docker('run', '--rm', '--network=host', '--entrypoint=cat', IMAGE, '/usr/share/ktrail/sbom.cdx.json'),
  )
  assert.ok(sbom.components.some(({ name }: { name: string }) => name === 'kafkajs'))

  mkdirSync(SCRATCH, { recursive: true })
  const folder = mkdtempSync(path.join(SCRATCH, 'image-'))
  try {
    const container = docker('create', '--network=host', IMAGE).trim()
    run('sh', ['-c', 'docker export "$0" | tar -C "$1" -x', container, folder])
    docker('rm', container)
    // ktrail's own config prints the events.
    const own = path.join(folder, 'usr/lib/ktrail/dist/config')
    choosePolicy(path.join(own, 'ktrail.yaml'), path.join(own, 'policies'), path.join(own, 'policies'))
    const host = mkdtempSync(path.join(folder, 'host-'))
    const shown = runAs(COMMAND, host)
    // Docker 20.10 as Debian has it.
    if (!shown.includes('invalid CapAdd: unknown capability')) assert.match(shown, /^CapEff:\t000000c400080000$/m)
    assert.match(runAs(OLD_COMMAND, host), /^CapEff:\t0000000400280000$/m)
    rmSync(host, { recursive: true })

    const kernels = [
      ['6.12', COMMAND, '-all,+bpf,+perfmon,+sys_ptrace,+syslog'],
      // Debian 12 with its own Docker.
      ['6.1', OLD_COMMAND, '-all,+sys_admin,+sys_ptrace,+syslog'],
    ] as const
    for (const [part, [kernel, command, rights]] of kernels.entries()) {
      assert.equal(rightsOf(command), rights)
      const without = notToday(part, kernels.length)
      if (without !== false) {
        t.diagnostic(`no boot of ${kernel}: ${without}`)
        continue
      }
      const events = eventsIn(
        kernel,
        folder,
        'setpriv',
        `--bounding-set=${rights}`,
        '/usr/bin/ktrail',
        'run',
        '--config',
        '/usr/lib/ktrail/dist/config/ktrail.yaml',
      )
      assert.match(events, /read {4}\S+ \S*\/cat \/etc\/passwd/)
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
    docker('image', 'rm', '--force', IMAGE)
  }
})
