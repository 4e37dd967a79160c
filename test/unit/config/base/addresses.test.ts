import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { formatAddress, parseAddress } from '../../../../config/base/addresses.ts'
import type { Address } from '../../../../config/base/addresses.ts'
import { checkFile } from '../../../../config/agent/check.ts'
import { Folder } from '../../exporters/support/folder.ts'

const GOOD: ReadonlyArray<readonly [text: string, address: Address]> = [
  ['127.0.0.1:2112', { host: '127.0.0.1', port: 2112 }],
  ['localhost:0', { host: 'localhost', port: 0 }],
  ['[::1]:65535', { host: '::1', port: 65_535 }],
  ['unix:///run/ktrail/http.sock', { path: '/run/ktrail/http.sock' }],
  [`unix:///${'x'.repeat(106)}`, { path: `/${'x'.repeat(106)}` }],
]
const BAD: readonly string[] = [
  '',
  '2112',
  ':2112',
  'localhost',
  '::1:2112',
  '127.0.0.1:65536',
  'http://127.0.0.1:2112',
  'unix:/run/x',
  'unix://',
  'unix:///',
  'unix://run/x',
  'unix:///run/',
  'unix:///run/\0x',
  `unix:///${'x'.repeat(107)}`,
]

describe('addresses', () => {
  for (const [text, address] of GOOD) {
    it(`reads and writes ${text.slice(0, 40)}`, () => {
      assert.deepEqual(parseAddress(text), address)
      assert.equal(formatAddress(address), text)
    })
  }
  for (const text of BAD) {
    it(`refuses ${JSON.stringify(text).slice(0, 40)}`, () => assert.match(String(parseAddress(text)), /^expected /))
  }

  const warned = async (server: string): Promise<string[]> => {
    using folder = new Folder()
    const file = folder.at('c.yaml')
    writeFileSync(file, `server: ${server}\nexporters: { a: { type: stdout } }\n`)
    const { problems, warnings } = await checkFile(file, {})
    assert.deepEqual(problems, [])
    return warnings.map(({ line, col, message }) => `${line}:${col}: ${message}`)
  }

  for (const http of ['0.0.0.0:2112', '"[::]:2112"', '10.0.0.1:2112', 'example.org:2112']) {
    it(`warns of ${http} without a token`, async () => {
      const [warning, ...others] = await warned(`{ http: ${http} }`)
      assert.match(
        warning ?? '',
        /^1:17: server\.http: anyone who can reach .*:2112 can read .*: set server\.token, or use /,
      )
      assert.deepEqual(others, [])
      assert.deepEqual(await warned(`{ http: ${http}, token: hush }`), [])
    })
  }
  for (const http of ['127.0.0.1:0', 'localhost:2112', '"[::1]:2112"', 'unix:///run/ktrail/http.sock']) {
    it(`does not warn of ${http}`, async () => assert.deepEqual(await warned(`{ http: ${http} }`), []))
  }
})
