import assert from 'node:assert/strict'
import { test } from 'node:test'
import { accessOf, guarded, shared } from '../../../../collector/telemetry/access.ts'
import type { Access, AccessOptions } from '../../../../collector/telemetry/access.ts'
import { requestOf } from '../support/request.ts'

const OK = { status: 200 } as const

test('shared: a page is made once a second, for all requests meanwhile', async () => {
  let now = 5
  let made = 0
  const page = shared(
    () => ({ ...OK, body: String(++made) }),
    () => now,
  )
  const ask = async (): Promise<string> => String((await page()).body)
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
  const first = page()
  now += 5_000
  const second = page()
  resolve('!')
  assert.deepEqual([String((await first).body), String((await second).body)], ['1!', '1!'])
  now += 999
  assert.equal(String((await page()).body), '1!')
  now += 1
  assert.equal(String((await page()).body), '2!')
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
  await assert.rejects(async () => page(), /no numbers today/)
  await assert.rejects(async () => page(), /no numbers today/)
  now += 1_000
  assert.equal(String((await page()).body), 'numbers')
})

const LOOPBACK = { host: '127.0.0.1', port: 2112 }
const EVERYWHERE = { host: '0.0.0.0', port: 2112 }
const SOCKET = { path: '/run/ktrail/http.sock' }
const OWN = { token: 'of this run', file: '/run/ktrail/page-token' }

const access = (change: Partial<AccessOptions>): Access =>
  accessOf({ address: LOOPBACK, token: undefined, own: undefined, ...change })

/** The status of the answer to a request with these fields; 200 when the page is shown. */
const ask = (check: Access['events'], fields: Record<string, string> = {}): number =>
  check(requestOf('/', { fields }))?.status ?? 200

test('access: live events on loopback need the token of this run, numbers do not', () => {
  const { events, numbers, eventsNeed, hint } = access({ own: OWN })
  assert.deepEqual([eventsNeed, hint], ['token', 'sudo cat /run/ktrail/page-token'])
  assert.equal(ask(numbers), 200)
  for (const sent of ['', 'of this run', 'Bearer', 'Bearer of this ru', 'Bearer of this run ', 'Basic of this run']) {
    assert.equal(ask(events, { authorization: sent }), 401, sent)
  }
  assert.equal(ask(events), 401)
  assert.equal(ask(events, { authorization: 'Bearer of this run' }), 200)
  assert.match(
    String(events(requestOf('/'))?.body),
    /sudo cat \/run\/ktrail\/page-token.*Authorization: Bearer TOKEN\n$/,
  )
})

test('access: with server.token, that token opens everything and no other does', () => {
  for (const address of [LOOPBACK, EVERYWHERE, SOCKET]) {
    const { events, numbers } = access({ address, token: 'open sesame', own: OWN })
    for (const check of [events, numbers]) {
      assert.equal(ask(check), 401)
      assert.equal(ask(check, { authorization: 'Bearer of this run' }), 401)
      // Any host name is accepted, because a client with the token is not a page of another site.
      assert.equal(ask(check, { authorization: 'Bearer open sesame', host: 'node-7.example:2112' }), 200)
    }
  }
})

test('access: without a token there are no live events where other hosts can connect, or without a file for it', () => {
  for (const options of [{ address: EVERYWHERE, own: OWN }, { address: LOOPBACK }]) {
    const { events, numbers, eventsNeed } = access(options)
    assert.equal(eventsNeed, 'config')
    assert.equal(ask(numbers), 200)
    assert.equal(ask(events, { authorization: 'Bearer of this run' }), 403)
  }
})

const FROM: ReadonlyArray<readonly [fields: Record<string, string>, status: number]> = [
  [{}, 200],
  [{ host: 'localhost' }, 200],
  [{ host: 'LOCALHOST:2112' }, 200],
  [{ host: '127.0.0.1:2112' }, 200],
  [{ host: '[::1]:2112' }, 200],
  [{ host: 'evil.example' }, 421],
  [{ host: 'evil.example:2112' }, 421],
  [{ host: 'localhost.evil.example' }, 421],
  [{ host: '127.0.0.1.evil.example' }, 421],
  [{ host: '127.0.0.1@evil.example' }, 421],
  [{ host: '' }, 421],
  [{ host: 'localhost:2112', 'sec-fetch-site': 'same-origin', origin: 'http://localhost:2112' }, 200],
  [{ host: 'localhost:2112', 'sec-fetch-site': 'none' }, 200],
  [{ host: 'localhost:2112', 'sec-fetch-site': 'cross-site' }, 403],
  [{ host: 'localhost:2112', 'sec-fetch-site': 'same-site' }, 403],
  [{ host: 'localhost:2112', origin: 'http://localhost:8080' }, 403],
  [{ host: 'localhost:2112', origin: 'https://evil.example' }, 403],
  [{ host: 'localhost:2112', origin: 'null' }, 403],
]

for (const [fields, status] of FROM) {
  test(`access: without a token, a request with ${JSON.stringify(fields)} is answered with ${status}`, () => {
    const { events, eventsNeed } = access({ address: SOCKET })
    assert.equal(eventsNeed, 'nothing')
    for (const check of [events, access({}).numbers]) assert.equal(ask(check, fields), status)
  })
}

test('access: if other hosts may connect, pages without a token accept every host name', () => {
  assert.equal(ask(access({ address: EVERYWHERE }).numbers, { host: 'node-7.example' }), 200)
})

test('access: a refused request never reaches the page', async () => {
  const page = guarded(() => assert.fail('asked'), access({ own: OWN }).events)
  assert.equal((await page(requestOf('/'))).status, 401)
})

test('access: with server.metrics_token, that token opens the numbers and no live events; the token of this run or server.token opens all', () => {
  for (const [options, all] of [
    [{ own: OWN }, 'of this run'],
    [{ own: OWN, token: 'open sesame' }, 'open sesame'],
    [{ address: EVERYWHERE, token: 'open sesame' }, 'open sesame'],
  ] as const) {
    const { events, numbers, numbersNeed, eventsNeed } = access({ ...options, metricsToken: 'numbers' })
    assert.deepEqual([numbersNeed, eventsNeed], ['token', 'token'])
    for (const check of [events, numbers]) {
      assert.equal(ask(check), 401)
      assert.equal(ask(check, { authorization: 'Bearer number' }), 401)
      assert.equal(ask(check, { authorization: `Bearer ${all}` }), 200)
    }
    assert.deepEqual(
      [numbers, events].map((check) => ask(check, { authorization: 'Bearer numbers' })),
      [200, 401],
    )
  }
  const { events, numbers } = access({ address: EVERYWHERE, metricsToken: 'numbers' })
  assert.deepEqual(
    [numbers, events].map((check) => ask(check, { authorization: 'Bearer numbers' })),
    [200, 403],
  )
})
