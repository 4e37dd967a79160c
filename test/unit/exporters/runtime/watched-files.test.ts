/** Certificates, passwords and header values that are replaced without a signal, for senders with the default waits. */
import assert from 'node:assert/strict'
import { copyFileSync, mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import type { Exporter } from '../../../../exporters/contract/exporter.ts'
import { WatchedFiles } from '../../../../exporters/runtime/watched-files.ts'
import { Sender } from '../../../../exporters/sending/sender.ts'
import { createAuthority, withoutOpenssl } from '../../../support/authority.ts'
import { exporterConfig } from '../../../support/exporter-config.ts'
import { FakeSink, OK } from '../../../support/otlp/server.ts'
import { kafkaExporter } from '../sinks/kafka/support/config.ts'
import { fault, FakeClient } from '../sinks/kafka/support/fake-client.ts'
import { encoded, exporterFor } from '../sinks/otlp/support.ts'
import { until } from '../support/fake-clock.ts'
import { Folder } from '../support/folder.ts'
import { describedLines } from '../support/lines.ts'

const skip = withoutOpenssl()
const SOON_MS = 5000
const NO_FILES = { insecure_skip_verify: false }

async function senderOf(exporter: Exporter): Promise<Sender> {
  const { queue, batch, retry, timeout } = exporterConfig('otlp', { logs_endpoint: 'http://none/v1/logs' })
  const sender = new Sender('sink', exporter, { queue, batch: { ...batch, max_wait: 0 }, retry, timeout })
  await sender.start()
  return sender
}

/** A Kafka exporter that logs in with the password in `folder`. */
function kafkaWith(folder: Folder): {
  readonly exporter: Exporter
  readonly client: FakeClient
  readonly used: () => string
} {
  const client = new FakeClient()
  let first = ''
  const sasl = { mechanism: 'plain', username: 'u', password_file: folder.at('password') } as const
  const exporter = kafkaExporter(
    { sasl },
    {
      makeClient: (connection) => {
        first = connection.sasl?.password ?? ''
        return client
      },
    },
  )
  return { exporter, client, used: () => client.connection?.sasl?.password ?? first }
}

test('kafka: a password that is replaced while the broker refuses the old one is used within five seconds', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('password'), 'old')
  const { exporter, client, used } = kafkaWith(folder)
  client.plan = () => (used() === 'new' ? undefined : fault('config', 'SASL_AUTHENTICATION_FAILED'))
  const sender = await senderOf(exporter)
  void sender.offer(describedLines(0, 3))
  await until('it holds', () => sender.accounting().state === 'hold' && sender.stats().retryWaitMs > 0)
  writeFileSync(folder.at('password'), 'new')
  await until('it is delivered', () => sender.accounting().delivered === 3, SOON_MS)
  await sender.stop(0)
})

test('kafka: a password that is replaced while events flow is used within five seconds', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('password'), 'old')
  const { exporter, client, used } = kafkaWith(folder)
  const sender = await senderOf(exporter)
  let seq = 0
  const flows = (): boolean => {
    if (sender.accounting().heldEvents === 0) void sender.offer(describedLines(seq++, 1))
    return used() === 'new'
  }
  await until('an event is delivered', () => flows() || sender.accounting().delivered > 0)
  writeFileSync(folder.at('next'), 'new')
  renameSync(folder.at('next'), folder.at('password'))
  await until('the new password is used', flows, SOON_MS)
  assert.equal(client.resets, 1, 'one new connection')
  await sender.stop(1000)
  assert.equal(sender.accounting().delivered, sender.accounting().accepted)
})

test(
  'otlp: an authority that is replaced while the sink is not trusted is used within five seconds',
  { skip },
  async () => {
    using folder = new Folder()
    const good = createAuthority(folder.path, 'good')
    const other = createAuthority(folder.path, 'other')
    copyFileSync(other.ca, folder.at('ca'))
    await using sink = await FakeSink.start(undefined, { cert: readFileSync(good.cert), key: readFileSync(good.key) })
    const sender = await senderOf(exporterFor(sink, { tls: { ...NO_FILES, ca_file: folder.at('ca') } }))
    void sender.offer(encoded(0, 3))
    await until('it holds', () => sender.accounting().state === 'hold' && sender.stats().retryWaitMs > 0)
    copyFileSync(good.ca, folder.at('ca'))
    await until('it is delivered', () => sender.accounting().delivered === 3, SOON_MS)
    await sender.stop(0)
  },
)

test(
  'otlp: a token and a client certificate that are replaced while events flow end the old connection',
  { skip },
  async () => {
    using folder = new Folder()
    const good = createAuthority(folder.path, 'good')
    const other = createAuthority(folder.path, 'other')
    // As Kubernetes mounts secrets: a link to a folder is replaced.
    for (const [name, { cert, key }] of Object.entries({ good, other })) {
      mkdirSync(folder.at(`${name}-files`))
      copyFileSync(cert, folder.at(`${name}-files/cert`))
      copyFileSync(key, folder.at(`${name}-files/key`))
      writeFileSync(folder.at(`${name}-files/token`), name)
    }
    symlinkSync('good-files', folder.at('data'))
    const server = {
      cert: readFileSync(good.cert),
      key: readFileSync(good.key),
      requestCert: true,
      rejectUnauthorized: false,
    }
    const seen: string[] = []
    await using sink = await FakeSink.start(({ headers, peer }) => {
      seen.push(`${headers['authorization'] ?? ''} ${peer}`)
      return OK
    }, server)
    const tls = { ...NO_FILES, ca_file: good.ca, cert_file: folder.at('data/cert'), key_file: folder.at('data/key') }
    const sender = await senderOf(exporterFor(sink, { tls, header_files: { authorization: folder.at('data/token') } }))
    let seq = 0
    const flows = (): boolean => {
      if (sender.accounting().heldEvents === 0) void sender.offer(encoded(seq++, 1))
      return seen.at(-1)?.startsWith('other ') === true
    }
    await until('an event is delivered', () => flows() || sender.accounting().delivered > 0)
    symlinkSync('other-files', folder.at('next'))
    renameSync(folder.at('next'), folder.at('data'))
    await until('the new files are used', flows, SOON_MS)
    assert.equal(sink.connections, 2)
    await sender.stop(1000)
  },
)

test('watched files: content that cannot be used is reported once, and the next change is noticed', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('password'), 'a')
  const warnings: string[] = []
  let renewals = 0
  const files = new WatchedFiles(
    [folder.at('password'), undefined],
    () => (++renewals === 1 ? Promise.reject(new Error('it is empty')) : Promise.resolve()),
    (text) => warnings.push(text),
  )
  await files.mark()
  let changed = false
  void files.changed()?.then(() => (changed = true))
  writeFileSync(folder.at('password'), '')
  await until('it is reported', () => warnings.length > 0)
  assert.deepEqual(warnings, ['it is empty; the old content stays in use'])
  writeFileSync(folder.at('password'), 'b')
  await until('it is noticed', () => changed)
  assert.deepEqual([renewals, warnings.length], [2, 1])
  assert.equal(new WatchedFiles([undefined], () => Promise.resolve()).changed(), undefined)
})
