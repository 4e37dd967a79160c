import * as z from 'zod'
import { pathSchema } from '../../base/paths.ts'
import type { DeepReadonly } from '../../base/parsed.ts'
import { KIB, MIB, duration, formatDuration, size } from '../../base/units.ts'
import { chainOfRequests, envelope } from './chain.ts'
import { fieldsProblem, flag } from '../filtering/filter.ts'
import { packageName } from './npm.ts'
import { recordKeys, resourceKeys } from './otlp-records.ts'
import { parseFieldPaths } from '../filtering/record-fields.ts'
import { tlsKeys } from './tls.ts'

/** `host:port`, an IPv6 host in brackets. */
const BROKER = /^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})$/
const BROKER_EXPECTED = 'expected host:port such as kafka-1.example.org:9092'
const BROKERS_EXPECTED = 'expected a list of one or more brokers such as [kafka-1.example.org:9092]'

const broker = z.string({ error: BROKER_EXPECTED }).refine(
  (text) => {
    const port = Number(BROKER.exec(text)?.[1])
    return port >= 1 && port <= 65_535
  },
  {
    error: ({ input }) =>
      `${BROKER_EXPECTED}${String(input).includes('@') ? ' (user and password belong in sasl)' : ''}`,
  },
)

/** The field of a process from which a key is read. */
const KEY_FIELDS: Readonly<Record<string, string>> = { exec_id: 'exec_id', pod: 'pod', container: 'docker' }

/** Source: Kafka's Topic.java. */
const TOPIC = /^(?!\.{1,2}$)(?:[a-zA-Z0-9._-]|\{(?:event_type|policy|namespace)\}){1,249}$/

const tls = z
  .strictObject(tlsKeys())
  .describe("TLS to the brokers; {} trusts the system's authorities. Default: no TLS.")

const sasl = z
  .strictObject({
    mechanism: z
      .enum(['plain', 'scram-sha-256', 'scram-sha-512'])
      .describe('Login method. plain sends the password itself, so use it with tls.'),
    username: z.string().min(1).describe('User to log in as.'),
    password: z.string().min(1).optional().describe('Password. Never printed. Prefer password_file or ${file:/path}.'),
    password_file: pathSchema(
      'File with the password; a line feed at its end is ignored. You can replace the password while the agent runs.',
      'secret',
    ).optional(),
  })
  .describe('Login to the brokers. Default: none.')

const otlp = z
  .strictObject({ ...resourceKeys, ...recordKeys })
  .describe('Content of the OTLP records with format otlp_proto; the same keys as in type otlp.')

/** `type: kafka`. */
export const kafka = z
  .strictObject({
    type: z.literal('kafka').describe('Writes one record per event to Apache Kafka.'),
    brokers: z
      .array(broker.describe('Address of a broker, host:port.'), { error: BROKERS_EXPECTED })
      .min(1, { error: BROKERS_EXPECTED })
      .describe('Bootstrap brokers: the agent gets the other brokers from them. One is enough; several are safer.'),
    topic: z
      .string()
      .regex(TOPIC, {
        error:
          'expected a topic of letters, digits, ".", "_" and "-", optionally with {event_type}, {policy} and {namespace}',
      })
      .describe(
        'Topic, or a template of topics. {event_type} becomes process_exec, process_exit, process_kprobe, process_lsm, process_tracepoint or events_lost; ' +
          '{policy} the name of the policy, or none; {namespace} the Kubernetes namespace of the pod, or none. Topics must exist; the agent creates none.',
      ),
    client_id: z.string().min(1).max(249).default('ktrail').describe('Name of this client in the logs of the brokers.'),
    key: z
      .enum(['node_name', 'exec_id', 'policy', 'pod', 'container', 'none'])
      .default('node_name')
      .describe(
        'Key of a record. Events with the same key go to one partition, in order. node_name: name of this host. exec_id: id of the ' +
          'process. policy: name of the policy. pod: namespace/name of the pod; outside of pods the node name. container: first 31 characters of the id of the container; outside of containers the node name. none: no key and no order; each batch goes to another partition.',
      ),
    format: z
      .enum(['json', 'extended', 'cloudevents', 'otlp_proto'])
      .default('json')
      .describe(
        "json: one record is the JSON of one event. extended: the same with ktrail's own data, such as inodes, in a last key ktrail. cloudevents: the same with the headers of CloudEvents 1.0. otlp_proto: one " +
          'record holds the events of a request as OTLP in protobuf, for the Kafka receiver of the OpenTelemetry Collector.',
      ),
    envelope,
    otlp: otlp.optional(),
    cluster_name: z
      .string()
      .max(253)
      .default('')
      .describe(
        'Name of the cluster: in ce_source (//cluster/node) with format cloudevents, and as k8s.cluster.name with otlp_proto.',
      ),
    compression: z
      .enum(['none', 'gzip', 'zstd', 'snappy', 'lz4'])
      .default('zstd')
      .describe(
        'Compression of record batches. Every consumer reads gzip; kafkajs requires a codec for zstd. snappy and lz4 require the key codec.',
      ),
    codec: packageName
      .optional()
      .describe(
        'npm package that compresses snappy or lz4. It exports compress(records: Buffer), which returns a Buffer or a promise ' +
          'of one; for lz4 in the frame format. It is found and run like type: npm:<package>.',
      ),
    acks: z
      .enum(['all', 'leader'])
      .default('all')
      .describe(
        'Replicas that must have a record before it counts as delivered: all in-sync replicas, or only the leader, which may lose ' +
          'it on a failure.',
      ),
    idempotent: flag(
      'Lets the brokers drop duplicates: a request without an answer is sent again with the same sequence number. The protection ' +
        'ends with this run of the agent and with a new login. Requires acks: all.',
    ),
    request_timeout: duration(100, 3_600_000).prefault('30s').describe('Timeout of one request.'),
    max_request_size: size(16 * KIB, 100 * MIB)
      .prefault('900KiB')
      .describe(
        'Maximum bytes of one record batch before compression. A larger event is rejected. Keep it below message.max.bytes of the ' +
          'brokers.',
      ),
    tls: tls.optional(),
    sasl: sasl.optional(),
    ...chainOfRequests,
  })
  .check((context) => {
    const { key, topic, fields, idempotent, acks, request_timeout, timeout } = context.value
    const { compression, codec, tls: files, sasl: login, format, otlp: records } = context.value
    const refuse = (where: Array<string | number>, message: string): void =>
      void context.issues.push({ code: 'custom', input: context.value, path: where, message })
    const ofProcess = [
      ['key', KEY_FIELDS[key], 'node_name, policy or none'],
      ['topic', topic.includes('{namespace}') ? 'pod' : undefined, 'no {namespace}'],
    ] as const
    for (const [where, read, expected] of ofProcess) {
      if (read === undefined) continue
      if (fields?.some((rule) => takes(rule, read)) === true)
        refuse([where], `expected ${expected}, because fields removes process.${read} from the records`)
      if (format === 'otlp_proto')
        refuse([where], `expected ${expected}, because a record of format otlp_proto holds many processes`)
    }
    if (context.value.envelope && format === 'otlp_proto') {
      refuse(
        ['envelope'],
        'expected format json, extended or cloudevents with it, because otlp_proto has the same data as attributes',
      )
    }
    if (records !== undefined && format !== 'otlp_proto') refuse(['otlp'], 'expected format otlp_proto with it')
    const cut = fieldsProblem({ fields, body: records?.body })
    if (cut !== undefined) refuse(['fields'], cut)
    const plugged = compression === 'snappy' || compression === 'lz4'
    if (plugged && codec === undefined)
      refuse(['compression'], 'expected none, gzip or zstd, or codec: npm:<package> with it')
    if (!plugged && codec !== undefined) refuse(['codec'], 'expected compression snappy or lz4 with it')
    if (idempotent && acks !== 'all') refuse(['acks'], 'expected all with idempotent')
    if (request_timeout >= timeout) {
      refuse(['timeout'], `expected more than request_timeout, which is ${formatDuration(request_timeout)}`)
    }
    if (files !== undefined && (files.cert_file === undefined) !== (files.key_file === undefined)) {
      refuse(['tls'], 'expected cert_file and key_file together')
    }
    if (login !== undefined && (login.password === undefined) === (login.password_file === undefined)) {
      refuse(['sasl'], 'expected either password or password_file')
    }
  })
  .describe('Exporter to Apache Kafka.')

type KafkaConfig = DeepReadonly<z.output<typeof kafka>>

/** The OTLP keys of Kafka's records; undefined for JSON records. */
export function kafkaRecords({ format, otlp: records }: KafkaConfig): KafkaConfig['otlp'] {
  return format === 'otlp_proto' ? (records ?? otlp.parse({})) : undefined
}

const OF_POD: ReadonlySet<string> = new Set(['namespace', 'name'])

/** True if the rule removes this key of `process`, or a part of it, from any records. */
function takes({ fields, action }: { readonly fields: string; readonly action: string }, key: string): boolean {
  const paths = parseFieldPaths(fields)
  if (typeof paths === 'string') return false
  const excludes = action === 'EXCLUDE'
  const named = paths.some(
    ([first, second, third]) =>
      first === 'process' &&
      (second === undefined || (second === key && (third === undefined || (excludes && OF_POD.has(third))))),
  )
  return named === excludes
}
