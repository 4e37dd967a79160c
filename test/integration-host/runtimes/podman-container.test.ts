/** A real podman names its containers over the API that Docker has, by the ids that records have. It is not installed: engine.sh fetches it. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { Runtimes } from '../../../collector/runtimes/runtimes.ts'
import { engines } from '../../support/containers/engines.ts'
import { until } from '../../e2e/support/wait.ts'

test('podman: names and labels of its containers', { timeout: 700_000 }, async (t) => {
  const found = await engines()
  if ('missing' in found) return t.skip(found.missing)
  const folder = mkdtempSync(join(tmpdir(), 'ktrail-podman-'))
  const at = (name: string): string => join(folder, name)
  const own = ['--root', at('root'), '--runroot', at('run'), '--tmpdir', at('tmp'), '--storage-driver=vfs']
  const ways = ['--cgroup-manager=cgroupfs', '--events-backend=none', '--runtime=crun']
  const words = [...own, ...ways, '--conmon', join(found.folder, 'usr/bin/conmon')]
  const socket = at('s')
  const program = join(found.folder, 'run')
  const service = spawn(program, ['podman', ...words, 'system', 'service', '--time=0', `unix://${socket}`], {
    stdio: 'ignore',
  })
  const ended = once(service, 'exit')
  t.after(async () => {
    service.kill()
    await ended
    rmSync(folder, { recursive: true, force: true })
  })
  await until('the API of podman', () => existsSync(socket))

  mkdirSync(at('rootfs'))
  // Containers are created, not run.
  const create = ['create', '--network=host', '--name=ktrail-names', '--label=a.b=web', '--env=PASSWORD=secret']
  const options = { encoding: 'utf8' } as const
  const made = execFileSync(program, ['podman', ...words, ...create, '--rootfs', at('rootfs'), '/none'], options)
  const id = made.trim()

  const lines: string[] = []
  const log = {
    info: (fields: object) => void lines.push(JSON.stringify(fields)),
    warn: (text: string) => void lines.push(text),
  }
  using runtimes = new Runtimes({ config: { sockets: [socket], labels: ['a.b'] }, log: log as never })
  await runtimes.start()
  assert.deepEqual(lines, [JSON.stringify({ runtime: 'podman', socket })])
  const startMs = performance.now()
  await runtimes.lookup(id.slice(0, 31))
  t.diagnostic(`asked in ${Math.round(performance.now() - startMs)} ms`)
  const named = runtimes.lookup(id.slice(0, 31))
  // A container made from a folder has no image.
  assert.deepEqual(named, { id, name: 'ktrail-names', image: '', imageId: '', labels: { 'a.b': 'web' } })
  await runtimes.lookup('f'.repeat(31))
  assert.equal(runtimes.lookup('f'.repeat(31)), undefined)
  assert.equal(lines.length, 1)
})
