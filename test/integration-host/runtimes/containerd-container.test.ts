/** A real containerd names the containers of its CRI API by the ids that records have. It is not installed: engine.sh fetches it. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Runtimes } from '../../../collector/runtimes/runtimes.ts'
import { engines } from '../../support/containers/engines.ts'
import { writeImage } from './support/image.ts'
import { Kubelet } from './support/kubelet.ts'

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
const IMAGE = 'docker.io/ktrail/busybox:1'
const CGROUP = '/ktrail-test-cri'

test('containerd: names, images and labels of its containers', { timeout: 700_000 }, async (t) => {
  const found = await engines()
  if ('missing' in found) return t.skip(found.missing)
  const folder = mkdtempSync(join(tmpdir(), 'ktrail-containerd-'))
  writeImage(folder, IMAGE)
  const inside = ['--mount', '--pid', '--fork', '--kill-child', '--mount-proc']
  const daemon = spawn('unshare', [...inside, at('support/containerd.sh'), found.folder, folder], {
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  const ended = once(daemon, 'exit')
  t.after(async () => {
    daemon.stdin.end()
    await ended
    rmSync(folder, { recursive: true })
    execFileSync('find', [
      '/sys/fs/cgroup',
      '-depth',
      '-type',
      'd',
      '-path',
      `*${CGROUP}*`,
      '-exec',
      'rmdir',
      '{}',
      '+',
    ])
  })
  const isReady = await Promise.race([once(daemon.stdout, 'data').then(() => true), ended.then(() => false)])
  assert.ok(isReady, isReady ? '' : readFileSync(join(folder, 'log'), 'utf8').slice(-2000))

  const socket = join(folder, 's')
  using kubelet = new Kubelet(socket)
  const pod = await kubelet.pod(CGROUP)
  const labels = { 'io.kubernetes.pod.name': 'web', other: 'x' }
  const id = await kubelet.container(pod, CGROUP, { name: 'main', image: IMAGE, labels })

  const lines: string[] = []
  const log = {
    info: (fields: object) => void lines.push(JSON.stringify(fields)),
    warn: (text: string) => void lines.push(text),
  }
  using runtimes = new Runtimes({
    config: { sockets: [socket], labels: ['io.kubernetes.pod.name'] },
    log: log as never,
  })
  await runtimes.start()
  assert.deepEqual(lines, [JSON.stringify({ runtime: 'containerd', socket })])
  const startMs = performance.now()
  await runtimes.lookup(id.slice(0, 31))
  t.diagnostic(`asked in ${Math.round(performance.now() - startMs)} ms`)
  const named = runtimes.lookup(id.slice(0, 31))
  assert.ok(named !== undefined && !(named instanceof Promise), lines.join())
  const { imageId, ...rest } = named
  assert.match(imageId, /^(?:.*@)?sha256:[0-9a-f]{64}$/)
  assert.deepEqual(rest, { id, name: 'main', image: IMAGE, labels: { 'io.kubernetes.pod.name': 'web' } })
  // This API does not list the pause container.
  await runtimes.lookup(pod.slice(0, 31))
  assert.equal(runtimes.lookup(pod.slice(0, 31)), undefined)
  assert.equal(lines.length, 1)
  await kubelet.remove(pod)
})
