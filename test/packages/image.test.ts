/** The container image: built on a Debian image, run by an engine, and its root file system on a real kernel. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { after, test } from 'node:test'
import { findEngine } from '../support/containers/engine.ts'
import { imageOf } from '../support/containers/images.ts'
import { debianPackage } from '../support/guest/built-packages.ts'
import { ROOT, SCRATCH, eventsIn, run } from '../support/guest/fresh-root.ts'

const IMAGE = 'ktrail:test'
/** What the page gives a container. */
const PAGE = readFileSync(path.join(ROOT, 'docs/install/container.md'), 'utf8')
const [LINE = ''] = /^docker run [^`]*/m.exec(PAGE) ?? []
const RIGHTS = [
  '-all',
  ...[...LINE.matchAll(/--cap-add (\w+)/g)].map(([, name = '']) => `+${name.toLowerCase()}`),
].join()

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

function build(from: string): unknown {
  process.env['BASE'] = from
  run('deploy/docker/image.sh', [IMAGE])
  return JSON.parse(docker('image', 'inspect', IMAGE))[0].RootFS.Layers
}

test('image: the same layers each time; it runs, knows its health, and reports an access on a real kernel', async (t) => {
  if ('missing' in found) return t.skip(found.missing)
  try {
    docker('version')
  } catch (error) {
    return t.skip(`this test needs the docker command: ${String(error)}`)
  }
  const chosen = await imageOf(found.engine, 'debian:bookworm-slim', base)
  if ('missing' in chosen) return t.skip(chosen.missing)
  debianPackage()

  const layers = build(chosen.image)
  // Without the engine's cache, which would give the same layers anyway.
  docker('image', 'rm', '--force', IMAGE)
  assert.deepEqual(build(chosen.image), layers)

  const { Config: config } = JSON.parse(docker('image', 'inspect', IMAGE))[0]
  assert.deepEqual(config.Healthcheck.Test, ['CMD', '/usr/lib/ktrail/healthcheck'])
  assert.match(config.Labels['org.opencontainers.image.revision'], /^[0-9a-f]{40}$|^unknown$/)
  assert.match(inImage('version'), /^ktrail \d+\.\d+\.\d+/)
  inImage('check', '/etc/ktrail/ktrail.yaml', '/etc/ktrail/policies')
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
    assert.equal(RIGHTS, '-all,+bpf,+perfmon,+sys_ptrace,+syslog')
    const events = eventsIn(folder, 'setpriv', `--bounding-set=${RIGHTS}`, '/usr/bin/ktrail', 'run')
    assert.match(events, /read {4}\S+ \S*\/cat \/etc\/passwd/)
  } finally {
    rmSync(folder, { recursive: true, force: true })
    docker('image', 'rm', '--force', IMAGE)
  }
})
