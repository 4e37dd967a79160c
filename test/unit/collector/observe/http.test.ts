/** What a stranger may send, and what comes back. */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import type { Server } from 'node:http'
import { after, before, test } from 'node:test'
import { CollectorError } from '../../../../collector/errors.ts'
import { serve } from '../../../../collector/observe/http.ts'

let server: Server
let port = 0

before(async () => {
  server = await serve(
    { host: '127.0.0.1', port: 0 },
    {
      '/livez': () => ({ status: 200, body: 'ok\n' }),
      '/slow': () => Promise.resolve({ status: 503, type: 'text/x', body: 'later\n' }),
      '/broken': () => {
        throw new Error('no numbers today')
      },
      '/rejects': () => Promise.reject(new Error('nor now')),
    },
  )
  const address = server.address()
  port = typeof address === 'object' && address !== null ? address.port : 0
})

after(() => {
  server.closeAllConnections()
  server.close()
})

/** Sends a request line as it is: fetch would mend it. */
function raw(line: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(`${line}\r\nHost: x\r\nConnection: close\r\n\r\n`))
    let answer = ''
    socket.on('data', (bytes) => (answer += String(bytes)))
    socket.on('error', reject)
    socket.on('close', () => resolve(answer))
  })
}

const ROWS: ReadonlyArray<readonly [line: string, status: number, body: string]> = [
  ['GET /livez HTTP/1.1', 200, 'ok\n'],
  ['GET /livez?x=1 HTTP/1.1', 200, 'ok\n'],
  ['HEAD /livez HTTP/1.1', 200, ''],
  ['GET /slow HTTP/1.1', 503, 'later\n'],
  ['GET /broken HTTP/1.1', 500, 'no numbers today\n'],
  ['GET /rejects HTTP/1.1', 500, 'nor now\n'],
  ['GET / HTTP/1.1', 404, 'no such page; there are /livez, /slow, /broken, /rejects\n'],
  ['GET // HTTP/1.1', 404, 'no such page; there are /livez, /slow, /broken, /rejects\n'],
  ['GET //a:b HTTP/1.1', 404, 'no such page; there are /livez, /slow, /broken, /rejects\n'],
  ['GET /%zz HTTP/1.1', 404, 'no such page; there are /livez, /slow, /broken, /rejects\n'],
  ['GET /constructor HTTP/1.1', 404, 'no such page; there are /livez, /slow, /broken, /rejects\n'],
  ['GET /__proto__ HTTP/1.1', 404, 'no such page; there are /livez, /slow, /broken, /rejects\n'],
  ['POST /livez HTTP/1.1', 405, 'expected GET, got POST\n'],
  ['DELETE /none HTTP/1.1', 405, 'expected GET, got DELETE\n'],
]

for (const [line, status, body] of ROWS) {
  test(`http: ${line} is answered with ${status}`, async () => {
    const answer = await raw(line)
    assert.equal(Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1]), status, answer)
    const text = answer.slice(answer.indexOf('\r\n\r\n') + 4)
    // A chunked body stands between its length and the last chunk.
    assert.ok(body === '' ? text === '' : text.includes(body), text)
  })
}

test('http: 405 says what is allowed', async () => {
  assert.match(await raw('PUT /livez HTTP/1.1'), /^Allow: GET, HEAD\r$/m)
})

test('http: garbage is answered and the server lives on', async () => {
  assert.match(await raw('\0\0\0'), /^HTTP\/1\.1 400/)
  assert.match(await raw('GET /livez HTTP/1.1'), /^HTTP\/1\.1 200/)
})

test('http: an address that is taken is an error that names it and the next step', async () => {
  await assert.rejects(serve({ host: '127.0.0.1', port }, {}), (error) => {
    assert.ok(error instanceof CollectorError && error.code === 'LISTEN_FAILED')
    assert.match(
      error.message,
      new RegExp(`cannot listen on 127\\.0\\.0\\.1:${port}: another program listens there; .*server\\.http`),
    )
    return true
  })
  await assert.rejects(serve({ host: '203.0.113.7', port: 1 }, {}), /cannot listen on 203\.0\.113\.7:1: /)
})
