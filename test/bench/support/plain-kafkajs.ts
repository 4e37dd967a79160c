/** kafkajs as its documentation shows it, for comparison with our Kafka exporter. */
import kafkajs from 'kafkajs'
import type { Message } from 'kafkajs'
import type { Described } from '../../../exporters/contract/described.ts'
import { codecOf } from '../../../exporters/sinks/kafka/client/codecs.ts'
import type { KafkaConfig } from '../../../exporters/sinks/kafka/client/connection.ts'

export interface PlainKafkajsOptions {
  readonly brokers: readonly string[]
  readonly topic: string
  readonly compression: KafkaConfig['compression']
  readonly nodeName: string
  /** Parts that go in one call each. */
  readonly batches: ReadonlyArray<readonly Described[]>
}

/**
 * Connects and returns two functions. One sends all batches once, with acks all, the headers of our exporter and the same codec; the
 * other disconnects. The messages are ready-made, so that only the cost of kafkajs is measured.
 */
export async function plainKafkajs(
  options: PlainKafkajsOptions,
): Promise<[run: () => Promise<void>, stop: () => Promise<void>]> {
  const { brokers, topic, compression, nodeName, batches } = options
  const { id, compress } = await codecOf({ compression })
  const codec = { compress: async ({ buffer }: { readonly buffer: Buffer }) => compress?.(buffer) ?? buffer }
  Object.assign(kafkajs.CompressionCodecs, { [id]: () => codec })
  const client = new kafkajs.Kafka({ brokers: [...brokers], logLevel: kafkajs.logLevel.NOTHING })
  const producer = client.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner })
  await producer.connect()
  const ready = batches.map((parts) => parts.flatMap((part) => messages(part, nodeName)))
  const run = async (): Promise<void> => {
    for (const list of ready) {
      await producer.send({ topic, messages: list, acks: -1, compression: id })
    }
  }
  return [run, () => producer.disconnect()]
}

function messages({ bytes, ends, seqs, times }: Described, nodeName: string): Message[] {
  const common = { 'content-type': 'application/json', 'event-type': 'process_kprobe', node: nodeName, schema: '1' }
  return Array.from(ends, (end, i) => {
    const value = Buffer.from(bytes.subarray(i === 0 ? 0 : ends[i - 1], end - 1))
    return { key: nodeName, value, headers: { ...common, seq: `e1-${seqs[i]}` }, timestamp: String(times[i]) }
  })
}
