/** The meaning of Kafka's errors, from kafkajs or @platformatic/kafka (`ktrail audit`). Source: Kafka's Errors.java. For users: docs/reference/exporters/kafka.md. */
import { textOf } from '../../../contract/errors.ts'

/**
 * `retry`: temporary, may have been written. `unwritten`: temporary, not written. `moved`: not written, the leader has moved.
 * `permanent`: the content is refused. `config`: needs manual action. `reset`: needs a new producer.
 */
export type FaultKind = 'retry' | 'unwritten' | 'moved' | 'permanent' | 'config' | 'too_large' | 'reset'

export class KafkaFault extends Error {
  override readonly name = 'KafkaFault'
  readonly kind: FaultKind
  /** Kafka's or the system's name of the error. */
  readonly code: string

  constructor(kind: FaultKind, code: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.kind = kind
    this.code = code
  }
}

/** A repeated request of an idempotent producer whose first try was written: no fault. */
const ALREADY_THERE = 'DUPLICATE_SEQUENCE_NUMBER'
export const UNKNOWN_TOPIC = 'UNKNOWN_TOPIC_OR_PARTITION'

/** Protocol errors of a producer; every other code is `retry`. */
const CODES: ReadonlyMap<number, readonly [FaultKind, string]> = new Map([
  // The broker has just lost the partition or does not have it yet. Only the metadata show whether a topic exists.
  [3, ['moved', UNKNOWN_TOPIC]],
  [5, ['moved', 'LEADER_NOT_AVAILABLE']],
  [6, ['moved', 'NOT_LEADER_OR_FOLLOWER']],
  [7, ['retry', 'REQUEST_TIMED_OUT']],
  [10, ['too_large', 'MESSAGE_TOO_LARGE']],
  [17, ['config', 'INVALID_TOPIC_EXCEPTION']],
  [18, ['too_large', 'RECORD_LIST_TOO_LARGE']],
  [19, ['unwritten', 'NOT_ENOUGH_REPLICAS']],
  [20, ['retry', 'NOT_ENOUGH_REPLICAS_AFTER_APPEND']],
  [21, ['config', 'INVALID_REQUIRED_ACKS']],
  [29, ['config', 'TOPIC_AUTHORIZATION_FAILED']],
  [31, ['config', 'CLUSTER_AUTHORIZATION_FAILED']],
  [32, ['permanent', 'INVALID_TIMESTAMP']],
  [33, ['config', 'UNSUPPORTED_SASL_MECHANISM']],
  [34, ['config', 'ILLEGAL_SASL_STATE']],
  [35, ['config', 'UNSUPPORTED_VERSION']],
  [43, ['config', 'UNSUPPORTED_FOR_MESSAGE_FORMAT']],
  [44, ['config', 'POLICY_VIOLATION']],
  [45, ['reset', 'OUT_OF_ORDER_SEQUENCE_NUMBER']],
  [46, ['retry', ALREADY_THERE]],
  [47, ['reset', 'INVALID_PRODUCER_EPOCH']],
  [49, ['reset', 'INVALID_PRODUCER_ID_MAPPING']],
  [58, ['config', 'SASL_AUTHENTICATION_FAILED']],
  [59, ['reset', 'UNKNOWN_PRODUCER_ID']],
  [74, ['moved', 'FENCED_LEADER_EPOCH']],
  [76, ['config', 'UNSUPPORTED_COMPRESSION_TYPE']],
  [87, ['permanent', 'INVALID_RECORD']],
  [90, ['reset', 'PRODUCER_FENCED']],
])

/** OpenSSL's and Node's codes for an unusable certificate or key. */
const TLS_CODE = /^(CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|ERR_TLS_|ERR_OSSL_|ERR_SSL_|EPROTO$)/

/** True if other certificates or another password may help. */
export function isLoginFault({ code }: KafkaFault): boolean {
  return code === 'SASL_AUTHENTICATION_FAILED' || TLS_CODE.test(code)
}

const NEXT_STEP: Readonly<Record<string, string>> = {
  [UNKNOWN_TOPIC]: 'create it (ktrail does not create topics)',
  TOPIC_AUTHORIZATION_FAILED: 'allow this user to write to it (operations Write and Describe)',
  CLUSTER_AUTHORIZATION_FAILED: 'allow this user IdempotentWrite on the cluster, or set idempotent to false',
  SASL_AUTHENTICATION_FAILED: 'check sasl.mechanism, sasl.username and sasl.password',
  UNSUPPORTED_SASL_MECHANISM: 'check sasl.mechanism against the broker’s sasl.enabled.mechanisms',
}

/**
 * The fault for an error of a library, including its causes: kafkajs's "retries exceeded" is marked as not retriable although its
 * cause is. `what` is for the message, such as `write to topic "events"`.
 */
export function faultOf(error: unknown, what: string): KafkaFault {
  const chain = causesOf(error)
  const own = chain.find((link) => link instanceof KafkaFault)
  if (own !== undefined) return own
  for (const link of chain) {
    const known = CODES.get(numberIn(link, 'apiCode') ?? numberIn(link, 'code') ?? 0)
    if (known !== undefined) return new KafkaFault(known[0], known[1], sentence(what, known[1], link), error)
  }
  for (const link of chain) {
    const [kind, code] = judgedByName(link) ?? []
    if (kind !== undefined && code !== undefined) return new KafkaFault(kind, code, sentence(what, code, link), error)
  }
  const code = chain.map((link) => textIn(link, 'code')).find((text) => text !== '' && !text.startsWith('PLT_'))
  return new KafkaFault('retry', code ?? 'NETWORK', `cannot ${what}: ${textOf(chain.at(-1) ?? error)}`, error)
}

/** The fault for an error code in a response; 0 is no fault. */
export function faultOfCode(code: number, what: string): KafkaFault | undefined {
  return code === 0 ? undefined : unlessThere(faultOf({ code, message: '' }, what))
}

/** undefined if the records are already written. */
export function unlessThere(fault: KafkaFault): KafkaFault | undefined {
  return fault.code === ALREADY_THERE ? undefined : fault
}

/** Turns `retry` into `unwritten` if the caller knows that nothing was written. */
export function unwritten(fault: KafkaFault): KafkaFault {
  return fault.kind === 'retry' ? new KafkaFault('unwritten', fault.code, fault.message, fault.cause) : fault
}

/** The fault of a topic that does not exist according to the metadata. */
export function missingTopic(what: string): KafkaFault {
  return new KafkaFault('config', UNKNOWN_TOPIC, sentence(what, UNKNOWN_TOPIC, undefined))
}

function sentence(what: string, code: string, link: unknown): string {
  const message = textIn(link, 'message')
  const next = NEXT_STEP[code]
  return `cannot ${what}: ${code}${message === '' ? '' : `, ${message}`}${next === undefined ? '' : `; ${next}`}`
}

function judgedByName(link: unknown): readonly [FaultKind, string] | undefined {
  const name = textIn(link, 'name')
  const code = textIn(link, 'code')
  // kafkajs found no leader and has already refreshed its metadata.
  if (name === 'KafkaJSBrokerNotFound' || name === 'KafkaJSMetadataNotLoaded') return ['moved', 'LEADER_NOT_AVAILABLE']
  // With a cause, such as a lost connection, the password was not refused. A broker's refusal has a code.
  const refused = name === 'KafkaJSSASLAuthenticationError' || code === 'PLT_KFK_AUTHENTICATION'
  if (refused && !(link instanceof Error && link.cause !== undefined)) return ['config', 'SASL_AUTHENTICATION_FAILED']
  if (code === 'PLT_KFK_UNSUPPORTED_API') return ['config', 'UNSUPPORTED_VERSION']
  return TLS_CODE.test(code) ? ['config', code] : undefined
}

/** The error, its causes and the members of aggregates, outermost first; at most 20. */
function causesOf(error: unknown): unknown[] {
  const found: unknown[] = [error]
  for (let i = 0; i < found.length && found.length < 20; i++) {
    const link = found[i]
    if (typeof link !== 'object' || link === null) continue
    if ('errors' in link && Array.isArray(link.errors)) found.push(...link.errors)
    if ('cause' in link && link.cause !== undefined && !found.includes(link.cause)) found.push(link.cause)
  }
  return found
}

function numberIn(link: unknown, key: string): number | undefined {
  const value: unknown = typeof link === 'object' && link !== null ? Reflect.get(link, key) : undefined
  return typeof value === 'number' ? value : undefined
}

function textIn(link: unknown, key: string): string {
  const value: unknown = typeof link === 'object' && link !== null ? Reflect.get(link, key) : undefined
  return typeof value === 'string' ? value : ''
}
