/** Headers whose value is in a file. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { ExportError } from '../../../../../exporters/contract/errors.ts'
import { FakeSink, OK } from '../../../../support/otlp/server.ts'
import type { Received } from '../../../../support/otlp/server.ts'
import { until } from '../../support/fake-clock.ts'
import { Folder } from '../../support/folder.ts'
import { NEVER, batchFrom, exporterFor } from './support.ts'

const tokenOf = ({ headers }: Received): string | undefined => headers['authorization']

test('otlp header files: the content is the value, without its line feed, and wins over a header of the same name', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('token'), 'Bearer one\n')
  await using sink = await FakeSink.start()
  await using exporter = exporterFor(sink, {
    headers: { authorization: 'Bearer none', 'x-other': 'kept' },
    header_files: { Authorization: folder.at('token') },
  })
  await exporter.start()
  assert.deepEqual(await exporter.send(batchFrom(0, 1), NEVER), { status: 'delivered' })
  assert.deepEqual(sink.requests.map(tokenOf), ['Bearer one'])
  assert.equal(sink.requests[0]?.headers['x-other'], 'kept')
})

test('otlp header files: a replaced token is used after a 401, or earlier after a reopen', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('token'), 'old')
  let valid = 'old'
  await using sink = await FakeSink.start((request) => (tokenOf(request) === valid ? OK : { status: 401 }))
  await using exporter = exporterFor(sink, { header_files: { authorization: folder.at('token') } })
  await exporter.start()
  assert.deepEqual(await exporter.send(batchFrom(0, 1), NEVER), { status: 'delivered' })
  valid = 'new'
  assert.equal((await exporter.send(batchFrom(1, 1), NEVER)).status, 'hold')
  writeFileSync(folder.at('token'), 'new')
  const again = await exporter.send(batchFrom(1, 1), NEVER)
  assert.ok(again.status === 'retryable' && again.afterMs === 0)
  assert.deepEqual(await exporter.send(batchFrom(1, 1), NEVER), { status: 'delivered' })
  valid = 'newest'
  writeFileSync(folder.at('token'), 'newest')
  await exporter.reopen()
  assert.deepEqual(await exporter.send(batchFrom(2, 1), NEVER), { status: 'delivered' })
  assert.equal(sink.requests.length, 5)
})

for (const status of [401, 403, 407]) {
  test(`otlp header files: all requests in flight that get ${status} use a replaced token`, async () => {
    using folder = new Folder()
    writeFileSync(folder.at('token'), 'old')
    const waiting: Array<() => void> = []
    await using sink = await FakeSink.start(async (request) => {
      if (tokenOf(request) === 'new') return OK
      await new Promise<void>((resolve) => waiting.push(resolve))
      return { status }
    })
    await using exporter = exporterFor(sink, {
      concurrency: { max: 3 },
      header_files: { authorization: folder.at('token') },
    })
    await exporter.start()
    const sends = [0, 10, 20].map((seq) => exporter.send(batchFrom(seq, 1), NEVER))
    await until('all are in flight', () => waiting.length === sends.length)
    writeFileSync(folder.at('token'), 'new')
    // One after another: the second and third are answered after the new token has been read.
    for (const [i, answer] of waiting.entries()) {
      answer()
      const outcome = await sends[i]
      assert.ok(outcome?.status === 'retryable' && outcome.afterMs === 0, outcome?.status)
    }
    assert.deepEqual(await exporter.send(batchFrom(0, 1), NEVER), { status: 'delivered' })
  })
}

test('otlp header files: a missing file is reported if the sink refuses the old value', async () => {
  const folder = new Folder()
  writeFileSync(folder.at('token'), 'old')
  await using sink = await FakeSink.start(() => ({ status: 401 }))
  await using exporter = exporterFor(sink, { header_files: { authorization: folder.at('token') } })
  await exporter.start()
  folder[Symbol.dispose]()
  const outcome = await exporter.send(batchFrom(0, 1), NEVER)
  assert.ok(outcome.status === 'hold')
  assert.match(outcome.error.message, /^header_files\.authorization: cannot read ".*token": no such file/)
})

const impossible: ReadonlyArray<readonly [name: string, content: string | undefined, want: RegExp]> = [
  ['a missing file', undefined, /^header_files\.x-key: cannot read ".*": no such file/],
  [
    'two lines, which it does not repeat',
    'se\ncret',
    /^headers\.x-key: expected characters that HTTP allows in a header$/,
  ],
]
for (const [name, content, want] of impossible) {
  test(`otlp header files: ${name} stops the start`, async () => {
    using folder = new Folder()
    if (content !== undefined) writeFileSync(folder.at('key'), content)
    await using sink = await FakeSink.start()
    await using exporter = exporterFor(sink, { header_files: { 'x-key': folder.at('key') } })
    await assert.rejects(exporter.start(), (error) => {
      assert.ok(error instanceof ExportError && error.code === 'UNUSABLE')
      assert.match(error.message, want)
      return true
    })
  })
}
