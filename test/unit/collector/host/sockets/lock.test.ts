import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, writeFileSync } from 'node:fs'
import { spawn } from 'node:child_process'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { CollectorError } from '../../../../../collector/errors.ts'
import { takeLock, takeOver } from '../../../../../collector/host/sockets/lock.ts'
import { Folder } from '../../../exporters/support/folder.ts'

const LOCK = new URL('../../../../../collector/host/sockets/lock.ts', import.meta.url).href
const isTaken = (error: unknown): boolean => error instanceof CollectorError && error.code === 'ALREADY_RUNNING'

test('lock: a second owner is refused until the first releases it', async () => {
  using folder = new Folder()
  const path = folder.at('agent.lock')
  const first = await takeLock(path)
  await assert.rejects(takeLock(path), isTaken)
  first[Symbol.dispose]()
  const second = await takeLock(path)
  second[Symbol.dispose]()
})

test('lock: the lock of a killed owner is taken over', async () => {
  using folder = new Folder()
  const path = folder.at('agent.lock')
  const script = `import { takeLock, takeOver } from ${JSON.stringify(LOCK)}
await takeLock(${JSON.stringify(path)})
console.log('taken')
setInterval(() => {}, 1000)`
  const owner = spawn(process.execPath, ['--input-type=module', '--eval', script])
  await once(owner.stdout, 'data')
  await assert.rejects(takeLock(path), isTaken)
  owner.kill('SIGKILL')
  await once(owner, 'exit')
  assert.ok(existsSync(path))
  const taken = await takeLock(path)
  taken[Symbol.dispose]()
})

test('lock: its folder is made; one that cannot be made is reported with the path', async () => {
  using folder = new Folder()
  const taken = await takeLock(folder.at('new/lock'))
  taken[Symbol.dispose]()
  writeFileSync(folder.at('file'), '')
  await assert.rejects(takeLock(folder.at('file/lock')), /cannot take the lock .*file\/lock .*ENOTDIR|EEXIST/)
})

for (const earlier of ['has released the lock', 'releases it without an answer']) {
  test(`lock: a successor whose holder ${earlier} asks the one that was faster`, async () => {
    using folder = new Folder()
    const path = folder.at('agent.lock')
    const holder = createServer((socket) => {
      socket.destroy()
      holder.close()
    })
    if (earlier !== 'has released the lock') await once(holder.listen(path), 'listening')
    const second = takeOver(path)
    await pause(200)
    using first = await takeLock(path)
    const successor = await first.asked()
    assert.equal(successor.pid, process.pid)
    const confirmed = successor.confirms(7n, 5_000)
    using lock = await second
    assert.equal(lock.since, 7n)
    const taken = lock.confirm()
    assert.equal(await confirmed, true)
    first[Symbol.dispose]()
    await taken
    await assert.rejects(takeLock(path), isTaken)
  })
}

test('lock: a successor that no agent is faster than takes a free lock', async () => {
  using folder = new Folder()
  const path = folder.at('agent.lock')
  using lock = await takeOver(path)
  assert.equal(lock.since, undefined)
  await assert.rejects(takeLock(path), isTaken)
})
