/** Certificates and passwords from files: read at start, on a reopen and after a refusal. */
import assert from 'node:assert/strict'
import { chmodSync, rmSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { ExportError } from '../../../../exporters/errors.ts'
import { openSecrets, readConnection } from '../../../../exporters/kafka/credentials.ts'
import { KafkaExporter } from '../../../../exporters/kafka/exporter.ts'
import { DEFAULT_KAFKA_OPTIONS } from '../../../../exporters/kafka/options.ts'
import type { KafkaConnection, KafkaOptions } from '../../../../exporters/kafka/options.ts'
import { Folder } from '../support/folder.ts'
import { batch, lines } from '../support/lines.ts'
import { fault, FakeDriver } from './support/fake-driver.ts'

const NEVER = new AbortController().signal
const LOGIN = { mechanism: 'plain', username: 'me' } as const

const optionsOf = (change: Pick<KafkaOptions, 'tls' | 'sasl'>): KafkaOptions => ({
  ...DEFAULT_KAFKA_OPTIONS,
  brokers: ['b:9092'],
  topic: 'events',
  nodeName: 'n',
  epoch: 'e',
  ...change,
})

/** An exporter that has started, what its driver was made with, and what was said. */
async function started(folder: Folder): Promise<{
  exporter: KafkaExporter
  driver: FakeDriver
  made: KafkaConnection[]
  warnings: string[]
}> {
  const driver = new FakeDriver()
  const made: KafkaConnection[] = []
  const warnings: string[] = []
  const makeDriver = (connection: KafkaConnection): FakeDriver => {
    made.push(connection)
    return driver
  }
  const options = optionsOf({ sasl: { ...LOGIN, passwordFile: folder.at('password') } })
  const exporter = new KafkaExporter(options, { makeDriver, warn: (text) => warnings.push(text) })
  await exporter.start()
  return { exporter, driver, made, warnings }
}

test('kafka credentials: files become their content, a password without its line feed', async () => {
  using folder = new Folder()
  for (const name of ['ca', 'cert', 'key', 'password']) writeFileSync(folder.at(name), `${name} text\n`)
  const tls = { caFile: folder.at('ca'), certFile: folder.at('cert'), keyFile: folder.at('key'), serverName: 's' }
  const connection = await readConnection(optionsOf({ tls, sasl: { ...LOGIN, passwordFile: folder.at('password') } }))
  const pem = { ca: 'ca text\n', cert: 'cert text\n', key: 'key text\n' }
  assert.deepEqual(connection.tls, { ...pem, serverName: 's', insecure: false })
  assert.deepEqual(connection.sasl, { ...LOGIN, password: 'password text' })
  const plain = await readConnection(optionsOf({ sasl: { ...LOGIN, password: 'p\n' } }))
  assert.deepEqual([plain.tls, plain.sasl?.password], [undefined, 'p\n'])
})

const BAD: ReadonlyArray<{
  readonly name: string
  readonly options: (folder: Folder) => Pick<KafkaOptions, 'tls' | 'sasl'>
  readonly says: RegExp
}> = [
  {
    name: 'a file that is not there',
    options: (folder) => ({ tls: { caFile: folder.at('none') } }),
    says: /^tls\.ca_file: cannot read ".*none": ENOENT.*; check path and rights$/,
  },
  {
    name: 'a folder as a key',
    options: (folder) => ({ tls: { certFile: folder.at('full'), keyFile: folder.at('.') } }),
    says: /^tls\.key_file: cannot read ".*": EISDIR/,
  },
  {
    name: 'a certificate without key',
    options: (folder) => ({ tls: { certFile: folder.at('full') } }),
    says: /^tls: expected cert_file and key_file together/,
  },
  {
    name: 'a login without password',
    options: () => ({ sasl: LOGIN }),
    says: /^sasl: expected password or password_f/,
  },
  {
    name: 'an empty password file',
    options: (folder) => ({ sasl: { ...LOGIN, passwordFile: folder.at('empty') } }),
    says: /^sasl: expected a password in ".*empty", got an empty file$/,
  },
]
for (const { name, options, says } of BAD) {
  test(`kafka credentials: an exporter does not start with ${name}`, async () => {
    using folder = new Folder()
    writeFileSync(folder.at('empty'), '\n')
    writeFileSync(folder.at('full'), 'x')
    const exporter = new KafkaExporter(optionsOf(options(folder)), { makeDriver: () => new FakeDriver() })
    await assert.rejects(exporter.start(), (error) => {
      assert.ok(error instanceof ExportError && error.code === 'UNUSABLE')
      assert.match(error.message, says)
      return true
    })
  })
}

test('kafka credentials: a secret that every user can read is named, one that only its owner can is not', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('open'), 'x')
  writeFileSync(folder.at('closed'), 'x')
  chmodSync(folder.at('open'), 0o644)
  chmodSync(folder.at('closed'), 0o640)
  const found = await openSecrets(
    optionsOf({ tls: { keyFile: folder.at('open') }, sasl: { ...LOGIN, passwordFile: folder.at('closed') } }),
  )
  assert.equal(found.length, 1)
  assert.match(found[0] ?? '', /^tls\.key_file: every user of this host can read ".*open"; chmod o-r it$/)
})

test('kafka credentials: a reopen takes a new password into use, and connects anew only when there is one', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('password'), 'old')
  const { exporter, driver, made } = await started(folder)
  assert.equal(made[0]?.sasl?.password, 'old')
  await exporter.reopen()
  await exporter.send(batch(lines(0, 1)), NEVER)
  assert.equal(driver.resets, 0)
  writeFileSync(folder.at('password'), 'new')
  await exporter.reopen()
  assert.equal((await exporter.send(batch(lines(1, 1)), NEVER)).status, 'delivered')
  assert.deepEqual([driver.resets, driver.connection?.sasl?.password], [1, 'new'])
})

test('kafka credentials: a password that is replaced while it connects anew is not forgotten', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('password'), 'old')
  const { exporter, driver } = await started(folder)
  driver.plan = () => fault('reset')
  await exporter.send(batch(lines(0, 1)), NEVER)
  driver.plan = () => undefined
  const reset = driver.reset.bind(driver)
  driver.reset = async (connection) => {
    driver.reset = reset
    writeFileSync(folder.at('password'), 'new')
    await exporter.reopen()
    await reset(connection)
  }
  await exporter.send(batch(lines(0, 1)), NEVER)
  await exporter.send(batch(lines(1, 1)), NEVER)
  assert.equal(driver.connection?.sasl?.password, 'new')
})

test('kafka credentials: a reopen that can not read says so, and the old ones stay in use', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('password'), 'old')
  const { exporter, driver } = await started(folder)
  rmSync(folder.at('password'))
  await assert.rejects(exporter.reopen(), /sasl\.password_file: cannot read/)
  assert.equal((await exporter.send(batch(lines(0, 1)), NEVER)).status, 'delivered')
  assert.equal(driver.resets, 0)
})

for (const code of ['SASL_AUTHENTICATION_FAILED', 'CERT_HAS_EXPIRED', 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED']) {
  test(`kafka credentials: after ${code} it holds, and the next try is with what the files say then`, async () => {
    using folder = new Folder()
    writeFileSync(folder.at('password'), 'old')
    const { exporter, driver } = await started(folder)
    driver.plan = () => (driver.connection?.sasl?.password === 'new' ? undefined : fault('config', code))
    assert.equal((await exporter.send(batch(lines(0, 1)), NEVER)).status, 'hold')
    writeFileSync(folder.at('password'), 'new')
    assert.equal((await exporter.send(batch(lines(0, 1)), NEVER)).status, 'delivered')
  })
}

test('kafka credentials: a file that is gone at a retry is told, and the old password is tried again', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('password'), 'old')
  const { exporter, driver, warnings } = await started(folder)
  driver.plan = () => fault('config', 'SASL_AUTHENTICATION_FAILED')
  await exporter.send(batch(lines(0, 1)), NEVER)
  rmSync(folder.at('password'))
  driver.plan = () => undefined
  assert.equal((await exporter.send(batch(lines(0, 1)), NEVER)).status, 'delivered')
  assert.equal(driver.connection?.sasl?.password, 'old')
  assert.match(warnings.at(-1) ?? '', /sasl\.password_file: cannot read/)
})
