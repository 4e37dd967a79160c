/** Compression of record batches, by Node or by a package in the folder of the config file. */
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { ExportError } from '../../../../../../exporters/contract/errors.ts'
import { codecOf } from '../../../../../../exporters/sinks/kafka/client/codecs.ts'
import { NOBODY, RecordBatchWriter } from '../../../../../../exporters/sinks/kafka/client/record-batch.ts'
import { Folder } from '../../../support/folder.ts'

const PLUGGED = { compression: 'lz4' } as const

test('kafka codecs: none needs no codec, and a missing codec is refused by name', async () => {
  assert.deepEqual(await codecOf({ compression: 'none' }), { id: 0, compress: undefined })
  await assert.rejects(
    codecOf({ compression: 'snappy' }),
    (error) =>
      error instanceof ExportError && /expected none, gzip or zstd, or a codec .*, got "snappy"/.test(error.message),
  )
})

test('kafka codecs: a package gets the whole records, and the number of its codec is in the batch', async () => {
  using folder = new Folder()
  const source = "export const compress = (records) => Buffer.from('packed ' + records.length)"
  const codec = await codecOf({ ...PLUGGED, codec: 'npm:packed' }, install(folder, 'packed', source))
  const record = { key: null, value: Buffer.from('text'), common: {}, own: {}, timestampMs: 1 }
  const batch = await new RecordBatchWriter().write([record, record], codec, NOBODY)
  assert.equal(batch.readInt16BE(21), 3)
  const [, bytes] = /^packed (\d+)$/.exec(batch.subarray(61).toString()) ?? []
  assert.ok(Number(bytes) > 2 * record.value.length)
})

/** Installs a package and returns the config file in the same folder. */
function install(folder: Folder, name: string, source: string): string {
  mkdirSync(folder.at(`node_modules/${name}`), { recursive: true })
  writeFileSync(
    folder.at(`node_modules/${name}/package.json`),
    JSON.stringify({ name, type: 'module', main: 'index.js' }),
  )
  writeFileSync(folder.at(`node_modules/${name}/index.js`), source)
  return folder.at('config.yaml')
}

test('kafka codec package: its compress gets the records, and may return bytes or a promise of them', async () => {
  using folder = new Folder()
  for (const [name, source] of [
    ['a-codec', 'export const compress = (records) => records.subarray(1)'],
    ['b-codec', 'export const compress = async (records) => new Uint8Array(records).subarray(1)'],
  ] as const) {
    const { compress } = await codecOf({ ...PLUGGED, codec: `npm:${name}` }, install(folder, name, source))
    assert.equal((await compress?.(Buffer.from('abc')))?.toString(), 'bc')
  }
})

const BAD = [
  ['exports nothing', 'export {}', /^codec: npm:bad: expected it to export a function compress, got none$/],
  ['cannot be loaded', 'throw new Error("no")', /^codec: npm:bad: cannot load the package: no/],
] as const
for (const [name, source, message] of BAD) {
  test(`kafka codec package: a package that ${name} is refused`, async () => {
    using folder = new Folder()
    const unusable = (error: unknown): boolean => error instanceof ExportError && message.test(error.message)
    await assert.rejects(codecOf({ ...PLUGGED, codec: 'npm:bad' }, install(folder, 'bad', source)), unusable)
  })
}

test('kafka codec package: one that is not installed is reported with the searched folders', async () => {
  using folder = new Folder()
  await assert.rejects(
    codecOf({ ...PLUGGED, codec: 'npm:nowhere' }, folder.at('config.yaml')),
    /cannot find the package "nowhere": expected it in /,
  )
})
