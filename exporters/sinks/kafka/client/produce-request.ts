/**
 * Lets kafkajs 2.2.4 send our encoded record batches: its encoder creates some twenty objects per record and takes nine tenths
 * of the time per event. Connections, metadata, SASL and TLS remain kafkajs's. A batch is the only message of a `send`, and the
 * produce request writes its bytes in place of the records. Other users of kafkajs in this process are not affected.
 */
import { ExportError } from '../../../contract/errors.ts'
import { KafkaFault } from './faults.ts'
import { insideOf, installedVersion, KNOWN_VERSION } from './internals.ts'
import type { Producer } from './record-batch.ts'

/** Record batches of magic 2 need Produce v3 (Kafka 0.11); v3 to v7, kafkajs's latest, have the same layout. */
const FIRST_PRODUCE = 3

const TOO_OLD = 'cannot write to these brokers: UNSUPPORTED_VERSION, expected Kafka 0.11 or later'

/** A batch as a message of kafkajs; each try calls `write` with the producer's identity. */
export class ReadyBatch {
  /** kafkajs checks that it exists. */
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
  /** -1 without idempotence, else a number as a string. */
  readonly producerId: unknown
  readonly producerEpoch: number
  readonly topicData: ReadonlyArray<{
    readonly topic: string
    readonly partitions: ReadonlyArray<{ readonly partition: number; readonly messages: readonly unknown[] }>
  }>
}
interface Request {
  readonly apiVersion: number
  /** The bytes after the request's header; kafkajs reads both properties. */
  encode(): Promise<{ readonly buf: Buffer; readonly buffer: Buffer }>
}
type Make = (produced: Produced) => { readonly request: Request; readonly response: unknown }
interface Definition {
  protocol(of: { readonly version: number }): Make
}

let applied = false

/** Installs it once per process. Throws ExportError for an unknown version of kafkajs. */
export function acceptReadyBatches(version: string = installedVersion()): void {
  if (version !== KNOWN_VERSION) {
    throw new ExportError('UNUSABLE', `kafka: expected kafkajs ${KNOWN_VERSION}, got ${version}; reinstall the package`)
  }
  if (applied) return
  const definition = insideOf<Definition>('protocol/requests/produce', 'protocol')
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

/** The batch, if it is the only message of the request. */
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
