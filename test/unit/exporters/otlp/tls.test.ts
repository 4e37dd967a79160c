import assert from 'node:assert/strict'
import { copyFileSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { ExportError } from '../../../../exporters/errors.ts'
import { createAuthority, withoutOpenssl } from '../../../support/authority.ts'
import { FakeSink } from '../../../support/otlp/server.ts'
import { Folder } from '../support/folder.ts'
import { NEVER, batchFrom, exporterFor } from './support.ts'

const skip = withoutOpenssl()

test(
  'otlp tls: trusts the configured authority, shows the client certificate, and holds for any other',
  { skip },
  async () => {
    using folder = new Folder()
    const good = createAuthority(folder.path, 'good')
    const other = createAuthority(folder.path, 'other')
    const mutual = { requestCert: true, rejectUnauthorized: true, ca: readFileSync(good.ca) }
    const tls = { cert: readFileSync(good.cert), key: readFileSync(good.key), ...mutual }
    await using sink = await FakeSink.start(undefined, tls)
    const client = { caFile: good.ca, certFile: good.cert, keyFile: good.key }
    await using exporter = exporterFor(sink, { tls: client })
    await exporter.start()
    assert.deepEqual(await exporter.send(batchFrom(0, 1), NEVER), { status: 'delivered' })
    await using distrustful = exporterFor(sink, { tls: { ...client, caFile: other.ca } })
    await distrustful.start()
    assert.equal((await distrustful.send(batchFrom(0, 1), NEVER)).status, 'hold')
    await using nameless = exporterFor(sink, { tls: { caFile: good.ca } })
    await nameless.start()
    assert.equal((await nameless.send(batchFrom(0, 1), NEVER)).status, 'retryable')
    assert.equal(sink.requests.length, 1)
  },
)

test('otlp tls: a reopen takes new files into use; a bad one leaves the old', { skip }, async () => {
  using folder = new Folder()
  const good = createAuthority(folder.path, 'good')
  const other = createAuthority(folder.path, 'other')
  const caFile = folder.at('trusted.pem')
  copyFileSync(other.ca, caFile)
  await using sink = await FakeSink.start(undefined, { cert: readFileSync(good.cert), key: readFileSync(good.key) })
  await using exporter = exporterFor(sink, { tls: { caFile } })
  await exporter.start()
  assert.equal((await exporter.send(batchFrom(0, 1), NEVER)).status, 'hold')
  copyFileSync(good.ca, caFile)
  await exporter.reopen()
  assert.deepEqual(await exporter.send(batchFrom(0, 1), NEVER), { status: 'delivered' })
  folder[Symbol.dispose]()
  await assert.rejects(exporter.reopen(), /^ExportError: tls ca file ".*": cannot be read: ENOENT/)
  assert.deepEqual(await exporter.send(batchFrom(1, 1), NEVER), { status: 'delivered' })
})

test('otlp tls: a file that cannot be read stops the start', async () => {
  using folder = new Folder()
  await using sink = await FakeSink.start()
  await using exporter = exporterFor(sink, {
    endpoint: 'https://127.0.0.1:1/v1/logs',
    tls: { caFile: folder.at('none') },
  })
  await assert.rejects(exporter.start(), (error) => error instanceof ExportError && error.code === 'UNUSABLE')
})
