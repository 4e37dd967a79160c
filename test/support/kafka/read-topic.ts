/** Reads a topic back with Kafka's own console consumer, which shares no code with the client under test. */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { forJava } from './jars.ts'
import { Topics } from './topics.ts'

export interface ReadRecord {
  readonly partition: number
  readonly offset: number
  readonly timestampMs: number
  readonly key: string
  readonly headers: Readonly<Record<string, string>>
  /** As UTF-8. */
  readonly value: string
  readonly bytes: Buffer
}

/** Bytes that are not printable ASCII become \xHH, so that no value has a tab or a line feed. */
const DESERIALIZER = 'org.apache.kafka.common.serialization.BytesDeserializer'
const CLASS = 'org.apache.kafka.tools.consumer.ConsoleConsumer'
const SEPARATOR = '\t'
const PARTS = ['timestamp', 'partition', 'offset', 'headers', 'key', 'value']

/** Without a record for so long the consumer gives up: a start takes seconds on a busy machine. */
const IDLE_MS = 60_000

/** Every record that the topic has now, in the order of each partition. The broker gives their number, so that the reader does not wait for more. */
export async function readTopic(jars: string, brokers: readonly string[], topic: string): Promise<ReadRecord[]> {
  const count = await new Topics(brokers).records(topic)
  if (count === 0) return []
  const args = [...forJava(jars, 512), '-Dorg.slf4j.simpleLogger.defaultLogLevel=error', CLASS]
  args.push('--bootstrap-server', brokers.join(','), '--topic', topic, '--from-beginning')
  args.push('--max-messages', String(count), '--timeout-ms', String(IDLE_MS), '--value-deserializer', DESERIALIZER)
  args.push('--property', `key.separator=${SEPARATOR}`)
  for (const part of PARTS) args.push('--property', `print.${part}=true`)
  const child = spawn('java', args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let complaint = ''
  child.stderr.on('data', (chunk: Buffer) => (complaint = (complaint + chunk.toString()).slice(-2000)))
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  const records: ReadRecord[] = []
  for await (const line of createInterface({ input: child.stdout })) records.push(parse(line))
  await ended
  if (records.length !== count || !complaint.includes(`Processed a total of ${count} messages`)) {
    throw new Error(`the console consumer read ${records.length} of ${count} records of ${topic}: ${complaint}`)
  }
  return records
}

function parse(line: string): ReadRecord {
  const [timestamp = '', partition = '', offset = '', headers = '', key = '', printed = ''] = line.split(SEPARATOR)
  const hex = (_: string, byte: string): string => String.fromCharCode(parseInt(byte, 16))
  const bytes = Buffer.from(printed.replace(/\\x([0-9A-F]{2})/g, hex), 'latin1')
  return {
    timestampMs: Number(timestamp.replace('CreateTime:', '')),
    partition: Number(partition.replace('Partition:', '')),
    offset: Number(offset.replace('Offset:', '')),
    headers: Object.fromEntries(headers.split(',').map(pair)),
    key,
    value: bytes.toString(),
    bytes,
  }
}

function pair(text: string): [string, string] {
  const at = text.indexOf(':')
  return [text.slice(0, at), text.slice(at + 1)]
}
