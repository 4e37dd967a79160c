import assert from 'node:assert/strict'
import { test } from 'node:test'
import { handleSignals } from '../../../../collector/host/signals.ts'
import { until } from '../../exporters/support/fake-clock.ts'

test('signals: SIGHUP reloads, SIGUSR1 only reopens, the first SIGTERM or SIGINT stops, the second stops at once', async () => {
  const asked: string[] = []
  const ended = handleSignals({
    reload: () => asked.push('reload'),
    reopen: () => asked.push('reopen'),
    hurry: () => asked.push('hurry'),
  })
  for (const [signal, want] of [
    ['SIGUSR1', 'reopen'],
    ['SIGHUP', 'reload'],
    ['SIGUSR1', 'reopen'],
  ] as const) {
    asked.length = 0
    process.kill(process.pid, signal)
    await until(`${signal} is heard`, () => asked.length > 0)
    assert.deepEqual(asked, [want])
  }
  process.kill(process.pid, 'SIGINT')
  assert.equal(await ended, 'SIGINT')
  asked.length = 0
  process.kill(process.pid, 'SIGTERM')
  await until('the second is heard', () => asked.length > 0)
  assert.deepEqual(asked, ['hurry'])
  assert.equal(process.listenerCount('SIGTERM'), 0)
})
