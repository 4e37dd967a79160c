/** The code that serves the API is loaded with the first client, and not before. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import { pino } from 'pino'
import { ApiListener } from '../../../../collector/api/listener.ts'
import type { Connections } from '../../../../collector/api/listener.ts'
import { until } from '../../exporters/support/fake-clock.ts'
import { Folder } from '../../exporters/support/folder.ts'

class Rig implements AsyncDisposable {
  readonly folder: Folder = new Folder()
  readonly path: string = this.folder.at('api.sock')
  readonly logged: string[] = []
  readonly accepted: Socket[] = []
  readonly calls: string[] = []
  /** Answers of `load`, in their order. */
  readonly loads: Array<ReturnType<typeof Promise.withResolvers<Connections>>> = []
  readonly connections: Connections = {
    accept: (socket) => void this.accepted.push(socket),
    drain: () => void this.calls.push('drain'),
    end: () => void this.calls.push('end'),
  }
  #listener: ApiListener | undefined

  static async start(): Promise<Rig> {
    const rig = new Rig()
    const load = (): Promise<Connections> => {
      const loading = Promise.withResolvers<Connections>()
      rig.loads.push(loading)
      return loading.promise
    }
    const log = pino({ level: 'error' }, { write: (line: string) => void rig.logged.push(line) })
    rig.#listener = await ApiListener.start({ address: { path: rig.path }, load, log })
    return rig
  }

  async load(): Promise<void> {
    await this.#listener?.load()
  }

  async connect(): Promise<Socket> {
    const socket = connect(this.path)
    await once(socket, 'connect')
    return socket
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#listener?.[Symbol.asyncDispose]()
    this.folder[Symbol.dispose]()
  }
}

test('listener: the first client loads the code that serves all, and its early bytes are kept', async () => {
  await using rig = await Rig.start()
  assert.equal(rig.loads.length, 0)
  const first = await rig.connect()
  first.write('hello')
  const second = await rig.connect()
  await until('both are known', () => rig.loads.length === 1)
  rig.loads[0]?.resolve(rig.connections)
  await until('both are served', () => rig.accepted.length === 2)
  assert.equal(rig.loads.length, 1)
  const socket = rig.accepted[0]
  await until('the bytes are there', () => socket?.readableLength === 5)
  assert.equal(String(socket?.read()), 'hello')
  first.destroy()
  second.destroy()
})

test('listener: loaded ahead, the first client is served at once; a failure is reported with the first client', async () => {
  await using rig = await Rig.start()
  const failed = rig.load()
  rig.loads[0]?.reject(new Error('no such file'))
  await failed
  assert.equal(rig.logged.length, 0)
  const loaded = rig.load()
  rig.loads[1]?.resolve(rig.connections)
  await loaded
  const client = await rig.connect()
  await until('it is served', () => rig.accepted.length === 1)
  assert.equal(rig.loads.length, 2)
  client.destroy()
})

test('listener: if the code cannot be loaded the client is closed, the reason is logged, and the next client tries again', async () => {
  await using rig = await Rig.start()
  const first = await rig.connect()
  const closed = once(first.resume(), 'close')
  await until('it is known', () => rig.loads.length === 1)
  rig.loads[0]?.reject(new Error('no such file'))
  await closed
  assert.match(rig.logged.join(), /a client of the API was not served: check that ktrail's files are complete/)
  const second = await rig.connect()
  await until('it is known', () => rig.loads.length === 2)
  rig.loads[1]?.resolve(rig.connections)
  await until('it is served', () => rig.accepted.length === 1)
  second.destroy()
})

test('listener: a stop ends open calls, and waits for code that is being loaded', async () => {
  const rig = await Rig.start()
  const client = await rig.connect()
  const closed = once(client.resume(), 'close')
  await until('it is known', () => rig.loads.length === 1)
  const stopped = rig[Symbol.asyncDispose]()
  rig.loads[0]?.resolve(rig.connections)
  await Promise.all([stopped, closed])
  assert.deepEqual(rig.calls, ['drain', 'end'])
})

test('the agent starts without the code for clients of the API and of its metrics', () => {
  const program = `
    import { registerHooks } from 'node:module'
    const loaded = []
    registerHooks({ load: (url, context, next) => (loaded.push(url), next(url, context)) })
    await import('./collector/agent.ts')
    console.log(loaded.join('\\n'))
    process.exit(0)`
  const root = new URL('../../../../', import.meta.url)
  const loaded = execFileSync(process.execPath, ['--input-type=module', '--eval', program], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  assert.match(loaded, /collector\/api\/api\.ts/)
  assert.doesNotMatch(loaded, /@grpc|@bufbuild|_pb\.js|prom-client|kafkajs|@platformatic|opentelemetry/)
})
