import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { copyFileSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { ExportError } from '../../../../exporters/errors.ts'
import { FakeSink } from '../../../support/otlp/server.ts'
import { Folder } from '../support/folder.ts'
import { NEVER, batchFrom, exporterFor } from './support.ts'

const openssl = (...args: string[]): void => void execFileSync('openssl', args, { stdio: 'pipe' })

/** A self-made authority with a certificate for 127.0.0.1; made by openssl, absent where there is none. */
function authority(folder: Folder, name: string): { readonly ca: string; readonly cert: string; readonly key: string } {
  const at = (file: string): string => folder.at(`${name}-${file}`)
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  openssl('req', '-x509', ...key, '-keyout', at('ca.key'), '-out', at('ca.pem'), '-days', '2', '-subj', `/CN=${name}`)
  openssl(
    'req',
    ...key,
    '-keyout',
    at('key.pem'),
    '-out',
    at('csr.pem'),
    '-subj',
    '/CN=localhost',
    '-addext',
    'subjectAltName=IP:127.0.0.1',
  )
  const signing = [
    '-CA',
    at('ca.pem'),
    '-CAkey',
    at('ca.key'),
    '-CAcreateserial',
    '-days',
    '2',
    '-copy_extensions',
    'copy',
  ]
  openssl('x509', '-req', '-in', at('csr.pem'), ...signing, '-out', at('cert.pem'))
  return { ca: at('ca.pem'), cert: at('cert.pem'), key: at('key.pem') }
}

function hasOpenssl(): boolean {
  try {
    execFileSync('openssl', ['version'], { stdio: 'pipe' })
    return true
  } catch {
    return false
  }
}
const skip = hasOpenssl() ? false : 'openssl is not installed, so there are no certificates to test with'

test(
  'otlp tls: trusts the configured authority, shows the client certificate, and holds for any other',
  { skip },
  async () => {
    using folder = new Folder()
    const good = authority(folder, 'good')
    const other = authority(folder, 'other')
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
  const good = authority(folder, 'good')
  const other = authority(folder, 'other')
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
    tls: { keyFile: folder.at('none') },
  })
  await assert.rejects(exporter.start(), (error) => error instanceof ExportError && error.code === 'UNUSABLE_PATH')
})
