import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { handleSignals } from '../../../../collector/host/signals.ts'
import { launchOf } from '../../../support/launcher.ts'
import { until } from '../../exporters/support/fake-clock.ts'

// Else Node writes a report on SIGUSR2: node:test turns this on.
if (process.report !== undefined) process.report.reportOnSignal = false

test('signals: SIGHUP reopens and reloads, SIGUSR1 only reopens, the first SIGTERM or SIGINT stops, the second stops at once', async () => {
  const asked: string[] = []
  const ended = handleSignals({
    reload: () => asked.push('reload'),
    reopen: () => asked.push('reopen'),
    hurry: () => asked.push('hurry'),
    replace: () => asked.push('replace'),
  })
  for (const [signal, want] of [
    ['SIGUSR1', ['reopen']],
    ['SIGHUP', ['reopen', 'reload']],
    ['SIGUSR1', ['reopen']],
    ['SIGUSR2', ['replace']],
  ] as const) {
    asked.length = 0
    process.kill(process.pid, signal)
    await until(`${signal} is heard`, () => asked.length >= want.length)
    assert.deepEqual(asked, want)
  }
  process.kill(process.pid, 'SIGINT')
  assert.equal(await ended, 'SIGINT')
  asked.length = 0
  process.kill(process.pid, 'SIGTERM')
  await until('the second is heard', () => asked.length > 0)
  assert.deepEqual(asked, ['hurry'])
  assert.equal(process.listenerCount('SIGTERM'), 0)
})

test('signals: of many SIGUSR1, one reopens and one waits', async () => {
  const work: Array<() => void> = []
  void handleSignals({
    reload: () => {},
    reopen: () => new Promise<void>((done) => work.push(done)),
    hurry: () => {},
    replace: () => {},
  })
  for (let i = 0; i < 100; i++) process.emit('SIGUSR1')
  await until('the first', () => work.length === 1)
  for (let i = 0; i < 100; i++) process.emit('SIGUSR1')
  work[0]?.()
  await until('the second', () => work.length === 2)
  work[1]?.()
  await new Promise(setImmediate)
  assert.equal(work.length, 2)
  process.removeAllListeners('SIGUSR1')
})

test('signals: SIGHUP during a long reload reopens at once; the next reload waits for its turn and for that reopening', async () => {
  let reopened = 0
  const reloads: Array<{ readonly ready: Promise<unknown>; readonly end: () => void }> = []
  void handleSignals({
    reload: (ready) => new Promise<void>((end) => reloads.push({ ready, end })),
    reopen: () => void reopened++,
    hurry: () => {},
    replace: () => {},
  })
  process.emit('SIGHUP')
  await until('a reload runs', () => reloads.length === 1)
  process.emit('SIGHUP')
  await until('the second reopens', () => reopened === 2)
  assert.equal(reloads.length, 1)
  reloads[0]?.end()
  await until('the second reload', () => reloads.length === 2)
  await reloads[1]?.ready
  reloads[1]?.end()
  process.removeAllListeners('SIGHUP')
  process.removeAllListeners('SIGUSR1')
})

test("signals: with the launcher's flags SIGUSR1 waits until it is handled, then reopens", async () => {
  const signals = new URL('../../../../collector/host/signals.ts', import.meta.url)
  const program = `
    process.once('SIGUSR2', async () => {
      const { handleSignals } = await import('${signals}')
      handleSignals({ reload() {}, reopen: () => console.log('reopened'), hurry() {}, replace() {} })
    })
    setInterval(() => {}, 1000)
    console.log('starts')`
  const child = spawn(process.execPath, [...launchOf().flags, '--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'exit')
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  assert.equal((await lines.next()).value, 'starts')
  child.kill('SIGUSR1')
  child.kill('SIGUSR2')
  assert.equal((await lines.next()).value, 'reopened')
  child.kill('SIGUSR1')
  assert.equal((await lines.next()).value, 'reopened')
  child.kill('SIGKILL')
  await ended
})
