/** `ktrail policy library`. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { typed } from '../support/terminal.ts'

test('policy library: --bundle shows the policies of one bundle', async () => {
  const names = async (...args: string[]): Promise<string[]> =>
    JSON.parse((await typed(['policy', 'library', '-o', 'json', ...args])).stdout).map(
      ({ name }: { name: string }) => name,
    )
  const [all, bundle] = [await names(), await names('--bundle', 'default')]
  assert.ok(bundle.length > 5 && bundle.length < all.length)
  assert.deepEqual(
    await names('ssh', '--bundle', 'default'),
    (await names('ssh')).filter((name) => bundle.includes(name)),
  )
  const none = await typed(['policy', 'library', '--bundle', 'defalt'])
  assert.deepEqual([none.code, none.stderr.startsWith('no policy of the bundle "defalt" matches')], [1, true])
})
