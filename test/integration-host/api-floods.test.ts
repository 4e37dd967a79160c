/**
 * Clients that follow no rules, over TCP with TLS. During and after each attack another client and /livez are answered. No turn of the event loop
 * is long, and memory returns to its former level.
 */
import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { connect as connectHttp2 } from 'node:http2'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { after, before, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import { credentials } from '@grpc/grpc-js'
import { LONG } from '../support/long.ts'
import { HEAP_FLAGS } from '../../collector/host/heap.ts'
import { createAuthority, withoutOpenssl } from '../support/authority.ts'
import { Folder } from '../unit/exporters/support/folder.ts'
import * as h2 from '../unit/collector/api/support/frames.ts'
import type { Measures } from '../unit/collector/api/support/served.ts'
import { TableClient } from '../unit/collector/api/support/tables.ts'

const ANSWER_MS = 5000
const ATTACK_MS = LONG ? 500 : 250
const WARM_UP_MS = 250
const HELD_MS = 300
/** `MAX_CONNECTIONS` of the listener, and those of the page. */
const MAX_SOCKETS = 128 + 64
const CHUNK = 64 << 10

const skip = withoutOpenssl()

class Served implements Disposable {
  readonly #folder = new Folder()
  readonly #child: ChildProcess
  readonly #pair: { readonly ca: Buffer; readonly cert: Buffer; readonly key: Buffer }
  readonly #sockets = new Set<Socket>()
  #api = { host: '127.0.0.1', port: 0 }
  #livez = ''

  constructor() {
    const { ca, cert, key } = createAuthority(this.#folder.path, 'own')
    this.#pair = { ca: readFileSync(ca), cert: readFileSync(cert), key: readFileSync(key) }
    // As the launcher starts the agent.
    const execArgv = ['--max-semi-space-size=2', ...HEAP_FLAGS, '--expose-gc']
    const jemalloc = '/usr/lib/x86_64-linux-gnu/libjemalloc.so.2'
    const env = {
      ...process.env,
      LD_PRELOAD: existsSync(jemalloc) ? jemalloc : '',
      MALLOC_CONF: 'narenas:2,background_thread:true,dirty_decay_ms:200,muzzy_decay_ms:0,thp:never',
    }
    this.#child = fork(new URL('../unit/collector/api/support/served.ts', import.meta.url), [cert, key, ca], {
      execArgv,
      env,
    })
  }

  async ready(): Promise<void> {
    const [addresses] = (await once(this.#child, 'message')) as [{ readonly api: string; readonly livez: string }]
    this.#api.port = Number(addresses.api.split(':')[1])
    this.#livez = addresses.livez
  }

  async measure(what: 'now' | 'collected'): Promise<Measures> {
    const answer = once(this.#child, 'message')
    this.#child.send(what)
    const [measures] = (await answer) as [Measures]
    return measures
  }

  client(): TableClient {
    const { ca, key, cert } = this.#pair
    return new TableClient(`127.0.0.1:${this.#api.port}`, credentials.createSsl(ca, key, cert))
  }

  /** Answers of another client and of /livez, and how long both took. */
  async probe(): Promise<number> {
    const start = performance.now()
    const signal = AbortSignal.timeout(ANSWER_MS)
    const client = this.client()
    const late = setTimeout(ANSWER_MS, 'late', { ref: false })
    try {
      const [live, answer] = await Promise.all([
        fetch(`http://${this.#livez}/livez`, { signal }),
        Promise.race([client.ask('GetVersion'), late]),
      ])
      assert.equal(live.status, 200)
      assert.notEqual(answer, 'late', `a client was not answered within ${ANSWER_MS} ms`)
    } finally {
      client[Symbol.dispose]()
    }
    return performance.now() - start
  }

  /** A connection over plain TCP. */
  tcp(): Socket {
    return this.#added(connect(this.#api))
  }

  /** A connection of a client with a certificate. */
  tls(): Socket {
    return this.#added(connectTls({ ...this.#api, ...this.#pair, ALPNProtocols: ['h2'] }))
  }

  #added(socket: Socket): Socket {
    this.#sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => this.#sockets.delete(socket))
    return socket
  }

  async closeAll(): Promise<void> {
    const closed = [...this.#sockets].map((socket) => once(socket, 'close'))
    for (const socket of this.#sockets) socket.destroy()
    await Promise.all(closed)
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL')
    this.#folder[Symbol.dispose]()
  }
}

let served: Served
let restRss = 0

before(async () => {
  if (skip !== false) return
  served = new Served()
  await served.ready()
  // Warm-up: memory that is loaded, compiled and allocated once is not freed.
  for (const [name, attack] of ATTACKS)
    if (/reset|not read|half-way/.test(name)) await attack(AbortSignal.timeout(WARM_UP_MS))
  await served.closeAll()
  await served.probe()
  restRss = (await served.measure('collected')).rss
})
after(() => served?.[Symbol.dispose]())

/** Writes the result of `make` to connections, and replaces each that is closed. `first`: the bytes that they send at their start. */
async function flood(
  signal: AbortSignal,
  make: (next: () => number) => Buffer,
  { reads = true, connections = 1, first = h2.settings() } = {},
): Promise<void> {
  const one = async (): Promise<void> => {
    while (!signal.aborted) {
      const socket = served.tls()
      if (reads) socket.resume()
      let stream = -1
      const next = (): number => (stream += 2)
      socket.write(Buffer.concat([h2.PREFACE, first]))
      while (!signal.aborted && !socket.destroyed) {
        if (!socket.writableNeedDrain) socket.write(make(next))
        await setTimeout(1)
      }
    }
  }
  await Promise.all(Array.from({ length: connections }, one))
}

const repeated = (bytes: Buffer): Buffer =>
  Buffer.concat(Array.from({ length: Math.floor(CHUNK / bytes.length) }, () => bytes))
const path = (name: string): string => `/tetragon.FineGuidanceSensors/${name}`
const reset = (stream: number): Buffer => h2.frame(h2.RST_STREAM, 0, stream, Buffer.from([0, 0, 0, 8]))
const opened = (stream: number, name = 'GetVersion'): Buffer =>
  h2.frame(h2.HEADERS, h2.END_HEADERS, stream, h2.callHeaders(path(name)))
const called = (stream: number, name: string, request: Uint8Array = new Uint8Array()): Buffer =>
  Buffer.concat([opened(stream, name), h2.frame(h2.DATA, h2.END_STREAM, stream, h2.message(request))])

const pings = repeated(h2.frame(h2.PING, 0, 0, Buffer.alloc(8)))
const emptySettings = repeated(h2.settings())
const fullSettings = repeated(h2.settings([1, 0], [1, 4096], [2, 0], [4, 65535], [5, 16384], [6, 65535]))
const priorities = repeated(h2.frame(h2.PRIORITY, 0, 1, Buffer.from([0, 0, 0, 0, 1])))
const emptyData = (stream: number): Buffer => repeated(h2.frame(h2.DATA, 0, stream))
const updates = repeated(h2.frame(h2.WINDOW_UPDATE, 0, 0, Buffer.from([0, 0, 0, 1])))
const times = (count: number, make: () => Buffer): Buffer => Buffer.concat(Array.from({ length: count }, make))
/** One entry of 4 KB in the table of headers, and 12,000 references to it. */
const bomb = Buffer.concat([h2.indexed('a', 'x'.repeat(4000)), Buffer.alloc(12_000, 0x80 | 62)])

/** A request of GetDebug for the process table. */
const DUMP = Buffer.from([0x08, 1, 0x12, 0])
/** A request of reflection for a file that imports all others. */
const REFLECT = h2.message(Buffer.concat([Buffer.from([0x22, 28]), Buffer.from('tetragon.FineGuidanceSensors')]))

/** Opens many connections that send the same bytes, and waits. */
async function hold(signal: AbortSignal, count: number, make: () => Socket): Promise<void> {
  for (let i = 0; i < count; i++) make()
  if (!signal.aborted) await once(signal, 'abort')
}

const ATTACKS: ReadonlyArray<readonly [name: string, attack: (signal: AbortSignal) => Promise<unknown>]> = [
  ['PING', (signal) => flood(signal, () => pings)],
  ['PING, answers unread', (signal) => flood(signal, () => pings, { reads: false })],
  ['SETTINGS', (signal) => flood(signal, () => emptySettings)],
  ['SETTINGS, answers unread', (signal) => flood(signal, () => fullSettings, { reads: false })],
  ['PRIORITY', (signal) => flood(signal, () => priorities)],
  ['WINDOW_UPDATE', (signal) => flood(signal, () => updates)],
  [
    'empty DATA',
    (signal) => {
      let open = 0
      return flood(signal, (next) => (open++ % 100 === 0 ? opened(next()) : emptyData(1)))
    },
  ],
  ['10,000 streams', (signal) => flood(signal, (next) => times(10_000, () => opened(next())), { connections: 4 })],
  [
    'streams that are reset',
    (signal) =>
      flood(
        signal,
        (next) =>
          times(500, () => {
            const stream = next()
            return Buffer.concat([opened(stream), reset(stream)])
          }),
        { connections: 4 },
      ),
  ],
  [
    'calls that are reset',
    (signal) =>
      flood(
        signal,
        (next) =>
          times(60, () => {
            const stream = next()
            return Buffer.concat([called(stream, 'GetDebug', DUMP), reset(stream)])
          }),
        { connections: 4 },
      ),
  ],
  [
    'CONTINUATION',
    (signal) =>
      flood(signal, (next) =>
        Buffer.concat([
          h2.frame(h2.HEADERS, 0, next(), h2.callHeaders('/a')),
          times(1000, () => h2.frame(h2.CONTINUATION, 0, 1, h2.header('a', 'b'.repeat(100)))),
        ]),
      ),
  ],
  [
    'empty CONTINUATION',
    (signal) => {
      let first = true
      return flood(signal, (next) => {
        if (first) return ((first = false), h2.frame(h2.HEADERS, 0, next(), h2.callHeaders('/a')))
        return repeated(h2.frame(h2.CONTINUATION, 0, 1))
      })
    },
  ],
  [
    'headers that are too large',
    (signal) => flood(signal, (next) => h2.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, next(), bomb)),
  ],
  [
    'answers that are not read',
    (signal) => {
      const first = h2.settings([4, 0])
      return flood(signal, (next) => times(64, () => called(next(), 'GetDebug', DUMP)), {
        reads: false,
        first,
        connections: 16,
      })
    },
  ],
  [
    'descriptions that are not read',
    (signal) => {
      const service = '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo'
      return flood(
        signal,
        (next) => {
          const streams = Array.from({ length: 10 }, next)
          const ask = (stream: number): Buffer => times(50, () => h2.frame(h2.DATA, 0, stream, REFLECT))
          return Buffer.concat(
            streams.flatMap((stream) => [
              h2.frame(h2.HEADERS, h2.END_HEADERS, stream, h2.callHeaders(service)),
              ask(stream),
            ]),
          )
        },
        { reads: false, first: h2.settings([4, 0]), connections: 4 },
      )
    },
  ],
  [
    'requests that end half-way',
    async (signal) => {
      const sessions = Array.from({ length: 16 }, () =>
        connectHttp2('https://localhost', { createConnection: () => served.tls() }),
      )
      for (const session of sessions) {
        session.on('error', () => {})
        for (let i = 0; i < 16; i++) {
          const call = session.request({
            ':method': 'POST',
            ':path': path('AddTracingPolicy'),
            'content-type': 'application/grpc',
          })
          call.on('error', () => {})
          call.write(h2.message(Buffer.alloc(500 << 10)).subarray(0, 400 << 10))
        }
      }
      if (!signal.aborted) await once(signal, 'abort')
    },
  ],
  [
    'more than the window permits',
    (signal) =>
      flood(
        signal,
        (next) => {
          const stream = next()
          return Buffer.concat([opened(stream), times(28, () => h2.frame(h2.DATA, 0, stream, Buffer.alloc(16 << 10)))])
        },
        { connections: 4 },
      ),
  ],
  [
    'events that are not read',
    (signal) => flood(signal, (next) => times(64, () => called(next(), 'GetEvents')), { reads: false, connections: 4 }),
  ],
  [
    'handshakes that end half-way',
    (signal) =>
      hold(signal, 300, () => {
        const socket = served.tcp()
        socket.write(Buffer.from('16030102000100', 'hex'))
        return socket
      }),
  ],
  ['connections without a byte', (signal) => hold(signal, 300, () => served.tcp())],
  ['clients without a byte', (signal) => hold(signal, 200, () => served.tls())],
]

for (const [name, attack] of ATTACKS) {
  test(`floods: ${name}`, { skip }, async (t) => {
    await served.measure('now')
    const attacking = attack(AbortSignal.timeout(ATTACK_MS))
    await setTimeout(ATTACK_MS / 4)
    const during = await served.probe()
    const { sockets, rss, heldMs: first } = await served.measure('now')
    await attacking
    await served.closeAll()
    const afterwards = await served.probe()
    const heldMs = Math.max(first, (await served.measure('now')).heldMs)
    let rest = await served.measure('collected')
    const end = performance.now() + 2 * ANSWER_MS
    while (rest.rss > 1.2 * restRss && performance.now() < end) rest = await served.measure('collected')
    const mib = (bytes: number): number => bytes >> 20
    const seen = [during, afterwards, heldMs, mib(rss), mib(rest.rss), mib(restRss), sockets].map(Math.round)
    t.diagnostic(
      `answered in ${seen[0]} ms, then ${seen[1]}; turns <= ${seen[2]} ms; ${seen[3]} MiB, then ${seen[4]} of ${seen[5]}; ${sockets} sockets`,
    )
    assert.ok(heldMs < HELD_MS, `a turn of the event loop took ${heldMs} ms`)
    assert.ok(sockets <= MAX_SOCKETS, `${sockets} sockets`)
    assert.ok(rest.rss <= 1.2 * restRss, `${mib(rest.rss)} MiB, ${mib(restRss)} before`)
  })
}

test('floods: a client that reads its answers gets them all', { skip }, async () => {
  using client = served.client()
  const dump = { flag: 'CONFIG_FLAG_DUMP_PROCESS_CACHE', dump: {} }
  const sizes: number[] = []
  for (let i = 0; i < 10; i++) sizes.push(JSON.stringify(await client.ask('GetDebug', dump)).length)
  assert.ok(Math.min(...sizes) > 200_000, String(sizes))
})
