/**
 * The agent's configuration: one zod schema from which the types, the defaults, the messages, the JSON Schema for
 * editors and the effective print come. Durations are ms and sizes bytes once parsed.
 */
import { z } from 'zod'
import { address, optionalAddress } from '../base/addresses.ts'
import { EXPORTER_NAME, exporterSchema } from './exporters/exporters.ts'
import { sharedFiles } from './exporters/own-files.ts'
import { containers } from './workloads/containers.ts'
import { kubernetes } from './workloads/kubernetes.ts'
import { pathSchema } from '../base/paths.ts'
import type { DeepReadonly } from '../base/readonly.ts'
import { DAY_MS, KIB, MIB, duration, size } from '../base/units.ts'

const grpcTls = z
  .strictObject({
    cert_file: pathSchema('PEM file of the certificate of the server. Read at the start.'),
    key_file: pathSchema('PEM file of the private key of the server.', 'secret'),
    ca_file: pathSchema('PEM file of the authorities of client certificates. A client without one is refused.'),
  })
  .describe('Certificates of the gRPC API on a host and port. Server and clients both need one.')

const server = z
  .strictObject({
    http: address
      .prefault('127.0.0.1:2112')
      .describe(
        "Address of the status page, /livez, /readyz, /metrics, /status and /events: host:port, or unix:///path for a Unix socket that only the agent's " +
          'user can connect to. On a host and port every local user can read the numbers; token prevents that. Live events need a token in any case.',
      ),
    token: z
      .string()
      .regex(/^[!-~]+$/, { error: 'expected printable characters without spaces' })
      .optional()
      .describe(
        'Clients must send "Authorization: Bearer <token>" to read /metrics, /status, /events and the text of /readyz; the status page asks for it. /livez and the ' +
          'status code of /readyz need no token. Never printed. Use ${file:/path} rather than the token itself; the file is read ' +
          'at the start.',
      ),
    grpc: optionalAddress
      .prefault('unix:///run/ktrail/ktrail.sock')
      .describe(
        "Address of the gRPC API: unix:///path for a Unix socket that only the agent's user can connect to, host:port (only with " +
          'tls), or disabled.',
      ),
    tls: grpcTls.optional(),
  })
  .check((context) => {
    const { grpc, tls } = context.value
    const add = (key: string, message: string): void =>
      void context.issues.push({ code: 'custom', input: context.value, path: [key], message })
    const onNetwork = grpc !== 'disabled' && 'host' in grpc
    if (onNetwork && tls === undefined)
      add('grpc', 'expected server.tls with it, because it can change policies; or a Unix socket')
    if (!onNetwork && tls !== undefined) add('tls', 'expected server.grpc to be host:port with it')
  })
  .prefault({})
  .describe('The servers of the agent: pages over HTTP, and the API over gRPC.')

const ring = z
  .strictObject({
    size: size(64 * KIB, 1024 * MIB)
      .prefault('16MiB')
      .describe('Size of the ring; a power of two.'),
    watermark: size(1)
      .optional()
      .describe('The kernel wakes the agent when this much waits in the ring. Default: an eighth of ring.size.'),
    max_delay: duration(1, 1000)
      .prefault('50ms')
      .describe('A record waits at most this long in a ring below its watermark. An empty ring is not polled.'),
  })
  .refine(({ size: bytes }) => Number.isInteger(Math.log2(bytes)), {
    path: ['size'],
    error: 'expected a power of two such as 16MiB',
  })
  .refine(({ size: bytes, watermark }) => watermark === undefined || watermark <= bytes / 2, {
    path: ['watermark'],
    error: 'expected at most half of ring.size',
  })
  .prefault({})
  .describe('The ring buffer between kernel and agent. All hooks write to it.')

const attach = z
  .strictObject({
    mode: z
      .enum(['auto', 'kprobe.multi', 'fexit', 'fentry', 'kprobe.session', 'join', 'kprobe'])
      .default('auto')
      .describe(
        'How programs are attached. auto chooses by kernel and by what the hook needs. The others are for tests and for kernels ' +
          'with a known fault. fentry is fentry and fexit joined, join a kprobe and a return probe.',
      ),
  })
  .prefault({})
  .describe('How hooks are attached to kernel functions.')

const log = z
  .strictObject({
    level: z
      .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal'])
      .default('info')
      .describe("Lowest level that is written. The agent's own log goes to standard error."),
    format: z.enum(['json', 'text']).default('json').describe('json: JSON lines. text: lines for people.'),
  })
  .prefault({})
  .describe("The agent's own log.")

const memory = z
  .strictObject({
    soft_limit: size(64 * MIB)
      .prefault('384MiB')
      .describe('Above this resident set size, exporters with a spool send through their spool.'),
    hard_limit: size(64 * MIB)
      .prefault('512MiB')
      .describe('Above this resident set size, all exporters drop new events and count them with the reason memory.'),
    process_table: size(16 * MIB, 4096 * MIB)
      .prefault('128MiB')
      .describe(
        'Most memory of the process table; the default holds 100,000 ordinary processes. When it is full, cached renderings go ' +
          'first, then long arguments are cut, then the oldest processes are forgotten. Each is counted, and no event is dropped.',
      ),
  })
  .refine(({ soft_limit: soft, hard_limit: hard }) => soft <= hard, {
    path: ['soft_limit'],
    error: 'expected at most memory.hard_limit',
  })
  .prefault({})
  .describe(
    'What the agent does when it uses too much memory. Its queues are bounded by themselves; these limits are for ' +
      'unexpected growth.',
  )

const shutdown = z
  .strictObject({
    grace: duration(0, 3_600_000)
      .prefault('10s')
      .describe('How long exporters may go on sending what they hold after the agent was asked to stop.'),
  })
  .prefault({})
  .describe('What happens on SIGTERM and SIGINT.')

/** The message for a config without exporters: an agent that sends nothing is a mistake. */
export const NO_EXPORTER = 'expected at least one exporter, such as screen: {type: stdout, format: compact}'

/** The whole file. */
export const configSchema = z
  .strictObject({
    node_name: z.string().max(253).default('').describe('Name of this host in every record. Default: the host name.'),
    policies: z
      .array(pathSchema('A policy file, or a folder of policy files.'))
      .default([])
      .describe('Policy files, and folders of *.yaml files. They are watched while the agent runs.'),
    containers,
    kubernetes,
    server,
    exporters: z
      .record(
        z.string().regex(EXPORTER_NAME, {
          error: 'expected lower-case letters, digits, "-" and "_", at most 63, beginning with a letter or digit',
        }),
        exporterSchema,
        { error: (issue) => (issue.input === undefined ? NO_EXPORTER : undefined) },
      )
      .check((context) => {
        for (const { path, message } of sharedFiles(context.value)) {
          context.issues.push({ code: 'custom', input: context.value, path: [...path], message })
        }
      })
      .describe('Where events go. The key is a name of your choice; at least one is needed.')
      .meta({ minProperties: 1 }),
    heartbeat: duration(1000, DAY_MS)
      .prefault('60s')
      .describe(
        'How often exporters with numbered records (otlp, kafka, and any with envelope) get a record about the run, beside those at ' +
          'its start and its end. It tells silence from lost records; see ktrail audit.',
      ),
    state_dir: pathSchema(
      'Folder in which the agent remembers the last run of each exporter, so that ktrail audit notices a missing run.',
    ).default('/var/lib/ktrail'),
    ring,
    attach,
    procfs: pathSchema('Where the proc file system of the host is mounted.').default('/proc'),
    log,
    memory,
    shutdown,
    enable_process_cred: z
      .boolean()
      .default(false)
      .describe(
        'Records tell the credentials of processes: cap and process_credentials, as at the exec; and those of execs, in binary_properties, what their file ' +
          'changed: setuid, setgid and privileges_changed.',
      ),
    enable_process_ns: z
      .boolean()
      .default(false)
      .describe('Records tell the namespaces of processes: ns, as at the exec.'),
    enable_process_environment_variables: z
      .boolean()
      .default(false)
      .describe(
        'Records of execs tell the environment: environment_variables, up to 32 KiB. It often holds passwords: see redact of exporters.',
      ),
    filter_environment_variables: z
      .array(z.string().min(1).max(4096))
      .max(1000)
      .default([])
      .describe('With enable_process_environment_variables: only variables with these names. Default: all.'),
    username_metadata: z
      .enum(['disabled', 'unix'])
      .default('disabled')
      .describe(
        'unix: records tell user.name of processes in the user and mount namespace of the host, from its /etc/passwd.',
      ),
    expose_stack_addresses: z
      .boolean()
      .default(false)
      .describe(
        'Stack traces tell the addresses of their frames. Those of the kernel help an attacker: they undo the randomization of its layout.',
      ),
    enable_ancestors: z
      .array(z.enum(['base', 'kprobe', 'tracepoint', 'lsm']))
      .refine((kinds) => kinds.length === 0 || kinds.includes('base'), { error: 'expected base among them' })
      .default([])
      .describe(
        'Events whose records tell ancestors, the processes above the parent: base (exec and exit; needed for the others), kprobe, tracepoint, lsm. ' +
          'At most 32 each.',
      ),
  })
  .describe('Configuration of the ktrail agent.')

/** A valid configuration with every default filled in. */
export type Config = DeepReadonly<z.output<typeof configSchema>>
export type ExporterConfig = Config['exporters'][string]
export type KafkaExporterConfig = Extract<ExporterConfig, { type: 'kafka' }>
export type ContainersConfig = NonNullable<Config['containers']>
export type KubernetesConfig = NonNullable<Config['kubernetes']>
export type QueueConfig = ExporterConfig['queue']
export type RateLimitConfig = NonNullable<ExporterConfig['rate_limit']>
export type SpoolConfig = NonNullable<ExporterConfig['spool']>
export type DeadLetterConfig = NonNullable<ExporterConfig['dead_letter']>
export type FilterConfig = NonNullable<ExporterConfig['filter']>
export type TetragonFilterConfig = NonNullable<FilterConfig['allow']>[number]
export type FieldFilterConfig = NonNullable<ExporterConfig['fields']>[number]
export type RedactConfig = NonNullable<ExporterConfig['redact']>[number]
