/** Paths on a file system that does not answer: the wait ends in time, with at most two threads. */
import assert from 'node:assert/strict'
import { stat } from 'node:fs/promises'
import { test } from 'node:test'
import { answered, hungThreads } from '../../../../config/base/time/answered.ts'

/** Work that ends on request. */
function stuck(): { readonly work: () => Promise<string>; readonly end: () => void; calls: number } {
  const { promise, resolve } = Promise.withResolvers<string>()
  const state = { calls: 0, work: () => (state.calls++, promise), end: () => resolve('late') }
  return state
}

test('answered: returns results one at a time, also after a failed one', async () => {
  const log: string[] = []
  const work = (name: string) => async (): Promise<string> => {
    log.push(`${name} begins`)
    await Promise.resolve()
    log.push(`${name} ends`)
    if (name === 'b') throw new Error('b fails')
    return name
  }
  const all = await Promise.allSettled(['a', 'b', 'c'].map((name) => answered(name, work(name), 5000)))
  assert.deepEqual(log, ['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends'])
  assert.deepEqual(
    all.map((each) => (each.status === 'fulfilled' ? each.value : String(each.reason))),
    ['a', 'Error: b fails', 'c'],
  )
  assert.equal(hungThreads(), 0)
})

test('answered: a hanging path is given up, not tried twice, uses two threads at most, and works again once it answers', async () => {
  const first = stuck()
  const second = stuck()
  const third = stuck()
  const unanswered = /its file system does not answer within 0\.01 s/
  await assert.rejects(answered('/first', first.work, 10), unanswered)
  await assert.rejects(answered('/first', first.work, 10), unanswered)
  assert.deepEqual([first.calls, hungThreads()], [1, 1])
  assert.equal(await answered('/good', async () => 'read', 5000), 'read')
  await assert.rejects(answered('/second', second.work, 10), unanswered)
  await assert.rejects(
    answered('/third', third.work, 10),
    /^Error: not read: the file systems of "\/first" and "\/second" do not/,
  )
  assert.deepEqual([third.calls, hungThreads()], [0, 2])
  first.end()
  second.end()
  await first.work()
  assert.equal(hungThreads(), 0)
  assert.equal(await answered('/first', async () => 'back', 5000), 'back')
})

test('answered: an event loop that was held up is no hanging file system', async () => {
  const work = async (): Promise<string> => {
    await Promise.resolve()
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 600)
    await stat('/')
    await stat('/')
    return 'read'
  }
  assert.equal(await answered('/', work, 500), 'read')
  assert.equal(hungThreads(), 0)
})
