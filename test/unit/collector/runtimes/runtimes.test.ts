/** Names of containers from the sockets of runtimes: the kept data, the order of requests; hostile or hanging ones cost little. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { Runtimes } from '../../../../collector/runtimes/runtimes.ts'
import type { NamedContainer } from '../../../../exporters/contract/event.ts'
import { flood } from '../../../support/otlp/server.ts'
import { ID, SHORT, fakeCri, fakeDocker, fakeSocket, json, listed, socketPath } from './support/sockets.ts'

interface Rig {
  readonly runtimes: Runtimes
  /** Lines of the log. */
  readonly lines: string[]
  nowMs: number
  /** Repeats the lookup once the answer has come. */
  find(shortId?: string): Promise<NamedContainer | undefined>
}

function rig(t: TestContext, sockets: readonly string[], labels: readonly string[] = [], answerMs = 5_000): Rig {
  const lines: string[] = []
  const log = {
    info: (fields: object) => void lines.push(JSON.stringify(fields)),
    warn: (text: string) => void lines.push(text),
  }
  const made: Rig = {
    runtimes: new Runtimes({ config: { sockets, labels }, log: log as never, nowMs: () => made.nowMs, answerMs }),
    lines,
    nowMs: 0,
    async find(shortId = SHORT) {
      const found = made.runtimes.lookup(shortId)
      if (!(found instanceof Promise)) return found
      await found
      const again = made.runtimes.lookup(shortId)
      assert.ok(!(again instanceof Promise))
      return again
    },
  }
  t.after(() => made.runtimes[Symbol.dispose]())
  return made
}

test('runtimes: Docker gets one request for a container, and only the configured labels are kept', async (t) => {
  const docker = await fakeDocker(t, json([listed()]))
  const { runtimes, find, lines } = rig(t, [docker.path], ['app', 'constructor'])
  const web = await find()
  assert.deepEqual(web, {
    id: ID,
    name: 'web',
    image: 'nginx:1.27',
    imageId: `sha256:${'a'.repeat(64)}`,
    labels: { app: 'shop' },
  })
  assert.equal(runtimes.lookup(SHORT), web)
  assert.deepEqual(docker.asked, ['/_ping', `/containers/json?all=true&filters={"id":["${SHORT}"]}`])
  assert.deepEqual(lines, [JSON.stringify({ runtime: 'docker', socket: docker.path })])
})

test('runtimes: podman is recognized by its own answer', async (t) => {
  const headers = { 'api-version': '1.41', 'libpod-api-version': '4.3.1' }
  const podman = await fakeDocker(t, json([listed({ Names: ['db'] })]), headers)
  const { find, lines } = rig(t, [podman.path])
  assert.equal((await find())?.name, 'db')
  assert.match(lines.join(), /"runtime":"podman"/)
})

test('runtimes: the CRI API of containerd and CRI-O', async (t) => {
  const cri = await fakeCri(t, { 'io.kubernetes.pod.name': 'p', other: 'x' })
  const { find, lines } = rig(t, [cri.path], ['io.kubernetes.pod.name'])
  assert.deepEqual(await find(), {
    id: ID,
    name: 'web',
    image: 'registry:5000/shop/web:2',
    imageId: 'registry:5000/shop/web@sha256:1',
    labels: { 'io.kubernetes.pod.name': 'p' },
  })
  assert.match(lines.join(), /"runtime":"containerd"/)
})

test('runtimes: each socket gets the request in turn; an unknown container is requested again after half a minute', async (t) => {
  const docker = await fakeDocker(t, json([]))
  const cri = await fakeCri(t, {})
  const made = rig(t, [docker.path, cri.path])
  assert.equal((await made.find())?.name, 'web')
  const other = 'f'.repeat(31)
  assert.equal(await made.find(other), undefined)
  assert.deepEqual(cri.asked, [SHORT, other])
  made.nowMs = 29_999
  assert.equal(made.runtimes.lookup(other), undefined)
  made.nowMs = 30_000
  assert.equal(await made.find(other), undefined)
  assert.deepEqual(cri.asked, [SHORT, other, other])
})

test('runtimes: while a socket is away no event waits; it is tried again later, and a repeated error is logged once', async (t) => {
  const path = socketPath(t)
  const made = rig(t, [path])
  for (const [nowMs, awayMs] of [
    [0, 250],
    [1_000, 500],
    [2_000, 1_000],
  ] as const) {
    made.nowMs = nowMs
    const other = `${nowMs}`.padStart(31, '0')
    assert.ok(made.runtimes.lookup(other) instanceof Promise)
    assert.equal(await made.find(other), undefined)
    made.nowMs = nowMs + awayMs - 1
    assert.equal(made.runtimes.lookup(SHORT), undefined)
  }
  assert.deepEqual(made.lines, [
    `containers: ${path}: no such socket; its containers have no names until it answers; expected the socket of Docker, podman, containerd or CRI-O`,
  ])
})

test('runtimes: a runtime that comes back gets requests again, and may be another runtime', async (t) => {
  let broken = true
  const docker = await fakeDocker(t, (request, response) =>
    broken ? void response.writeHead(500).end() : json([listed()])(request, response),
  )
  const made = rig(t, [docker.path])
  assert.equal(await made.find(), undefined)
  assert.match(made.lines.at(-1) ?? '', /expected status 200 for a list of containers, got 500/)
  broken = false
  made.nowMs = 1_000
  assert.equal((await made.find())?.name, 'web')
  assert.equal(docker.asked.filter((asked) => asked === '/_ping').length, 2)
})

const HANGS: ReadonlyArray<readonly [what: string, does: Parameters<typeof fakeSocket>[1]]> = [
  ['says nothing', () => {}],
  [
    'never ends its answer',
    (socket) => void socket.write('HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 9\r\n\r\nO'),
  ],
  ['never ends its headers', (socket) => void socket.write('HTTP/1.1 200 OK\r\nA: b\r\n')],
  ['answers in HTTP/2 and then nothing', (socket) => void socket.write(Buffer.from('000000040000000000', 'hex'))],
]
for (const [what, does] of HANGS) {
  test(`runtimes: one that ${what} is waited for only so long`, async (t) => {
    const made = rig(t, [await fakeSocket(t, does)], [], 100)
    assert.equal(await made.find(), undefined)
    assert.match(made.lines.join(), /: no answer within 0.1 s; its containers have no names until it answers/)
    assert.equal(made.runtimes.lookup('f'.repeat(31)), undefined)
  })
}

const WRONG: ReadonlyArray<readonly [what: string, list: Parameters<typeof fakeDocker>[1], problem: RegExp]> = [
  [
    'more than a megabyte',
    (_, response) => void response.end(`[${' '.repeat(1 << 20)}]`),
    /at most 1048576 bytes, got more/,
  ],
  ['no JSON', (_, response) => void response.end('nothing'), /not valid JSON/],
  ['no list of containers', json({ message: 'x' }), /expected a list of containers, got other JSON/],
  [
    'a megabyte of headers',
    (_, response) => void response.writeHead(200, { x: 'y'.repeat(1 << 20) }).end('[]'),
    /Header overflow/i,
  ],
]
for (const [what, list, problem] of WRONG) {
  test(`runtimes: an answer of ${what} is refused`, async (t) => {
    const made = rig(t, [(await fakeDocker(t, list)).path])
    assert.equal(await made.find(), undefined)
    const [, line = ''] = made.lines
    assert.match(line, problem)
    assert.ok(line.length < 600)
  })
}

for (const [what, bytes, problem] of [
  ['100 Continue for ever', 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(1000), /more than 16 that are only informational/],
  [
    'another protocol',
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n',
    /without an answer/,
  ],
] as const) {
  test(`runtimes: one that answers with ${what} is given up at once`, async (t) => {
    const path = await fakeSocket(t, (socket) => flood(socket, Buffer.from(bytes)))
    const made = rig(t, [path], [], 60_000)
    assert.equal(await made.find(), undefined)
    assert.match(made.lines.join(), problem)
  })
}

const MEGABYTE = 1 << 20
const LISTS: ReadonlyArray<readonly [what: string, body: string]> = [
  ['numbers', `[${'1,'.repeat(MEGABYTE / 2 - 2)}1]`],
  ['names that are numbers', `[{"Id":"${ID}","Names":[${'1,'.repeat(MEGABYTE / 2 - 99)}1]}]`],
]
for (const [what, body] of LISTS) {
  test(`runtimes: a megabyte of ${what} costs little more than reading it as JSON, eight times`, async (t) => {
    const docker = await fakeDocker(t, (_, response) => void response.end(body))
    const { runtimes } = rig(t, [docker.path])
    const spent = async (work: () => unknown): Promise<number> => {
      const { user } = process.cpuUsage()
      await work()
      return (process.cpuUsage().user - user) / 1e3
    }
    const reading = await spent(() => {
      for (let i = 0; i < 8; i++) JSON.parse(body)
    })
    const took = await spent(() =>
      Promise.all(Array.from({ length: 8 }, (_, i) => runtimes.lookup(SHORT.slice(0, -1) + i))),
    )
    assert.equal(docker.asked.length, 9)
    assert.ok(took < 5 * reading + 200, `${took.toFixed(0)} ms, ${reading.toFixed(0)} of them for JSON`)
  })
}

test('runtimes: other entries of the list do not hide the container', async (t) => {
  const docker = await fakeDocker(t, json([1, null, {}, { Id: 7 }, listed({ Labels: { app: 'shop', wrong: 1 } })]))
  const found = await rig(t, [docker.path], ['app', 'wrong']).find()
  assert.deepEqual([found?.name, found?.labels], ['web', { app: 'shop' }])
})

test('runtimes: an answer of the CRI API above a megabyte is refused', async (t) => {
  const made = rig(t, [(await fakeCri(t, { big: 'x'.repeat(1 << 20) })).path])
  assert.equal(await made.find(), undefined)
  assert.match(made.lines.join(), /RESOURCE_EXHAUSTED/)
})

test('runtimes: another server on the socket is reported as no runtime', async (t) => {
  const web = await fakeSocket(t, (socket) => void socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi'))
  const made = rig(t, [web])
  assert.equal(await made.find(), undefined)
  assert.match(made.lines.join(), /expected the socket of Docker, podman, containerd or CRI-O/)
})

test('runtimes: a container that was not requested, or has no name, is ignored', async (t) => {
  for (const change of [{ Id: 'f'.repeat(64) }, { Id: `${SHORT}x` }, { Names: [] }, { Names: null }]) {
    const docker = await fakeDocker(t, json([listed(change)]))
    assert.equal(await rig(t, [docker.path]).find(), undefined)
  }
  const cri = await fakeCri(t, {}, 'f'.repeat(64))
  assert.equal(await rig(t, [cri.path]).find(), undefined)
})

test('runtimes: long texts are cut', async (t) => {
  const long = 'x'.repeat(100_000)
  const docker = await fakeDocker(
    t,
    json([listed({ Names: [long], Image: long, ImageID: long, Labels: { app: long } })]),
  )
  const found = (await rig(t, [docker.path], ['app']).find()) ?? assert.fail()
  assert.deepEqual(
    [found.name, found.image, found.imageId, found.labels['app'] ?? ''].map(({ length }) => length),
    [256, 512, 512, 1024],
  )
})

test('runtimes: eight containers are requested at a time', async (t) => {
  let open = 0
  let most = 0
  const answers: Array<() => void> = []
  const docker = await fakeDocker(t, (_, response) => {
    most = Math.max(most, ++open)
    answers.push(() => {
      open--
      response.end('[]')
    })
    if (answers.length >= 8) for (const answer of answers.splice(0)) answer()
  })
  const { runtimes } = rig(t, [docker.path])
  await Promise.all(Array.from({ length: 40 }, (_, i) => runtimes.lookup(`${i}`.padStart(31, '0'))))
  assert.equal(most, 8)
  assert.equal(docker.asked.length, 41)
})

test('runtimes: 2,048 containers wait, and no more', async (t) => {
  const { runtimes } = rig(t, [await fakeSocket(t, () => {})], [], 200)
  const waits = Array.from({ length: 2_049 }, (_, i) => runtimes.lookup(`${i}`.padStart(31, '0')))
  assert.equal(waits.filter((wait) => wait instanceof Promise).length, 2_048)
  assert.equal(waits.at(-1), undefined)
  // One hanging answer ends all waits.
  await Promise.all(waits)
})

test('runtimes: missing default sockets are no problem, unless all are missing', async (t) => {
  const lines: string[] = []
  const path = socketPath(t)
  const log = { info: () => {}, warn: (text: string) => void lines.push(text) }
  const runtimes = new Runtimes({ config: { labels: [] }, log: log as never, usual: [path] })
  t.after(() => runtimes[Symbol.dispose]())
  await runtimes.start()
  assert.deepEqual(lines, [`containers: no runtime answers at ${path}; set containers.sockets to its socket`])
})
