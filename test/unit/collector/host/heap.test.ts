import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { setImmediate } from 'node:timers/promises'
import { test } from 'node:test'
import { HEAP_FLAGS, collectGarbage } from '../../../../collector/host/heap.ts'
import { launchOf } from '../../../support/launcher.ts'

/** Prints which of Node's own modules were compiled from code that Node brings, and which from their source. */
const COMPILED = `
require('https')
const { compiledWithCache, compiledWithoutCache } = require('internal/test/binding').internalBinding('builtins').getCacheUsage()
console.log(JSON.stringify({ brought: [...compiledWithCache], source: [...compiledWithoutCache] }))`

test('heap: collects garbage without a flag on the command line', async () => {
  const before = new WeakRef({})
  await setImmediate()
  await collectGarbage()
  assert.equal(before.deref(), undefined)
  const thorough = new WeakRef({})
  await setImmediate()
  await collectGarbage(true)
  assert.equal(thorough.deref(), undefined)
})

test('heap: Node has the flags that the agent sets after its start', () => {
  assert.equal(execFileSync(process.execPath, [...HEAP_FLAGS, '-p', '1'], { encoding: 'utf8' }), '1\n')
})

/** With these flags beside those of the launcher. */
function compiled(...flags: readonly string[]): {
  readonly brought: readonly string[]
  readonly source: readonly string[]
} {
  const words = [...launchOf().flags, ...flags, '--no-warnings', '--expose-internals', '--eval', COMPILED]
  return JSON.parse(execFileSync(process.execPath, words, { encoding: 'utf8' }))
}

test('heap: Node runs the code that it brings for its modules with the flags of the launcher, and not with those of the heap', () => {
  const { brought, source } = compiled()
  assert.deepEqual(source, [])
  assert.ok(brought.includes('https'))
  for (const flag of HEAP_FLAGS) assert.ok(compiled(flag).source.includes('https'), flag)
})
