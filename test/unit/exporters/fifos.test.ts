/** A FIFO without a peer in place of each file that an exporter reads or writes: refused with a message, without hanging. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { ExportError } from '../../../exporters/contract/errors.ts'
import { DeadLetterFile } from '../../../exporters/dead-letter/dead-letters.ts'
import { FileExporter } from '../../../exporters/sinks/file/exporter.ts'
import { systemFiles } from '../../../exporters/sinks/file/file-system.ts'
import { compress } from '../../../exporters/sinks/file/compress.ts'
import { readTlsFiles } from '../../../exporters/runtime/tls-files.ts'
import { readConnection } from '../../../exporters/sinks/kafka/client/connection.ts'
import { exporterConfig } from '../../support/exporter-config.ts'
import { FakeSink } from '../../support/otlp/server.ts'
import { exporterFor } from './sinks/otlp/support.ts'
import { Folder } from './support/folder.ts'
import { fileConfig } from './support/file-rig.ts'

const tls = (files: object): Promise<unknown> => readTlsFiles({ insecure_skip_verify: false, ...files })
const kafka = (change: object): Promise<unknown> =>
  readConnection(exporterConfig('kafka', { brokers: ['b:1'], topic: 't', ...change }))

async function otlpHeader(fifo: string): Promise<void> {
  await using sink = await FakeSink.start()
  await using exporter = exporterFor(sink, { header_files: { authorization: fifo } })
  await exporter.start()
}

const ROWS: ReadonlyArray<readonly [what: string, use: (fifo: string, file: string) => Promise<unknown>]> = [
  ['header_files.authorization', otlpHeader],
  ['tls.ca_file', (ca_file) => tls({ ca_file })],
  ['tls.cert_file', (cert_file, key_file) => tls({ cert_file, key_file })],
  ['tls.key_file', (key_file, cert_file) => tls({ cert_file, key_file })],
  ['tls.ca_file', (ca_file) => kafka({ tls: { ca_file } })],
  ['sasl.password_file', (password_file) => kafka({ sasl: { mechanism: 'plain', username: 'me', password_file } })],
]
for (const [what, use] of ROWS) {
  test(`fifos: ${what}`, { timeout: 20_000 }, async () => {
    using folder = new Folder()
    execFileSync('mkfifo', [folder.at('fifo')])
    writeFileSync(folder.at('file'), 'x')
    await assert.rejects(use(folder.at('fifo'), folder.at('file')), (error) => {
      assert.ok(error instanceof ExportError && error.code === 'UNUSABLE')
      assert.equal(error.message, `${what}: cannot read "${folder.at('fifo')}": it is a FIFO; expected a regular file`)
      return true
    })
  })
}

for (const name of ['file exporter', 'dead-letter file']) {
  test(`fifos: the path of a ${name}`, { timeout: 20_000 }, async () => {
    using folder = new Folder()
    const path = folder.at('fifo')
    execFileSync('mkfifo', [path])
    const output =
      name === 'file exporter'
        ? new FileExporter(fileConfig({ path }))
        : new DeadLetterFile({ path, max_size: 1 << 20, max_files: 1 }, { exporter: 'x', epoch: 'e' })
    await assert.rejects(output.start(), (error) => {
      assert.ok(error instanceof ExportError && error.code === 'UNUSABLE')
      assert.match(
        error.message,
        /^cannot open ".*fifo": expected a regular file, got something else; choose another path$/,
      )
      return true
    })
    await ('close' in output ? output.close() : output.stop())
  })
}

test('fifos: a rotated file that is to be compressed', { timeout: 20_000 }, async () => {
  using folder = new Folder()
  const path = folder.at('fifo')
  execFileSync('mkfifo', [path])
  const rotated = { path, wallMs: 0, compressed: false, sizeBytes: 0, mode: 0o600 }
  await assert.rejects(compress(systemFiles, rotated, AbortSignal.timeout(10_000)), /ESPIPE/)
})
