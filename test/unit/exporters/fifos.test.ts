/** A FIFO nobody opens, in place of each file that an exporter reads or writes: refused in words, and nothing hangs. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { ExportError } from '../../../exporters/contract/errors.ts'
import { DeadLetterFile } from '../../../exporters/dead-letter/dead-letters.ts'
import { FileExporter } from '../../../exporters/sinks/file/exporter.ts'
import { systemFiles } from '../../../exporters/sinks/file/file-system.ts'
import { compress } from '../../../exporters/sinks/file/compress.ts'
import { readConnection } from '../../../exporters/sinks/kafka/credentials.ts'
import { DEFAULT_KAFKA_OPTIONS } from '../../../exporters/sinks/kafka/options.ts'
import type { KafkaOptions } from '../../../exporters/sinks/kafka/options.ts'
import { secureContextOf } from '../../../exporters/sinks/otlp/files.ts'
import { FakeSink } from '../../support/otlp/server.ts'
import { exporterFor } from './sinks/otlp/support.ts'
import { Folder } from './support/folder.ts'

const kafka = (change: Pick<KafkaOptions, 'tls' | 'sasl'>): Promise<unknown> =>
  readConnection({ ...DEFAULT_KAFKA_OPTIONS, brokers: ['b:1'], topic: 't', nodeName: 'n', epoch: 'e', ...change })

async function otlpHeader(fifo: string): Promise<void> {
  await using sink = await FakeSink.start()
  await using exporter = exporterFor(sink, { headerFiles: { authorization: fifo } })
  await exporter.start()
}

const ROWS: ReadonlyArray<readonly [what: string, use: (fifo: string, file: string) => Promise<unknown>]> = [
  ['tls ca file', (fifo) => secureContextOf({ caFile: fifo })],
  ['tls certificate file', (certFile, keyFile) => secureContextOf({ certFile, keyFile })],
  ['tls key file', (keyFile, certFile) => secureContextOf({ certFile, keyFile })],
  ['header_files.authorization', otlpHeader],
  ['tls.ca_file', (caFile) => kafka({ tls: { caFile } })],
  ['tls.cert_file', (certFile, keyFile) => kafka({ tls: { certFile, keyFile } })],
  ['tls.key_file', (keyFile, certFile) => kafka({ tls: { certFile, keyFile } })],
  ['sasl.password_file', (passwordFile) => kafka({ sasl: { mechanism: 'plain', username: 'me', passwordFile } })],
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
    const options = {
      path,
      maxSizeBytes: 1 << 20,
      maxFiles: 1,
      mode: 0o600,
      fsync: 'never',
      exporter: 'x',
      epoch: 'e',
    } as const
    const output = name === 'file exporter' ? new FileExporter(options) : new DeadLetterFile(options)
    await assert.rejects(output.start(), (error) => {
      assert.ok(error instanceof ExportError && error.code === 'UNUSABLE')
      assert.match(
        error.message,
        /^cannot open ".*fifo": expected a regular file, got something else; choose another path$/,
      )
      return true
    })
    await output[Symbol.asyncDispose]()
  })
}

test('fifos: a rotated file that is to be compressed', { timeout: 20_000 }, async () => {
  using folder = new Folder()
  const path = folder.at('fifo')
  execFileSync('mkfifo', [path])
  const rotated = { path, wallMs: 0, compressed: false, sizeBytes: 0, mode: 0o600 }
  await assert.rejects(compress(systemFiles, rotated, AbortSignal.timeout(10_000)), /ESPIPE/)
})
