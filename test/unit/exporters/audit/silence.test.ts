/** `audit` of sinks that never answer, or never finish: it ends within its deadline, with a sentence. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import { auditSource } from '../../../../exporters/audit/sources.ts'
import { ExportError } from '../../../../exporters/contract/errors.ts'

const OPTIONS = { env: {}, sinceMs: undefined, nowMs: Date.now(), silenceMs: 500 }

async function serve(answer: (socket: Socket) => void) {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => {}).resume())
    answer(socket)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return {
    host: `127.0.0.1:${typeof address === 'object' ? address?.port : 0}`,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

async function refusal(address: string): Promise<string> {
  try {
    for await (const record of auditSource(address, OPTIONS)()) assert.fail(String(record))
  } catch (error) {
    assert.ok(error instanceof ExportError, String(error))
    return error.message
  }
  return assert.fail('it ended without an error')
}

const SINKS = {
  Kafka: (host: string) => `kafka://${host}/events?client_id=hush`,
  Loki: (host: string) => `loki://me:hush@${host}?{a="b"}`,
  'Loki with TLS': (host: string) => `lokis://me:hush@${host}?{a="b"}`,
} as const

for (const [name, addressOf] of Object.entries(SINKS)) {
  test(`audit: a silent ${name} is given up after the deadline`, async () => {
    await using server = await serve(() => {})
    const message = await refusal(addressOf(server.host))
    assert.match(message, /^cannot read \w+:\/\/127\S+: no answer within 0\.5 s; check the address, the protocol/)
    assert.doesNotMatch(message, /hush/)
  })
}

test('audit: a Loki that answers a byte at a time is given up after the deadline', async () => {
  await using server = await serve((socket) => {
    socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
    const drip = setInterval(() => socket.write('1\r\n \r\n'), 20)
    socket.once('close', () => clearInterval(drip))
  })
  assert.match(await refusal(SINKS.Loki(server.host)), /no answer within 0\.5 s/)
})
