/** The key of each record, and the partition of each key as in Kafka's Java client. */
import type { About } from '../../contract/described.ts'
import type { KafkaConfig } from './client/connection.ts'

const M = 0x5bd1e995

/** MurmurHash2 as in Kafka's Utils.java: signed 32 bits. */
export function murmur2(data: Uint8Array): number {
  const { length } = data
  const whole = length & ~3
  let h = 0x9747b28c ^ length
  for (let i = 0; i < whole; i += 4) {
    let k = (data[i] ?? 0) | ((data[i + 1] ?? 0) << 8) | ((data[i + 2] ?? 0) << 16) | ((data[i + 3] ?? 0) << 24)
    k = Math.imul(k, M)
    k ^= k >>> 24
    k = Math.imul(k, M)
    h = Math.imul(h, M) ^ k
  }
  const rest = length - whole
  if (rest > 0) {
    if (rest === 3) h ^= (data[whole + 2] ?? 0) << 16
    if (rest >= 2) h ^= (data[whole + 1] ?? 0) << 8
    h = Math.imul(h ^ (data[whole] ?? 0), M)
  }
  h = Math.imul(h ^ (h >>> 13), M)
  return h ^ (h >>> 15)
}

/** The partition of a key in the Java client's default partitioner. */
export function partitionOf(key: Uint8Array, partitions: number): number {
  return (murmur2(key) & 0x7fffffff) % partitions
}

const EXEC_ID = Buffer.from('"exec_id":"')
/** Maximum position of the id, for `{"process_tracepoint":{"process":{"exec_id":"`. */
const EXEC_ID_WITHIN = 64

/**
 * The exec_id in a JSON line, as a view; undefined without a process. It is the first key of the process and in base64, so the
 * line need not be parsed.
 */
export function execIdOf(line: Buffer): Buffer | undefined {
  const at = line.subarray(0, EXEC_ID_WITHIN).indexOf(EXEC_ID)
  if (at < 0) return undefined
  const from = at + EXEC_ID.length
  const end = line.indexOf(0x22, from)
  return end > from ? line.subarray(from, end) : undefined
}

/** Within a text, quotes are escaped: no other text of a line can look like this. */
const POD = Buffer.from(',"pod":{"namespace":"')
const POD_NAME = Buffer.from('","name":"')
const PARENT = Buffer.from(',"parent":{')

/** The namespace of the pod in a JSON line; '' outside of pods. */
export function namespaceOf(line: Buffer): string {
  const pod = podOf(line)
  return pod === undefined ? '' : pod.toString('latin1', 0, pod.indexOf(SLASH))
}

/** `namespace/name` of the pod in a JSON line; undefined outside of pods. Both come before other keys of the pod, and hold no quotes. */
export function podOf(line: Buffer): Buffer | undefined {
  const at = line.indexOf(POD)
  const parent = at < 0 ? -1 : line.indexOf(PARENT)
  // The pod may be the parent's.
  if (at < 0 || (parent >= 0 && parent < at)) return undefined
  const from = at + POD.length
  const end = line.indexOf(0x22, from)
  const name = end + POD_NAME.length
  if (end < 0 || !line.subarray(end, name).equals(POD_NAME)) return undefined
  const nameEnd = line.indexOf(0x22, name)
  return nameEnd < 0 ? undefined : Buffer.concat([line.subarray(from, end), SLASH, line.subarray(name, nameEnd)])
}

const DOCKER = Buffer.from(',"docker":"')

/** The container id of the process in a JSON line; undefined outside of containers. It comes after the pod, whose labels may have any name. */
export function containerOf(line: Buffer): Buffer | undefined {
  const parent = line.indexOf(PARENT)
  const at = parent < 0 ? line.lastIndexOf(DOCKER) : line.lastIndexOf(DOCKER, parent)
  if (at < 0) return undefined
  const from = at + DOCKER.length
  const end = line.indexOf(0x22, from)
  return end > from ? line.subarray(from, end) : undefined
}

const SLASH = Buffer.from('/')

/** Chooses the key of each event. Events without it use the node's name, so that they stay in order. */
export class Keys {
  readonly #choice: KafkaConfig['key']
  readonly #node: Buffer
  readonly #policies = new Map<string, Buffer>()

  constructor(choice: KafkaConfig['key'], nodeName: string) {
    this.#choice = choice
    this.#node = Buffer.from(nodeName)
  }

  /** The line of the event: bytes `from` to `to`. */
  of(about: About, bytes: Buffer, from: number = 0, to: number = bytes.length): Buffer | null {
    const line = (): Buffer => bytes.subarray(from, to)
    switch (this.#choice) {
      case 'node_name':
        return this.#node
      case 'exec_id':
        return execIdOf(line()) ?? this.#node
      case 'pod':
        return podOf(line()) ?? this.#node
      case 'container':
        return containerOf(line()) ?? this.#node
      case 'policy':
        return about.policy === '' ? this.#node : this.#policy(about.policy)
      case 'none':
        return null
    }
  }

  #policy(name: string): Buffer {
    const known = this.#policies.get(name)
    if (known !== undefined) return known
    const made = Buffer.from(name)
    this.#policies.set(name, made)
    return made
  }
}
