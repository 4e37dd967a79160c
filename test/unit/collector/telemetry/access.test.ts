import assert from 'node:assert/strict'
import { test } from 'node:test'
import { shared } from '../../../../collector/telemetry/access.ts'

const OK = { status: 200 } as const

test('shared: a page is made once a second, for all requests meanwhile', async () => {
  let now = 5
  let made = 0
  const page = shared(
    () => ({ ...OK, body: String(++made) }),
    () => now,
  )
  const ask = async (): Promise<string> => String((await page(undefined)).body)
  assert.deepEqual(await Promise.all([ask(), ask(), ask()]), ['1', '1', '1'])
  now += 999
  assert.equal(await ask(), '1')
  now += 1
  assert.equal(await ask(), '2')
})

test('shared: a slow page is not made twice at a time, and then kept for a second', async () => {
  let now = 0
  let made = 0
  const { promise, resolve } = Promise.withResolvers<string>()
  const page = shared(
    async () => ({ ...OK, body: `${++made}${await promise}` }),
    () => now,
  )
  const first = page(undefined)
  now += 5_000
  const second = page(undefined)
  resolve('!')
  assert.deepEqual([String((await first).body), String((await second).body)], ['1!', '1!'])
  now += 999
  assert.equal(String((await page(undefined)).body), '1!')
  now += 1
  assert.equal(String((await page(undefined)).body), '2!')
})

test('shared: a failure is shared too, and the page is made again after a second', async () => {
  let now = 0
  let made = 0
  const page = shared(
    () => {
      if (++made === 1) throw new Error('no numbers today')
      return { ...OK, body: 'numbers' }
    },
    () => now,
  )
  await assert.rejects(async () => page(undefined), /no numbers today/)
  await assert.rejects(async () => page(undefined), /no numbers today/)
  now += 1_000
  assert.equal(String((await page(undefined)).body), 'numbers')
})
