/** Certificates and passwords from files: read at start, on a reopen and after a refusal. */
import assert from 'node:assert/strict'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { ExportError } from '../../../../../../exporters/contract/errors.ts'
import { readConnection } from '../../../../../../exporters/sinks/kafka/client/connection.ts'
import type { KafkaConfig, KafkaConnection } from '../../../../../../exporters/sinks/kafka/client/connection.ts'
import type { KafkaExporter } from '../../../../../../exporters/sinks/kafka/exporter.ts'
import { createAuthority, withoutOpenssl } from '../../../../../support/authority.ts'
import { Folder } from '../../../support/folder.ts'
import { batch, lines } from '../../../support/lines.ts'
import { kafkaConfig, kafkaExporter } from '../support/config.ts'
import { fault, FakeClient } from '../support/fake-client.ts'

const NONE = withoutOpenssl()
const NEVER = new AbortController().signal
const NO_FILES = { insecure_skip_verify: false }
const LOGIN = { mechanism: 'plain', username: 'me' } as const

interface Files {
  readonly ca_file: string
  readonly cert_file: string
  readonly key_file: string
  readonly junk: string
  readonly other: string
}

/** A started exporter, the connections that its client was created with, and the warnings. */
async function started(folder: Folder): Promise<{
  exporter: KafkaExporter
  client: FakeClient
  made: KafkaConnection[]
  warnings: string[]
}> {
  const client = new FakeClient()
  const made: KafkaConnection[] = []
  const warnings: string[] = []
  const makeClient = (connection: KafkaConnection): FakeClient => {
    made.push(connection)
    return client
  }
  const sasl = { ...LOGIN, password_file: folder.at('password') }
  const exporter = kafkaExporter({ sasl }, { makeClient, warn: (text) => warnings.push(text) })
  await exporter.start()
  return { exporter, client, made, warnings }
}

test('kafka connection: files become their content, a password without its line feed', { skip: NONE }, async () => {
  using folder = new Folder()
  writeFileSync(folder.at('password'), 'password text\n')
  const { ca, cert, key } = createAuthority(folder.at('.'), 'a')
  const tls = { ...NO_FILES, ca_file: ca, cert_file: cert, key_file: key, server_name: 's' }
  const connection = await readConnection(
    kafkaConfig({ tls, sasl: { ...LOGIN, password_file: folder.at('password') } }),
  )
  const pem = { ca: readFileSync(ca, 'utf8'), cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') }
  assert.deepEqual(connection.tls, { ...tls, pem })
  assert.deepEqual(connection.sasl, { ...LOGIN, password: 'password text' })
  const plain = await readConnection(kafkaConfig({ sasl: { ...LOGIN, password: 'p\n' } }))
  assert.deepEqual([plain.tls, plain.sasl?.password], [undefined, 'p\n'])
})

const BAD: ReadonlyArray<{
  readonly name: string
  readonly change: (folder: Folder) => Partial<KafkaConfig>
  readonly message: RegExp
}> = [
  {
    name: 'a missing file',
    change: (folder) => ({ tls: { ...NO_FILES, ca_file: folder.at('none') } }),
    message: /^tls\.ca_file: cannot read ".*none": no such file$/,
  },
  {
    name: 'a folder as a key',
    change: (folder) => ({ tls: { ...NO_FILES, cert_file: folder.at('full'), key_file: folder.at('.') } }),
    message: /^tls\.key_file: cannot read ".*": it is a folder; expected a regular file$/,
  },
  {
    name: 'an empty password file',
    change: (folder) => ({ sasl: { ...LOGIN, password_file: folder.at('empty') } }),
    message: /^sasl: expected a password in ".*empty", got an empty file$/,
  },
]
for (const { name, change, message } of BAD) {
  test(`kafka connection: an exporter does not start with ${name}`, async () => {
    using folder = new Folder()
    writeFileSync(folder.at('empty'), '\n')
    writeFileSync(folder.at('full'), 'x')
    const exporter = kafkaExporter(change(folder), { makeClient: () => new FakeClient() })
    await assert.rejects(exporter.start(), (error) => {
      assert.ok(error instanceof ExportError && error.code === 'UNUSABLE')
      assert.match(error.message, message)
      return true
    })
  })
}

const UNUSABLE: ReadonlyArray<readonly [name: string, change: (files: Files) => Partial<Files>, message: RegExp]> = [
  ['authorities', ({ junk }) => ({ ca_file: junk }), /^tls\.ca_file: expected certificates in PEM in ".*junk": /],
  ['a certificate', ({ junk }) => ({ cert_file: junk }), /^tls\.cert_file: expected certificates in PEM in ".*junk": /],
  ['a key', ({ junk }) => ({ key_file: junk }), /^tls\.key_file: expected a private key without passphrase in PEM in /],
  [
    "another's key",
    ({ other }) => ({ key_file: other }),
    /^tls\.key_file: expected the key of ".*a-cert\.pem", got that/,
  ],
]
for (const [name, change, message] of UNUSABLE) {
  test(`kafka connection: unusable content of the file of ${name} is reported at once`, { skip: NONE }, async () => {
    using folder = new Folder()
    writeFileSync(folder.at('junk'), 'not a pem\n')
    const { ca, cert, key } = createAuthority(folder.at('.'), 'a')
    const other = createAuthority(folder.at('.'), 'b').key
    const files = { ca_file: ca, cert_file: cert, key_file: key, junk: folder.at('junk'), other }
    const unusable = (error: unknown): boolean =>
      error instanceof ExportError && error.code === 'UNUSABLE' && message.test(error.message)
    await assert.rejects(readConnection(kafkaConfig({ tls: { ...NO_FILES, ...files, ...change(files) } })), unusable)
  })
}

test('kafka connection: a reopen uses a new password, and reconnects only if it changed', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('password'), 'old')
  const { exporter, client, made } = await started(folder)
  assert.equal(made[0]?.sasl?.password, 'old')
  await exporter.reopen()
  await exporter.send(batch(lines(0, 1)), NEVER)
  assert.equal(client.resets, 0)
  writeFileSync(folder.at('password'), 'new')
  await exporter.reopen()
  assert.equal((await exporter.send(batch(lines(1, 1)), NEVER)).status, 'delivered')
  assert.deepEqual([client.resets, client.connection?.sasl?.password], [1, 'new'])
})

test('kafka connection: a password that is replaced during a reconnect is used', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('password'), 'old')
  const { exporter, client } = await started(folder)
  client.plan = () => fault('reset')
  await exporter.send(batch(lines(0, 1)), NEVER)
  client.plan = () => undefined
  const reset = client.reset.bind(client)
  client.reset = async (connection) => {
    client.reset = reset
    writeFileSync(folder.at('password'), 'new')
    await exporter.reopen()
    await reset(connection)
  }
  await exporter.send(batch(lines(0, 1)), NEVER)
  await exporter.send(batch(lines(1, 1)), NEVER)
  assert.equal(client.connection?.sasl?.password, 'new')
})

test('kafka connection: a reopen that cannot read the files is reported, and the old ones stay in use', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('password'), 'old')
  const { exporter, client } = await started(folder)
  rmSync(folder.at('password'))
  await assert.rejects(exporter.reopen(), /sasl\.password_file: cannot read/)
  assert.equal((await exporter.send(batch(lines(0, 1)), NEVER)).status, 'delivered')
  assert.equal(client.resets, 0)
})

for (const code of ['SASL_AUTHENTICATION_FAILED', 'CERT_HAS_EXPIRED', 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED']) {
  test(`kafka connection: after ${code} the exporter is in hold, and the next try reads the files again`, async () => {
    using folder = new Folder()
    writeFileSync(folder.at('password'), 'old')
    const { exporter, client } = await started(folder)
    client.plan = () => (client.connection?.sasl?.password === 'new' ? undefined : fault('config', code))
    assert.equal((await exporter.send(batch(lines(0, 1)), NEVER)).status, 'hold')
    writeFileSync(folder.at('password'), 'new')
    assert.equal((await exporter.send(batch(lines(0, 1)), NEVER)).status, 'delivered')
  })
}

test('kafka connection: a file that is missing at a retry is reported, and the old password is tried again', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('password'), 'old')
  const { exporter, client, warnings } = await started(folder)
  client.plan = () => fault('config', 'SASL_AUTHENTICATION_FAILED')
  await exporter.send(batch(lines(0, 1)), NEVER)
  rmSync(folder.at('password'))
  client.plan = () => undefined
  assert.equal((await exporter.send(batch(lines(0, 1)), NEVER)).status, 'delivered')
  assert.equal(client.connection?.sasl?.password, 'old')
  assert.match(warnings.at(-1) ?? '', /sasl\.password_file: cannot read/)
})
