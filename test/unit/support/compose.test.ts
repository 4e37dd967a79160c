/** The files of deploy/compose/ fit together, and the programs that read them accept them (docker compose: test/packages). */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import { z } from 'zod'
import { loadConfig } from '../../../config/agent/load.ts'
import { version } from '../../../config/base/own.ts'
import { ROOT, read } from './pages.ts'

const FOLDER = 'deploy/compose'
const compose = z
  .object({
    services: z.record(
      z.string(),
      z.object({
        container_name: z.string(),
        image: z.string(),
        volumes: z.array(z.string()).default([]),
        ports: z.array(z.string()).default([]),
      }),
    ),
    volumes: z.record(z.string(), z.null()),
  })
  .parse(parse(read(`${FOLDER}/compose.yaml`)))
const services = Object.entries(compose.services)

/** Where a service finds a file of ours. */
const mounts = services.flatMap(([service, { volumes }]) =>
  volumes.map((volume) => {
    const [from = '', to = ''] = volume.split(':')
    return { service, from, to }
  }),
)

test('compose: each image has a version, and can be replaced by a variable', () => {
  assert.equal(services.length, 6)
  for (const [service, { image }] of services) {
    assert.match(image, /^\$\{[A-Z]+_IMAGE:-[a-z/]+:v?\d+\.\d+\.\d+\}$/, service)
  }
  assert.equal(compose.services['ktrail']?.image, `\${KTRAIL_IMAGE:-ktrail:${version()}}`)
})

test('compose: containers have the names of the README, and events name theirs', () => {
  for (const [service, { container_name: name }] of services) {
    assert.equal(name, service === 'ktrail' ? service : `ktrail-${service}`)
    // `topics` has ended by then.
    if (service !== 'topics') assert.ok(read(`${FOLDER}/README.md`).includes(`\`${name}\``), name)
  }
  const { containers }: { containers: { sockets: string[] } } = parse(read(`${FOLDER}/ktrail.yaml`))
  const mounted = mounts.filter(({ service }) => service === 'ktrail').map(({ to }) => to)
  assert.deepEqual(containers.sockets, ['/run/docker.sock'])
  assert.ok(mounted.includes('/run/docker.sock'))
})

test('compose: what is mounted exists, and no port is open to other hosts', () => {
  for (const { service, from } of mounts) {
    if (from.startsWith('.')) assert.ok(existsSync(join(ROOT, FOLDER, from)), `${service}: ${from}`)
    else assert.ok(from.startsWith('/') || from in compose.volumes, `${service}: no volume ${from}`)
  }
  for (const port of services.flatMap(([, { ports }]) => ports)) assert.match(port, /^127\.0\.0\.1:/)
})

test('compose: the agent’s config is valid, and every host in it is a service', () => {
  const file = `${FOLDER}/ktrail.yaml`
  const loaded = loadConfig(read(file), file, {}, (path) => read(`${FOLDER}/${path.replace(/^.*ktrail-/, '')}`))
  assert.ok('config' in loaded, JSON.stringify(loaded))
  const names = new Set(Object.keys(compose.services))
  const files = [file, `${FOLDER}/prometheus.yaml`, `${FOLDER}/grafana/datasources.yaml`]
  const hosts = files.flatMap((name) =>
    [...read(name).matchAll(/(?:\/\/|\[)([a-z]+):\d+/g)].map(([, host = '']) => host),
  )
  assert.ok(hosts.length >= 5, hosts.join())
  for (const host of hosts) assert.ok(names.has(host), `no service ${host}`)
})

test('compose: Grafana gets the data sources by the uid of their type, and finds the dashboards', () => {
  const sources = z
    .object({ datasources: z.array(z.object({ uid: z.string(), type: z.string() })) })
    .parse(parse(read(`${FOLDER}/grafana/datasources.yaml`)))
  assert.deepEqual(
    sources.datasources.map(({ uid }) => uid),
    ['loki', 'prometheus'],
  )
  const providers = z
    .object({ providers: z.array(z.object({ options: z.object({ path: z.string() }) })) })
    .parse(parse(read(`${FOLDER}/grafana/dashboards.yaml`)))
  const target = mounts.find(({ from }) => from === '../grafana/dashboards')?.to
  assert.deepEqual(
    providers.providers.map(({ options }) => options.path),
    [target],
  )
})

test('compose: promtool accepts the config of Prometheus', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'ktrail-compose-'))
  t.after(() => rmSync(folder, { recursive: true }))
  copyFileSync(join(ROOT, 'deploy/prometheus/ktrail.rules.yaml'), join(folder, 'ktrail.rules.yaml'))
  copyFileSync(join(ROOT, FOLDER, 'token'), join(folder, 'token'))
  const config = readFileSync(join(ROOT, FOLDER, 'prometheus.yaml'), 'utf8')
  writeFileSync(join(folder, 'prometheus.yml'), config.replace('/run/secrets/ktrail-token', join(folder, 'token')))
  const { error, status, stdout, stderr } = spawnSync('promtool', ['check', 'config', join(folder, 'prometheus.yml')], {
    encoding: 'utf8',
  })
  if (error !== undefined) return t.skip('promtool is missing: deploy/setup/packages.sh test installs it')
  assert.equal(status, 0, stdout + stderr)
})
