/** Requests that any client may send, and the answers. */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import { after, before, test } from 'node:test'
import { parseAddress } from '../../../../config/base/addresses.ts'
import { CollectorError } from '../../../../collector/errors.ts'
import { serve } from '../../../../collector/telemetry/http.ts'
import type { Bounds, PageServer, Pages } from '../../../../collector/telemetry/http.ts'
import { until } from '../../../e2e/support/wait.ts'
import { cpuMs } from '../../../support/measure/cpu.ts'

const PAGE = Buffer.alloc(1 << 20, 'x')
let asked = 0
const streams: Readable[] = []

const PAGES: Pages = {
  '/livez': () => ({ status: 200, body: 'ok\n' }),
  '/slow': () => Promise.resolve({ status: 503, type: 'text/x', body: 'later\n' }),
  '/broken': () => {
    throw new Error('no numbers today')
  },
  '/rejects': () => Promise.reject(new Error('nor now')),
  '/echo': ({ fields }) => {
    const body = `${fields.get('authorization')}\n`
    return { status: 401, headers: { 'WWW-Authenticate': 'Bearer' }, body }
  },
  '/query': ({ query }) => ({ status: 200, body: `${query}\n` }),
  '/same': () => ({ status: 304, body: '' }),
  '/stream': () => {
    const stream = new Readable({ read: () => {} })
    stream.push('first\n')
    streams.push(stream)
    return { status: 200, type: 'text/event-stream', stream }
  },
  '/large': () => {
    asked++
    return { status: 200, body: PAGE }
  },
}
const THERE = `no such page: expected ${Object.keys(PAGES).join(', ')}\n`
const NO_WARNING = (message: string): void => assert.fail(message)

let server: PageServer

before(async () => (server = await serve({ host: '127.0.0.1', port: 0 }, PAGES, NO_WARNING)))
after(() => server[Symbol.asyncDispose]())

const portOf = ({ address }: PageServer): number => Number(address.split(':').at(-1))

/** Sends the bytes unchanged, unlike fetch, and returns everything that arrives until the connection is closed. */
function raw(text: string, port: number = portOf(server)): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(text, 'latin1'))
    let answer = ''
    socket.on('data', (bytes) => (answer += String(bytes)))
    socket.on('error', reject)
    socket.on('close', () => resolve(answer))
  })
}

/** A connection that sends this and then neither sends nor reads. */
async function silent(port: number, text = ''): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  await new Promise((resolve) => socket.once('connect', resolve))
  if (text !== '') socket.write(text)
  return socket
}

async function bounded(bounds: Partial<Bounds>): Promise<PageServer & { readonly port: number }> {
  const made = await serve({ host: '127.0.0.1', port: 0 }, PAGES, NO_WARNING, {
    connections: 8,
    lifeMs: 60_000,
    stallMs: 60_000,
    ...bounds,
  })
  return Object.assign(made, { port: portOf(made) })
}

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`
const statusOf = (answer: string): number => Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1])

const ROWS: ReadonlyArray<readonly [line: string, status: number, body: string]> = [
  ['GET /livez HTTP/1.1', 200, 'ok\n'],
  ['GET /livez HTTP/1.0', 200, 'ok\n'],
  ['GET /livez?x=1 HTTP/1.1', 200, 'ok\n'],
  ['GET /query?a=%20&b?c HTTP/1.1', 200, 'a=%20&b?c\n'],
  ['GET http://x/query?a HTTP/1.1', 200, 'a\n'],
  ['GET /query HTTP/1.1', 200, '\n'],
  ['GET http://127.0.0.1:2112/livez?x=1 HTTP/1.1', 200, 'ok\n'],
  ['HEAD /livez HTTP/1.1', 200, ''],
  ['GET /slow HTTP/1.1', 503, 'later\n'],
  ['GET /broken HTTP/1.1', 500, 'no numbers today\n'],
  ['GET /rejects HTTP/1.1', 500, 'nor now\n'],
  ['GET /echo HTTP/1.1\r\nAUTHORIZATION:  Bearer a b \r\nAuthorization: c', 401, 'Bearer a b\n'],
  ['GET /echo HTTP/1.1', 401, 'undefined\n'],
  ['GET / HTTP/1.1', 404, THERE],
  ['GET // HTTP/1.1', 404, THERE],
  ['GET //a:b HTTP/1.1', 404, THERE],
  ['GET http://x HTTP/1.1', 404, THERE],
  ['GET /%zz HTTP/1.1', 404, THERE],
  ['GET /constructor HTTP/1.1', 404, THERE],
  ['GET /__proto__ HTTP/1.1', 404, THERE],
  ['POST /livez HTTP/1.1', 405, 'expected GET, got POST\n'],
  ['POST /livez HTTP/1.1\r\nContent-Length: 1000', 405, 'expected GET, got POST\n'],
  ['DELETE /none HTTP/1.1', 405, 'expected GET, got DELETE\n'],
  ['GET /livez HTTP/1.1\r\nContent-Length: 5', 413, 'expected a request without a body\n'],
  ['GET /livez HTTP/1.1\r\nTransfer-Encoding: chunked', 413, 'expected a request without a body\n'],
  ['GET /livez HTTP/1.1\r\nContent-Length: 0', 200, 'ok\n'],
  [`GET /livez HTTP/1.1\r\nX: ${'x'.repeat(8000)}`, 200, 'ok\n'],
  [`GET /livez HTTP/1.1\r\nX: ${'x'.repeat(9000)}`, 431, 'expected a request of at most 8192 bytes\n'],
  ['GET /livez HTTP/2.0', 400, 'expected a request such as GET /livez HTTP/1.1\n'],
  ['GET /livez', 400, 'expected a request such as GET /livez HTTP/1.1\n'],
  ['GET  /livez HTTP/1.1', 400, 'expected a request such as GET /livez HTTP/1.1\n'],
  ['get /livez HTTP/1.1', 400, 'expected a request such as GET /livez HTTP/1.1\n'],
  ['\0\0\0', 400, 'expected a request such as GET /livez HTTP/1.1\n'],
  ['GET /livez HTTP/1.1\r\n folded', 400, 'expected header fields such as Host: localhost\n'],
  ['GET /livez HTTP/1.1\r\nX : x', 400, 'expected header fields such as Host: localhost\n'],
]

for (const [line, status, body] of ROWS) {
  const name = JSON.stringify(line.length < 100 ? line : `${line.slice(0, 30)}…, ${line.length} bytes`)
  test(`http: ${name} is answered with ${status}`, async () => {
    const answer = await raw(`${line}\r\nHost: x\r\n\r\n`)
    assert.equal(statusOf(answer), status, answer)
    const end = answer.indexOf('\r\n\r\n') + 4
    assert.equal(answer.slice(end), body)
    if (!line.startsWith('HEAD'))
      assert.match(answer.slice(0, end), new RegExp(`^Content-Length: ${body.length}\r$`, 'm'))
    assert.match(answer, /^Connection: close\r$/m)
  })
}

test('http: headers of a response are sent', async () => {
  assert.match(await raw('PUT /livez HTTP/1.1\r\n\r\n'), /^Allow: GET, HEAD\r$/m)
  assert.match(await raw(get('/echo')), /^WWW-Authenticate: Bearer\r$/m)
  assert.match(await raw(get('/slow')), /^Content-Type: text\/x\r$/m)
})

test('http: every answer keeps other pages from embedding it; 304 has no length', async () => {
  const answer = await raw(get('/same'))
  assert.match(answer, /^X-Content-Type-Options: nosniff\r$/m)
  assert.match(answer, /^Cross-Origin-Resource-Policy: same-origin\r$/m)
  assert.match(answer, /^HTTP\/1\.1 304 Not Modified\r\n/)
  assert.doesNotMatch(answer, /Content-Length/)
})

/** A connection that reads a stream, after its first bytes. */
async function streaming(port: number): Promise<{ socket: Socket; stream: Readable; text: () => string }> {
  const socket = await silent(port, get('/stream'))
  let text = ''
  socket.on('data', (bytes) => (text += String(bytes)))
  await until('the first bytes of the stream', () => text.endsWith('first\n'))
  const stream = streams.at(-1)
  assert.ok(stream !== undefined)
  return { socket, stream, text: () => text }
}

const ended = (stream: Readable): Promise<boolean> => until('the stream to be destroyed', () => stream.destroyed)

test('http: a stream is sent until it ends, beyond the time of other answers and without a length', async () => {
  await using small = await bounded({ lifeMs: 50 })
  const { socket, stream, text } = await streaming(small.port)
  // Longer than lifeMs: a silent connection that began after it is closed meanwhile.
  const other = await silent(small.port)
  await new Promise((resolve) => other.resume().once('close', resolve))
  stream.push('second\n')
  stream.push(null)
  await new Promise((resolve) => socket.once('close', resolve))
  assert.match(text(), /^HTTP\/1\.1 200 OK\r\n.*\r\n\r\nfirst\nsecond\n$/s)
  assert.doesNotMatch(text(), /Content-Length/)
})

test('http: HEAD of a stream answers the head only, and destroys the stream', async () => {
  const answer = await raw('HEAD /stream HTTP/1.1\r\n\r\n')
  assert.match(answer, /^HTTP\/1\.1 200 OK\r\n.*\r\n\r\n$/s)
  assert.equal(streams.at(-1)?.destroyed, true)
})

const LEAVES: ReadonlyArray<readonly [name: string, leave: (socket: Socket) => void]> = [
  ['closes', (socket) => socket.end()],
  ['resets', (socket) => socket.resetAndDestroy()],
  ['sends more', (socket) => socket.write('x')],
]

for (const [name, leave] of LEAVES) {
  test(`http: the stream of a client that ${name} is destroyed`, async () => {
    const { socket, stream } = await streaming(portOf(server))
    leave(socket)
    await ended(stream)
    socket.destroy()
  })
}

test('http: the stream of a client that does not read is destroyed after a time', async () => {
  await using small = await bounded({ stallMs: 100 })
  const { socket, stream } = await streaming(small.port)
  socket.pause()
  const chunk = Buffer.alloc(1 << 20)
  // Until the buffers of the kernel are full.
  const filling = setInterval(() => stream.readableLength === 0 && !stream.destroyed && stream.push(chunk), 1)
  await ended(stream)
  clearInterval(filling)
  socket.destroy()
})

test('http: a flood of connections does not displace a stream, and the end of the server ends it', async () => {
  const small = await bounded({ connections: 4 })
  const { socket, stream, text } = await streaming(small.port)
  const idle: Socket[] = []
  for (let i = 0; i < 20; i++) idle.push(await silent(small.port))
  stream.push('still here\n')
  await until('more of the stream', () => text().endsWith('still here\n'))
  await small[Symbol.asyncDispose]()
  await ended(stream)
  for (const each of [...idle, socket]) each.destroy()
})

test('http: bare line feeds, and a request that comes byte by byte, are understood', async () => {
  assert.match(await raw('GET /livez HTTP/1.0\n\n'), /^HTTP\/1\.1 200 OK\r\n/)
  const socket = connect(portOf(server), '127.0.0.1').setNoDelay()
  let answer = ''
  socket.on('data', (bytes) => (answer += String(bytes)))
  for (const char of get('/livez')) await new Promise((resolve) => socket.write(char, resolve))
  await new Promise((resolve) => socket.once('close', resolve))
  assert.match(answer, /ok\n$/)
})

test('http: a request that is not HTTP is answered at once, and the server continues', async () => {
  assert.equal(statusOf(await raw('\x16\x03\x01\x02')), 400)
  assert.equal(statusOf(await raw(`GET /${'x'.repeat(9000)}`)), 431)
  assert.equal(statusOf(await raw(get('/livez'))), 200)
})

test('http: fetch gets a large page whole, repeatedly', async () => {
  for (let i = 0; i < 5; i++) {
    const answer = await fetch(`http://${server.address}/large`)
    assert.equal((await answer.bytes()).length, PAGE.length)
  }
})

test('http: the first of pipelined requests is answered, the others are never read', async () => {
  await using small = await bounded({})
  asked = 0
  const flooding = await Promise.all(
    Array.from({ length: 6 }, () => silent(small.port, get('/large').repeat(20_000)).then((socket) => socket.pause())),
  )
  await until('an answer for each connection', () => asked === flooding.length)
  const fromMs = cpuMs()
  assert.equal(statusOf(await raw(get('/livez'), small.port)), 200)
  assert.ok(cpuMs() - fromMs < 5_000)
  assert.equal(asked, flooding.length)
  for (const socket of flooding) socket.destroy()
})

/** The answers to these are never read. */
const IDLE: ReadonlyArray<readonly [name: string, text: string]> = [
  ['nothing', ''],
  ['half a request', 'GET /livez HTTP/1.1\r\nHost'],
  ['a request for a page that it does not read', get('/large')],
]

for (const [name, text] of IDLE) {
  test(`http: as many connections as allowed that send ${name} do not lock other clients out`, async () => {
    await using small = await bounded({ connections: 4 })
    const idle: Socket[] = []
    let closed = 0
    for (let i = 0; i < 20; i++) {
      const socket = await silent(small.port, text)
      socket.on('close', () => closed++)
      idle.push(socket.pause())
    }
    for (let i = 0; i < 10; i++) assert.equal(statusOf(await raw(get('/livez'), small.port)), 200)
    // Only a reading client notices the end of a connection.
    for (const socket of idle) socket.resume()
    // The requests closed their own connections, so that they displaced one of the last four.
    await until('all but three to be displaced', () => closed >= idle.length - 3)
    for (const socket of idle) socket.destroy()
  })

  test(`http: a connection that sends ${name} is closed after its time-out`, async () => {
    await using small = await bounded({ lifeMs: 100 })
    const socket = await silent(small.port, text)
    await new Promise((resolve) => socket.resume().once('close', resolve))
  })
}

test('http: an address in use is an error with the address and the next step', async () => {
  const port = portOf(server)
  await assert.rejects(serve({ host: '127.0.0.1', port }, {}, NO_WARNING), (error) => {
    assert.ok(error instanceof CollectorError && error.code === 'LISTEN_FAILED')
    const expected = `cannot listen on 127\\.0\\.0\\.1:${port}: another program listens on it; .*server\\.http`
    assert.match(error.message, new RegExp(expected))
    return true
  })
  await assert.rejects(serve({ host: '203.0.113.7', port: 1 }, {}, NO_WARNING), /cannot listen on 203\.0\.113\.7:1: /)
})

test('http: the address it listens on is written as in a config', async () => {
  await using other = await serve({ host: '::1', port: 0 }, PAGES, NO_WARNING)
  assert.match(other.address, /^\[::1\]:\d+$/)
  assert.notEqual(typeof parseAddress(other.address), 'string')
})
