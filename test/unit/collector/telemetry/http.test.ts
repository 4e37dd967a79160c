/** Requests that any client may send, and the answers. */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { after, before, test } from 'node:test'
import { parseAddress } from '../../../../config/yaml/addresses.ts'
import { CollectorError } from '../../../../collector/errors.ts'
import { serve } from '../../../../collector/telemetry/http.ts'
import type { Bounds, PageServer, Pages } from '../../../../collector/telemetry/http.ts'
import { until } from '../../../e2e/support/wait.ts'

const PAGE = Buffer.alloc(1 << 20, 'x')
let asked = 0

const PAGES: Pages = {
  '/livez': () => ({ status: 200, body: 'ok\n' }),
  '/slow': () => Promise.resolve({ status: 503, type: 'text/x', body: 'later\n' }),
  '/broken': () => {
    throw new Error('no numbers today')
  },
  '/rejects': () => Promise.reject(new Error('nor now')),
  '/echo': (authorization) => ({ status: 401, headers: { 'WWW-Authenticate': 'Bearer' }, body: `${authorization}\n` }),
  '/large': () => {
    asked++
    return { status: 200, body: PAGE }
  },
}
const THERE = `no such page; there are ${Object.keys(PAGES).join(', ')}\n`
const NO_WARNING = (message: string): void => assert.fail(message)

let server: PageServer

before(async () => (server = await serve({ host: '127.0.0.1', port: 0 }, PAGES, NO_WARNING)))
after(() => server[Symbol.asyncDispose]())

const portOf = ({ address }: PageServer): number => Number(address.split(':').at(-1))

/** Sends the bytes unchanged, which fetch would not, and returns all that arrives until the connection is closed. */
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
  const answered = performance.now()
  assert.equal(statusOf(await raw(get('/livez'), small.port)), 200)
  assert.ok(performance.now() - answered < 5_000)
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
    await until('all of them to be displaced', () => closed === idle.length)
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
    const expected = `cannot listen on 127\\.0\\.0\\.1:${port}: another program listens there; .*server\\.http`
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
