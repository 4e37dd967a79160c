/** Reads a topic back with Kafka's own console consumer, which shares no code with the client under test. */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

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

/** Every record of the topic, in the order of each partition. Ends when no record has come for `idleMs`. */
export async function readTopic(
  jars: string,
  brokers: readonly string[],
  topic: string,
  idleMs = 4000,
): Promise<ReadRecord[]> {
  const args = ['-Xmx512m', '-Dorg.slf4j.simpleLogger.defaultLogLevel=error', '-cp', `${jars}/*`, CLASS]
  args.push('--bootstrap-server', brokers.join(','), '--topic', topic, '--from-beginning')
  args.push('--timeout-ms', String(idleMs), '--value-deserializer', DESERIALIZER)
  args.push('--property', `key.separator=${SEPARATOR}`)
  for (const part of PARTS) args.push('--property', `print.${part}=true`)
  const child = spawn('java', args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let complaint = ''
  child.stderr.on('data', (chunk: Buffer) => (complaint = (complaint + chunk.toString()).slice(-2000)))
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  const records: ReadRecord[] = []
  for await (const line of createInterface({ input: child.stdout })) records.push(parse(line))
  await ended
  // It ends by a timeout, which it reports as an error; the same text contains the number of records read.
  if (!complaint.includes(`Processed a total of ${records.length} messages`)) {
    throw new Error(`the console consumer of ${topic} failed: ${complaint}`)
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
