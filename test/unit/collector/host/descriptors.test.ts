import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { CollectorError } from '../../../../collector/errors.ts'
import { checkDescriptors, requireDescriptors } from '../../../../collector/host/descriptors.ts'

const MODULE = new URL('../../../../collector/host/descriptors.ts', import.meta.url).href
const RAISE = /; raise it: ulimit -n 4096 in the shell that starts ktrail, or LimitNOFILE=4096 in its systemd unit$/
const limited = (limit: number, used = 0) => ({ limit: () => limit, used: () => used })

test('descriptors: a limit that is too low is refused with the limit and the way to raise it', () => {
  assert.throws(
    () => checkDescriptors(limited(511)),
    (error) => {
      assert.ok(error instanceof CollectorError && error.code === 'NO_DESCRIPTORS')
      assert.match(error.message, /^the limit on open files is too low: expected at least 512, got 511/)
      assert.match(error.message, RAISE)
      return true
    },
  )
  checkDescriptors(limited(512))
  checkDescriptors(limited(Infinity))
})

test('descriptors: a use that would take the reserve is refused with the numbers', () => {
  requireDescriptors('policy "p"', 28, limited(256, 100))
  assert.throws(
    () => requireDescriptors('policy "p"', 29, limited(256, 100)),
    (error) => {
      assert.ok(error instanceof CollectorError && error.code === 'NO_DESCRIPTORS')
      const expected =
        'policy "p" does not fit into the limit on open files, 256: 100 are open, it needs 29 more, and 128 stay free for '
      assert.ok(error.message.startsWith(expected), error.message)
      assert.match(error.message, RAISE)
      return true
    },
  )
})

test('descriptors: those of this process are counted, without sockets and closed ones', async () => {
  const script = `import { openSync } from 'node:fs'
import { createServer } from 'node:net'
import { checkDescriptors, requireDescriptors } from ${JSON.stringify(MODULE)}
const open = () => { try { requireDescriptors('x', 1e9) } catch ({ message }) { return Number(/(\\d+) are open/.exec(message)[1]) } }
const listen = () => new Promise((resolve) => createServer().listen(0, '127.0.0.1', resolve))
await listen() // libuv keeps a descriptor for the case that there are none
const before = open()
for (let i = 0; i < 5; i++) openSync('/dev/null')
for (let i = 0; i < 5; i++) await listen()
console.log(open() - before)
checkDescriptors()
process.exit()`
  const run = promisify(execFile)
  const program = [process.execPath, '--input-type=module', '--eval', script] as const
  const { stdout } = await run('prlimit', ['--nofile=512', ...program])
  assert.equal(stdout, '5\n')
  // Node raises the soft limit.
  await run('prlimit', ['--nofile=100:512', ...program])
  await assert.rejects(run('prlimit', ['--nofile=511', ...program]), /expected at least 512, got 511/)
})
