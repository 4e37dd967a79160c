import assert from 'node:assert/strict'
import { test } from 'node:test'
import kafkajs from 'kafkajs'
import { AuthenticationError, NetworkError, ResponseError, UserError } from '@platformatic/kafka'
import { faultOf, KafkaFault } from '../../../../../../exporters/sinks/kafka/client/faults.ts'

const protocol = (type: string, code: number): Error =>
  new kafkajs.KafkaJSProtocolError(Object.assign(new Error(`broker error ${type}`), { type, code, retriable: true }))
const exhausted = (cause: Error): Error =>
  new kafkajs.KafkaJSNumberOfRetriesExceeded(cause, { retryCount: 5, retryTime: 1 })
const answer = (code: number): Error => new ResponseError(0, 9, { '/responses/0': [code, null] }, {})
const reset = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })
const selfSigned = Object.assign(new Error('self-signed certificate'), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' })

const EXPIRED = 'CERT_HAS_EXPIRED'
const badPassword = Object.assign(new Error('no'), { name: 'KafkaJSSASLAuthenticationError' })

const notFound = Object.assign(new Error('Broker -1 not found'), { name: 'KafkaJSBrokerNotFound' })
const lostInLogin = new AuthenticationError('no', { cause: new NetworkError('lost', { cause: reset }) })
const NO_LOGIN = 'SASL_AUTHENTICATION_FAILED'

const ROWS = [
  ['kafkajs, too large', protocol('MESSAGE_TOO_LARGE', 10), 'too_large', 'MESSAGE_TOO_LARGE'],
  ['kafkajs, no right', protocol('TOPIC_AUTHORIZATION_FAILED', 29), 'config', 'TOPIC_AUTHORIZATION_FAILED'],
  [
    'kafkajs, retries exceeded over a moved leader',
    exhausted(protocol('NOT_LEADER', 6)),
    'moved',
    'NOT_LEADER_OR_FOLLOWER',
  ],
  [
    'kafkajs, retries exceeded over a topic that this broker does not know',
    exhausted(protocol('X', 3)),
    'moved',
    'UNKNOWN_TOPIC_OR_PARTITION',
  ],
  ['kafkajs, sequence lost', protocol('OUT_OF_ORDER_SEQUENCE_NUMBER', 45), 'reset', 'OUT_OF_ORDER_SEQUENCE_NUMBER'],
  ['kafkajs, producer forgotten', protocol('UNKNOWN_PRODUCER_ID', 59), 'reset', 'UNKNOWN_PRODUCER_ID'],
  ['kafkajs, password', badPassword, 'config', NO_LOGIN],
  ['kafkajs, connection', new kafkajs.KafkaJSConnectionError('Connection error: ', {}), 'retry', 'NETWORK'],
  [
    'kafkajs, certificate',
    exhausted(new kafkajs.KafkaJSConnectionError('Connection error: certificate has expired', { code: EXPIRED })),
    'config',
    EXPIRED,
  ],
  ['platformatic, invalid record', answer(87), 'permanent', 'INVALID_RECORD'],
  ['platformatic, epoch', answer(47), 'reset', 'INVALID_PRODUCER_EPOCH'],
  ['platformatic, not enough replicas', answer(19), 'unwritten', 'NOT_ENOUGH_REPLICAS'],
  ['kafkajs, no leader', exhausted(notFound), 'moved', 'LEADER_NOT_AVAILABLE'],
  ['platformatic, lost in a login', new NetworkError('no', { cause: lostInLogin }), 'retry', 'ECONNRESET'],
  ['platformatic, refused in a login', new AuthenticationError('no', { cause: answer(58) }), 'config', NO_LOGIN],
  ['platformatic, other mistake', new UserError('Bad thing.'), 'retry', 'NETWORK'],
  ['platformatic, password', new AuthenticationError('no'), 'config', NO_LOGIN],
  ['platformatic, connection', new NetworkError('lost', { cause: reset }), 'retry', 'ECONNRESET'],
  [
    'platformatic, certificate',
    new NetworkError('lost', { cause: selfSigned }),
    'config',
    'DEPTH_ZERO_SELF_SIGNED_CERT',
  ],
  ['an unknown code', protocol('NEW_ONE', 999), 'retry', 'NETWORK'],
  ['no error at all', 'text', 'retry', 'NETWORK'],
  ['nothing', undefined, 'retry', 'NETWORK'],
] as const

for (const [name, error, kind, code] of ROWS) {
  test(`kafka faults: ${name} is ${kind} (${code})`, () => {
    const found = faultOf(error, 'write to topic "t"')
    assert.deepEqual([found.kind, found.code], [kind, code])
    assert.match(found.message, /^cannot write to topic "t": /)
  })
}

test('kafka faults: a fault stays what it is, and a cycle of causes ends', () => {
  const fault = new KafkaFault('reset', 'X', 'y')
  assert.equal(faultOf(fault, 'z'), fault)
  const cycle: Error & { cause?: unknown } = new Error('a')
  cycle.cause = new Error('b', { cause: cycle })
  assert.equal(faultOf(cycle, 'z').kind, 'retry')
})

test('kafka faults: our own fault is found inside the error of a library', () => {
  const own = new KafkaFault('config', 'UNSUPPORTED_VERSION', 'too old')
  assert.equal(faultOf(exhausted(own), 'write'), own)
})
