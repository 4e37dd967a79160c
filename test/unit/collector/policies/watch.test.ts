/** Folders are checked soon after a change, and at least once a second. */
import assert from 'node:assert/strict'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { watchPaths } from '../../../../collector/policies/watch.ts'
import { Folder } from '../../exporters/support/folder.ts'

/** Counts looks; `done` resolves at the `count`th, the deadline is the test runner's. */
function looks(count: number): { look: () => void; seen: () => number; done: Promise<void> } {
  const { promise, resolve } = Promise.withResolvers<void>()
  let seen = 0
  return {
    look: () => {
      if (++seen === count) resolve()
    },
    seen: () => seen,
    done: promise,
  }
}

test(
  'watch: a file written into a folder is read without waiting for the poll',
  { timeout: 10_000 },
  async (context) => {
    // The poll never fires.
    context.mock.timers.enable({ apis: ['setInterval'] })
    using folder = new Folder()
    const { look, done } = looks(1)
    using watching = watchPaths([folder.path], look)
    assert.ok(watching)
    writeFileSync(folder.at('a.yaml'), 'x')
    await done
  },
)

test('watch: many changes within a moment are one check', { timeout: 10_000 }, async () => {
  using folder = new Folder()
  const { look, seen, done } = looks(1)
  using watching = watchPaths([folder.path], look)
  assert.ok(watching)
  for (let i = 0; i < 50; i++) writeFileSync(folder.at(`${i}.yaml`), 'x')
  await done
  assert.equal(seen(), 1)
})

test('watch: polls once a second, also a missing path, until disposed', (context) => {
  context.mock.timers.enable({ apis: ['setInterval', 'setTimeout'] })
  using folder = new Folder()
  const { look, seen } = looks(99)
  const watch = watchPaths([folder.at('none')], look)
  context.mock.timers.tick(3_000)
  assert.equal(seen(), 3)
  watch[Symbol.dispose]()
  context.mock.timers.tick(3_000)
  assert.equal(seen(), 3)
})

test('watch: a removed folder is no crash, and is still polled', { timeout: 10_000 }, async () => {
  using folder = new Folder()
  mkdirSync(folder.at('p'))
  const { look, done } = looks(2)
  using watching = watchPaths([folder.at('p')], look)
  assert.ok(watching)
  rmSync(folder.at('p'), { recursive: true })
  await done
})

test('watch: a pending check is cancelled once disposed', (context) => {
  context.mock.timers.enable({ apis: ['setInterval', 'setTimeout'] })
  const { look, seen } = looks(99)
  const watch = watchPaths([], look)
  context.mock.timers.tick(999)
  watch[Symbol.dispose]()
  watch[Symbol.dispose]()
  context.mock.timers.tick(5_000)
  assert.equal(seen(), 0)
})
