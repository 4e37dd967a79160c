/** From the YAML of a config to a real broker and back: restarts of both sides, TLS, logins, a password that is replaced. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { test } from 'node:test'
import type { FanOut } from '../../../exporters/index.ts'
import { createAuthority, withoutOpenssl } from '../../support/authority.ts'
import { publish, started } from '../../support/kafka/by-config.ts'
import { NODE_NAME } from '../../support/kafka/events.ts'
import { readTopic } from '../../support/kafka/read-topic.ts'
import { numberOf, reconcile } from '../../support/kafka/reconcile.ts'
import { DEADLINE_MS, withCluster } from '../../support/kafka/rig.ts'
import { LONG } from '../../support/long.ts'
import { sumOf } from '../../support/otlp/audited.ts'
import { typed } from '../../unit/collector/cli/support/terminal.ts'
import type { Written } from '../../unit/collector/cli/support/terminal.ts'
import { until } from '../../unit/exporters/support/fake-clock.ts'
import { Folder } from '../../unit/exporters/support/folder.ts'

const RETRY = 'retry: { initial: 100ms, max: 1s }'
const USER = { username: 'me', password: 'open-sesame' }
const THIRD = LONG ? 5000 : 1000
const FIRST_RUN = 3 * THIRD
const SECOND_RUN = THIRD

const UNTRUSTED = /self.signed|SELF_SIGNED|UNABLE_TO_|unable to verify/i
const HAS_IPV6 = Object.values(networkInterfaces()).some((own) => own?.some(({ address }) => address === '::1'))

const audit = (place: string, keys: Record<string, string>): Promise<Written> =>
  typed(['audit', `kafka://${place}?${new URLSearchParams(keys)}`, '-o', 'json'])

const delivered = (fanOut: FanOut): number => fanOut.senders[0]?.accounting().delivered ?? 0
const imbalance = (fanOut: FanOut): number | undefined => fanOut.senders[0]?.imbalance()

test('kafka by config: with a spool, restarts of the broker and of the agent neither lose nor renumber an event', async (t) => {
  await withCluster(t, { nodes: 1 }, async (cluster, jars, topics) => {
    using folder = new Folder()
    await topics.create('events', 3)
    const spool = `spool: { dir: ${folder.path}, min_free: 0B, fsync: batch }`
    const keys = `brokers: ["${cluster.brokers[0]}"], topic: events, key: exec_id, ${RETRY}, ${spool}`
    const first = await started(keys, 'e1')
    await publish(first, 0, THIRD)
    await until('the first third is delivered', () => delivered(first) === THIRD, DEADLINE_MS)
    await publish(first, THIRD, 1.4 * THIRD)
    const restarted = cluster.kill(1).then(() => cluster.restart(1))
    await publish(first, 1.4 * THIRD, 2 * THIRD)
    await restarted
    await until('the second third is delivered', () => delivered(first) === 2 * THIRD, DEADLINE_MS)
    await cluster.kill(1)
    await publish(first, 2 * THIRD, FIRST_RUN)
    await first.stop(500)
    assert.equal(imbalance(first), 0)
    assert.ok(delivered(first) < FIRST_RUN, 'nothing was left for the second run')
    await cluster.restart(1)
    const second = await started(keys, 'e2')
    await publish(second, 0, SECOND_RUN)
    await until('all is delivered', () => second.senders[0]?.accounting().heldEvents === 0, DEADLINE_MS)
    await second.stop(10_000)
    assert.equal(imbalance(second), 0)
    assert.equal(delivered(first) + delivered(second), FIRST_RUN + SECOND_RUN)
    const records = await readTopic(jars, cluster.brokers, 'events')
    const duplicates = reconcile(records, { e1: FIRST_RUN, e2: SECOND_RUN })
    t.diagnostic(`${duplicates} duplicates of ${FIRST_RUN + SECOND_RUN} events`)
    for (const { value } of records) assert.ok(value.includes(`"node_name":"${NODE_NAME}"`))
  })
})

test('kafka by config: TLS with client certificates and a login; a wrong password holds events until its file is corrected', async (t) => {
  const missing = withoutOpenssl()
  if (missing !== false) return t.skip(missing)
  using folder = new Folder()
  const host = HAS_IPV6 ? '[::1]' : '127.0.0.1'
  t.diagnostic(`listener on ${host}`)
  const files = createAuthority(folder.path, 'brokers', { addresses: [host.replace(/[[\]]/g, '')] })
  await withCluster(t, { nodes: 1, secure: { files, host, ...USER } }, async (cluster, jars, topics) => {
    const client = `ca_file: ${files.ca}, cert_file: ${files.cert}, key_file: ${files.key}`
    for (const mechanism of ['plain', 'scram-sha-512'] as const) {
      await t.test(mechanism, async () => {
        const topic = `login-${mechanism}`
        await topics.create(topic, 1)
        const passwordFile = folder.at(`${topic}.password`)
        writeFileSync(passwordFile, 'wrong\n', { mode: 0o600 })
        const sasl = `sasl: { mechanism: ${mechanism}, username: ${USER.username}, password_file: ${passwordFile} }`
        const brokers = `brokers: ["${cluster.secureBrokers[0]}"]`
        const keys = `${brokers}, topic: ${topic}, ${RETRY}, tls: { ${client} }, ${sasl}`
        const fanOut = await started(keys, 'e1')
        await publish(fanOut, 0, 400)
        await until('it holds', () => fanOut.senders[0]?.accounting().state === 'hold', DEADLINE_MS)
        assert.match(
          fanOut.senders[0]?.accounting().lastError ?? '',
          /SASL_AUTHENTICATION_FAILED.*check sasl\.mechanism, sasl\.username and sasl\.password/,
        )
        // No signal is sent: the next attempt reads the file.
        writeFileSync(passwordFile, `${USER.password}\n`)
        await until('all is delivered', () => delivered(fanOut) === 400, DEADLINE_MS)
        await fanOut.stop(10_000)
        const records = await readTopic(jars, cluster.brokers, topic)
        assert.deepEqual(
          records.map((record) => numberOf(record).seq),
          [...Array(400).keys()],
        )
        const login = {
          'sasl.mechanism': mechanism,
          'sasl.username': USER.username,
          'sasl.password_file': passwordFile,
        }
        const own = { 'tls.ca_file': files.ca, 'tls.cert_file': files.cert, 'tls.key_file': files.key }
        const { stdout } = await audit(`${cluster.secureBrokers[0]}/${topic}`, { ...own, ...login })
        assert.equal(sumOf(JSON.parse(stdout).streams).records, 400)
      })
    }
    await t.test('without the certificate authority of the brokers', async () => {
      const login = `sasl: { mechanism: plain, username: ${USER.username}, password: ${USER.password} }`
      const keys = `brokers: ["${cluster.secureBrokers[0]}"], topic: x, ${RETRY}, tls: {}, ${login}`
      const fanOut = await started(keys, 'e1')
      await publish(fanOut, 0, 1)
      await until('it holds', () => fanOut.senders[0]?.accounting().state === 'hold', DEADLINE_MS)
      assert.match(fanOut.senders[0]?.accounting().lastError ?? '', UNTRUSTED)
      await fanOut.stop(0)
      const { code, stderr } = await audit(`${cluster.secureBrokers[0]}/x`, { 'tls.server_name': 'localhost' })
      assert.equal(code, 1)
      assert.match(stderr, UNTRUSTED)
    })
  })
})
