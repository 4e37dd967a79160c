/**
 * Lets kafkajs 2.2.4 send record batches that are written already. Its own encoder makes some twenty objects a record and
 * is nine tenths of what an event costs; connections, metadata, SASL and TLS stay its own. A batch travels as the one
 * message of a `send`; the produce request writes its bytes where the records would be. Requests with other messages,
 * of whoever else uses kafkajs in this process, are left as they are.
 */
import { createRequire } from 'node:module'
import { ExportError } from '../../../contract/errors.ts'
import { KafkaFault } from '../faults.ts'
import { installedVersion, KNOWN_VERSION } from './kafkajs-guard.ts'
import type { Producer } from './record-batch.ts'

/** Record batches of magic 2 begin with Produce v3 (Kafka 0.11); v3 to v7, the last that kafkajs knows, are laid out alike. */
const FIRST_PRODUCE = 3

const TOO_OLD = 'cannot write to these brokers: UNSUPPORTED_VERSION, expected Kafka 0.11 or later'

/** A batch as a message of kafkajs; `write` is called for each try, with the identity of the producer that tries. */
export class ReadyBatch {
  /** kafkajs looks whether there is one. */
  readonly value: Buffer = Buffer.alloc(0)
  readonly partition: number
  readonly write: (identity: Pick<Producer, 'producerId' | 'epoch'>) => Promise<Buffer>

  constructor(partition: number, write: ReadyBatch['write']) {
    this.partition = partition
    this.write = write
  }
}

interface Produced {
  readonly acks: number
  readonly timeout: number
  /** -1 without idempotence, else a number as text. */
  readonly producerId: unknown
  readonly producerEpoch: number
  readonly topicData: ReadonlyArray<{
    readonly topic: string
    readonly partitions: ReadonlyArray<{ readonly partition: number; readonly messages: readonly unknown[] }>
  }>
}
interface Request {
  readonly apiVersion: number
  /** What is sent after the head of the request; kafkajs looks at both properties. */
  encode(): Promise<{ readonly buf: Buffer; readonly buffer: Buffer }>
}
type Make = (produced: Produced) => { readonly request: Request; readonly response: unknown }
interface Definition {
  protocol(of: { readonly version: number }): Make
}

let applied = false

/** Plugs it in, once a process. Throws ExportError for a version of kafkajs whose code is not known. */
export function acceptReadyBatches(version: string = installedVersion()): void {
  if (version !== KNOWN_VERSION) {
    throw new ExportError(
      'UNUSABLE',
      `driver kafkajs: expected kafkajs ${KNOWN_VERSION}, got ${version}; install that, or take platformatic`,
    )
  }
  if (applied) return
  const definition = produceDefinition()
  const protocol = definition.protocol
  definition.protocol = (of) => {
    const make = protocol(of)
    return (produced) => {
      const made = make(produced)
      const ready = readyBatchOf(produced)
      if (ready === undefined) return made
      if (made.request.apiVersion < FIRST_PRODUCE) throw new KafkaFault('config', 'UNSUPPORTED_VERSION', TOO_OLD)
      return { ...made, request: { ...made.request, encode: () => encode(produced, ready) } }
    }
  }
  applied = true
}

/** The batch, when it is all that the request has. */
function readyBatchOf({ topicData }: Produced): ReadyBatch | undefined {
  const message = topicData[0]?.partitions[0]?.messages[0]
  return message instanceof ReadyBatch ? message : undefined
}

async function encode(produced: Produced, ready: ReadyBatch): ReturnType<Request['encode']> {
  const { acks, timeout, topicData, producerId, producerEpoch } = produced
  const topic = Buffer.from(topicData[0]?.topic ?? '')
  const batch = await ready.write({ producerId: BigInt(String(producerId)), epoch: producerEpoch })
  // Transactional id (none), acks, timeout; one topic, one partition.
  const head = Buffer.alloc(2 + 2 + 4 + 4 + 2 + topic.length + 4 + 4 + 4)
  let at = head.writeInt16BE(-1, 0)
  at = head.writeInt16BE(acks, at)
  at = head.writeInt32BE(timeout, at)
  at = head.writeInt32BE(1, at)
  at = head.writeInt16BE(topic.length, at)
  at += topic.copy(head, at)
  at = head.writeInt32BE(1, at)
  at = head.writeInt32BE(ready.partition, at)
  head.writeInt32BE(batch.length, at)
  const buffer = Buffer.concat([head, batch])
  return { buf: buffer, buffer }
}

function produceDefinition(): Definition {
  const loaded: unknown = createRequire(import.meta.url)('kafkajs/src/protocol/requests/produce')
  if (isDefinition(loaded)) return loaded
  throw new Error(`kafkajs ${KNOWN_VERSION}: its produce request is not where it was; reinstall the package`)
}

function isDefinition(value: unknown): value is Definition {
  return typeof value === 'object' && value !== null && 'protocol' in value && typeof value.protocol === 'function'
}
