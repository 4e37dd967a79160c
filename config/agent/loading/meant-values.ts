/** The same as `meant-keys.ts` of values: words of other programs, and what ktrail has for them. */
import { ALWAYS_ON } from './meant-keys.ts'
import { formOf } from './not-built.ts'

const HTTP_ONLY = 'ktrail sends OTLP over HTTP: leave protocol out, and use port 4318 instead of 4317'

interface MeantType {
  /** The type to check the other keys by; undefined when there is none. */
  readonly type?: string
  readonly write: string
}

const OTLP: MeantType = { type: 'otlp', write: 'write type: otlp, which sends over HTTP' }
const LOKI: MeantType = { type: 'otlp', write: 'write type: otlp with loki: true' }
const STDOUT: MeantType = { type: 'stdout', write: 'write type: stdout' }
const FILE: MeantType = { type: 'file', write: 'write type: file' }
const KAFKA: MeantType = { type: 'kafka', write: 'write type: kafka' }
const BY_COLLECTOR = 'send with type: otlp to an OpenTelemetry Collector, which can pass it on'

const TYPES = new Map<string, MeantType>([
  ...['loki', 'grafana-loki', 'grafana_loki', 'lokiexporter', 'promtail'].map((name) => [name, LOKI] as const),
  ...['otlphttp', 'otlp_http', 'otlp-http', 'otlp/http', 'otlpgrpc', 'otlp_grpc', 'otlp-grpc', 'otlp/grpc'].map(
    (name) => [name, OTLP] as const,
  ),
  ...['otel', 'opentelemetry', 'collector', 'otelcol'].map((name) => [name, OTLP] as const),
  ...['console', 'debug', 'logging', 'print', 'screen'].map((name) => [name, STDOUT] as const),
  ...['files', 'jsonl', 'json'].map((name) => [name, FILE] as const),
  ...['redpanda', 'confluent', 'rdkafka', 'kafka-rest'].map((name) => [name, KAFKA] as const),
  ...'elasticsearch es opensearch splunk splunk_hec s3 aws_s3 http webhook syslog datadog vector fluentd forward nats'
    .split(' ')
    .map((name): [string, MeantType] => [name, { write: BY_COLLECTOR }]),
])

const PUSH = /\/loki\/api\/v1\/push\/?$/

/** By the key's path; the pattern is for the value as a text, or `a list` or `a mapping`. */
const VALUES: ReadonlyArray<readonly [form: string, pattern: RegExp, hint: string]> = [
  ['exporters', /^a list$/, 'give each a name: exporters: {screen: {type: stdout}}'],
  ['exporters.*.endpoint', PUSH, 'that one takes another protocol than OTLP'],
  ['exporters.*.logs_endpoint', PUSH, 'that one takes another protocol than OTLP'],
  ['exporters.*.endpoint', /\/v1\/logs\/?$/, 'logs_endpoint takes a whole address'],
  ['exporters.*.protocol', /grpc/i, HTTP_ONLY],
  ['exporters.*.protocol', /^(?:http|https|protobuf|proto|http_protobuf)$/i, 'http/protobuf'],
  ['exporters.*.protocol', /^(?:json|http_json)$/i, 'http/json'],
  ['exporters.*.endpoint', /:4317\b/, 'OTLP over HTTP has port 4318: write http://HOST:4318'],
  ['exporters.*.endpoint', /^(?!.*:\/\/)[\w.-]+(?::\d+)?/, 'write http:// or https:// before it'],
  ['exporters.*.acks', /^-1$/, 'all'],
  ['exporters.*.acks', /^1$/, 'leader'],
  ['exporters.*.acks', /^(?:0|none)$/, 'ktrail counts an event as delivered only when a broker has it'],
  ['exporters.*.sasl.mechanism', /256$/, 'scram-sha-256'],
  ['exporters.*.sasl.mechanism', /512$/, 'scram-sha-512'],
  ['exporters.*.compression', /^true$/, 'gzip'],
  ['exporters.*.compression', /^(?:false|off|uncompressed)$/, 'none'],
  ['exporters.*.compression', /^(?:deflate|zlib|br|brotli|gz)$/, 'gzip'],
  ['exporters.*.brokers', /^a mapping$/, 'write a list of host:port'],
  ['exporters.*.brokers.*', /:\/\//, 'write host:port without a scheme, and tls: {} for TLS'],
  ['exporters.*.brokers.*', /^[\w.-]+$/, "Kafka's usual port is 9092"],
  ['exporters.*.tls', /^(?:true|on|enabled)$/, "write tls: {}, which trusts the system's authorities"],
  ['exporters.*.tls', /^(?:false|off|disabled)$/, 'leave it out for a connection without TLS'],
  ['exporters.*.spool', /^true$/, 'write spool: {dir: /var/lib/ktrail/spool}'],
  ['exporters.*.spool', /^\//, 'write it as spool: {dir: ...}'],
  ['exporters.*.retry', /^(?:true|false|\d+)$/, ALWAYS_ON],
  ['exporters.*.retry.max', /^\d+$/, 'it is the longest wait between two retries; their number has no limit'],
  ['exporters.*.loki', /^(?:yes|on)$/i, 'write true'],
  ['exporters.*.filter.sample', /^\d+ ?%$/, 'write a fraction, such as 0.1 for 10%'],
  ['exporters.*.filter.event_types.*', /^exec$/i, 'process_exec'],
  ['exporters.*.filter.event_types.*', /^exit$/i, 'process_exit'],
  ['exporters.*.filter.event_types.*', /^k?probe$/i, 'process_kprobe'],
  ['exporters.*.headers', /^a list$/, 'write each as name: value'],
  ['exporters.*.queue.when_full', /^(?:discard|drop|drop_new|reject)$/, 'drop_newest'],
  ['exporters.*.queue.when_full', /^(?:overflow|disk|spill|overflow_to_disk)$/, 'spool'],
  ['exporters.*.queue.when_full', /^(?:wait|backpressure)$/, 'block'],
  ['exporters.*.format', /^(?:jsonl|ndjson|json_lines|json|tetragon)$/, 'JSON lines are the default: leave it out'],
  ['exporters.*.format', /^(?:text|plain|logfmt)$/, 'compact lines are for people: type: stdout with format: compact'],
  ['exporters.*.format', /^(?:protobuf|proto|otlp|otlp_proto)$/, 'otlp_proto is a format of type: kafka'],
  ['exporters.*.format', /^(?:avro|raw|csv|msgpack)$/, 'JSON is what consumers get'],
  ['exporters.*.key', /^(?:host|hostname|node)$/, 'node_name'],
  ['exporters.*.key', /^(?:null|random)$/, 'none'],
  ['exporters.*.fsync', /^(?:true|always)$/, 'batch'],
  ['exporters.*.fsync', /^(?:false|none)$/, 'never'],
  ['exporters.*.filter', /^a list$/, 'write it as {allow: [...]} or {deny: [...]}'],
  ['server.http', /^:?\d+$/, 'write address and port, such as 127.0.0.1:2112, or 0.0.0.0:2112 for all addresses'],
  ['server.http', /^https?:\/\//, 'write it without http:// and path'],
  ['server.http', /^\//, 'write unix:// before the path of a socket'],
  ['server.http', /^[\w.-]+$/, 'add the port, such as 127.0.0.1:2112'],
  ['server', /^\S+:\d+$|^unix:/, 'write it as {http: ...}'],
  ['shutdown', /^\d+(?:ms|s|m)$/, 'write it as {grace: ...}'],
  ['ring', /^\d+(?:[KMG]i?B)$/, 'write it as {size: ...}'],
  ['log', /^(?:trace|debug|info|warn|error|fatal)$/, 'write it as {level: ...}'],
  ['log', /^(?:json|text)$/, 'write it as {format: ...}'],
  ['log.level', /^warning$/i, 'warn'],
  ['log.level', /^(?:err|critical)$/i, 'error'],
  ['log.level', /^verbose$/i, 'debug'],
  ['log.format', /^(?:logfmt|plain|console|pretty)$/i, 'text'],
  ['attach.mode', /^(?:multi|kprobe[_-]multi)$/i, 'kprobe.multi'],
  ['attach.mode', /^(?:tracing|trampoline)$/i, 'fexit'],
  ['policies', /^a mapping$/, 'write a list of files and folders: [/etc/ktrail/policies]'],
]

/** What a value that the schema refuses is in ktrail. `shape`: the value as a text, or `a list` or `a mapping`. */
export function meantValue(path: readonly PropertyKey[], shape: string): string | undefined {
  const form = formOf(path)
  return VALUES.find(([of, pattern]) => of === form && pattern.test(shape))?.[2]
}

/** What a `type` of an exporter is in ktrail, by other programs' names; also by the name of an exporter without type. */
export function meantType(type: string): MeantType | undefined {
  return TYPES.get(type.toLowerCase()) ?? TYPES.get(type.toLowerCase().replace(/(?:exporter)?(?:\/.*)?$/, ''))
}
