/** A server whose address others hold. */
import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import type { Server } from 'node:net'
import { mock, test } from 'node:test'
import type { Address } from '../../../../../config/base/addresses.ts'
import { listenAt } from '../../../../../collector/host/sockets/listen.ts'
import { Listening } from '../../../../../collector/host/sockets/listening.ts'
import { until } from '../../../exporters/support/fake-clock.ts'
import { Folder } from '../../../exporters/support/folder.ts'

const closed = (server: Server): Promise<void> => new Promise((resolve) => server.close(() => resolve()))

/** A server that tries `address`, and its log. */
async function startAt(address: Address): Promise<{ listening: Listening; logged: string[]; tries: () => number }> {
  const logged: string[] = []
  let tries = 0
  const open = async () => {
    const server = createServer()
    const listens = listenAt(server, address, 'server.http').finally(() => tries++)
    return { address: await listens, [Symbol.asyncDispose]: () => closed(server) }
  }
  const log = { info: (line: string) => logged.push(line), error: (line: string) => logged.push(line) }
  const listening = await Listening.start({ server: 'http', address, open, log } as never)
  return { listening, logged, tries: () => tries }
}

test('listening: an address that is held is reported once, tried again ever more rarely, and taken when it is free', async () => {
  mock.timers.enable({ apis: ['setTimeout'] })
  using _ = { [Symbol.dispose]: () => mock.timers.reset() }
  const holder = createServer()
  const held = await listenAt(holder, { host: '127.0.0.1', port: 0 }, 'server.http')
  const port = Number(held.split(':')[1])
  const { listening, logged, tries } = await startAt({ host: '127.0.0.1', port })
  const problem = `cannot listen on ${held}: another program listens on it; set server.http to a free port`
  for (const delayMs of [1_000, 2_000, 4_000, 8_000, 10_000, 10_000]) {
    assert.deepEqual([listening.address, listening.problem], [undefined, problem])
    const before = tries()
    mock.timers.tick(delayMs - 1)
    assert.equal(tries(), before)
    mock.timers.tick(1)
    await until('a failed try', () => tries() === before + 1)
  }
  assert.deepEqual(logged, [`${problem}; events are still recorded, and the agent retries`])
  await closed(holder)
  mock.timers.tick(10_000)
  await until('its address', () => listening.address !== undefined)
  assert.deepEqual([listening.address, listening.problem], [held, undefined])
  assert.equal(logged[1], `now listening on ${held}`)
  await listening[Symbol.asyncDispose]()
  assert.equal(await listenAt(holder, { host: '127.0.0.1', port }, 'server.http'), held)
  await closed(holder)
})

test('listening: a stop ends the tries', async () => {
  mock.timers.enable({ apis: ['setTimeout'] })
  using _ = { [Symbol.dispose]: () => mock.timers.reset() }
  using folder = new Folder()
  const path = folder.at('ktrail.sock')
  const holder = createServer()
  await listenAt(holder, { path }, 'server.grpc')
  const { listening, tries } = await startAt({ path })
  await listening[Symbol.asyncDispose]()
  await closed(holder)
  mock.timers.tick(60_000)
  assert.equal(tries(), 1)
})
