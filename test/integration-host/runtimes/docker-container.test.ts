/** A real Docker daemon names its containers: by the ids that records have, from created to removed. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { Readable } from 'node:stream'
import { after, test } from 'node:test'
import { Runtimes } from '../../../collector/runtimes/runtimes.ts'
import type { NamedContainer } from '../../../exporters/contract/event.ts'
import { findEngine } from '../../support/containers/engine.ts'

const found = await findEngine()
after(async () => {
  if ('engine' in found) await found.engine[Symbol.asyncDispose]()
})
const IMAGE = 'ktrail-names:1'

test('docker: names, images and labels of its containers', { timeout: 120_000 }, async (t) => {
  if ('missing' in found) return t.skip(found.missing)
  const socket = (process.env['DOCKER_HOST'] ?? 'unix:///run/docker.sock').replace(/^unix:\/\//, '')
  if (!socket.startsWith('/')) return t.skip(`the docker daemon listens on ${socket}, which is no Unix socket`)
  const { dockerode } = found.engine.client.container
  // An empty image: its containers are created, not run.
  const tar = execFileSync('tar', ['--create', '--file=-', '--files-from=/dev/null'])
  const imported = await dockerode.importImage(Readable.from([tar]) as never, { repo: 'ktrail-names', tag: '1' })
  for await (const _ of imported as AsyncIterable<Buffer>);
  const make = async (name: string): Promise<string> => {
    const labels = { 'com.docker.compose.service': name, other: 'x' }
    const options = { name, Image: IMAGE, Cmd: ['/none'], Env: ['PASSWORD=secret'], Labels: labels }
    return (await dockerode.createContainer(options)).id
  }
  const [web, db] = [await make('ktrail-names-web'), await make('ktrail-names-db')]
  t.after(async () => {
    for (const id of [web, db])
      await dockerode
        .getContainer(id)
        .remove({ force: true })
        .catch(() => {})
    await dockerode.getImage(IMAGE).remove()
  })

  const lines: string[] = []
  const log = {
    info: (fields: object) => void lines.push(JSON.stringify(fields)),
    warn: (text: string) => void lines.push(text),
  }
  let nowMs = 0
  const config = { sockets: [socket], labels: ['com.docker.compose.service'] }
  using runtimes = new Runtimes({ config, log: log as never, nowMs: () => nowMs })
  await runtimes.start()
  assert.deepEqual(lines, [JSON.stringify({ runtime: 'docker', socket })])
  const find = async (id: string): Promise<NamedContainer | undefined> => {
    await runtimes.lookup(id)
    const answer = runtimes.lookup(id)
    return answer instanceof Promise ? assert.fail() : answer
  }
  for (const [id, name] of [
    [web, 'ktrail-names-web'],
    [db, 'ktrail-names-db'],
  ] as const) {
    const startMs = performance.now()
    const named = (await find(id.slice(0, 31))) ?? assert.fail(lines.join())
    t.diagnostic(`asked in ${Math.round(performance.now() - startMs)} ms`)
    const { imageId, ...rest } = named
    assert.match(imageId, /^sha256:[0-9a-f]{64}$/)
    assert.deepEqual(rest, { id, name, image: IMAGE, labels: { 'com.docker.compose.service': name } })
  }
  const unknown = 'f'.repeat(31)
  assert.equal(await find(unknown), undefined)
  // A removed container keeps its name.
  await dockerode.getContainer(web).remove()
  nowMs = 3_600_000
  assert.equal((await find(web.slice(0, 31)))?.name, 'ktrail-names-web')
  assert.equal(lines.length, 1)
})
