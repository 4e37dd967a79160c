/**
 * The agent's configuration: one zod schema from which the types, the defaults, the messages, the JSON Schema for
 * editors and the effective print come. Durations are ms and sizes bytes once parsed.
 */
import * as z from 'zod'
import { DEFAULT_SERVER } from '../base/addresses.ts'
import { address, optionalAddress } from './address.ts'
import { EXPORTER_NAME, exporterSchema } from './exporters/exporters.ts'
import { sharedFiles } from './exporters/own-files.ts'
import { flag } from './filtering/filter.ts'
import { containers } from './workloads/containers.ts'
import { kubernetes } from './workloads/kubernetes.ts'
import { pathSchema } from '../base/paths.ts'
import type { DeepReadonly } from '../base/parsed.ts'
import { DAY_MS, KIB, MIB, duration, size } from '../base/units.ts'

const grpcTls = z
  .strictObject({
    cert_file: pathSchema("PEM file of the server's certificate. Read at the start."),
    key_file: pathSchema("PEM file of the server's private key.", 'secret'),
    ca_file: pathSchema(
      'PEM file of the authorities of client certificates. Clients without such a certificate are refused.',
    ),
  })
  .describe('Certificates of the gRPC API on a host and port. Server and clients both need a certificate.')

const token = z
  .string()
  .regex(/^[!-~]+$/, { error: 'expected printable characters without spaces' })
  .optional()

const server = z
  .strictObject({
    http: address
      .prefault('127.0.0.1:2112')
      .describe(
        "Address of the status page, /livez, /readyz, /metrics, /status and /events: host:port, or unix:///path for a Unix socket that only the agent's " +
          'user can connect to. On a host and port, every local user can read the numbers unless token or metrics_token is set. Live events always require a token.',
      ),
    token: token.describe(
      'Token for /metrics, /status, /events and the text of /readyz, sent as "Authorization: Bearer <token>"; the status page prompts for it. /livez and the ' +
        'status code of /readyz need no token. Never printed. Prefer ${file:/path} to the token itself; the file is read ' +
        'at the start.',
    ),
    metrics_token: token.describe(
      'Token for a scraper, which opens what token opens, but no live events. Without token, the token in /run/ktrail/page-token, which only ' +
        "the agent's user can read, opens everything.",
    ),
    grpc: optionalAddress
      .prefault(DEFAULT_SERVER)
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
  .describe('Servers of the agent: pages over HTTP, and the API over gRPC.')

const ring = z
  .strictObject({
    size: size(64 * KIB, 1024 * MIB)
      .prefault('16MiB')
      .describe('Size of the ring; a power of two.'),
    watermark: size(1)
      .optional()
      .describe('Number of waiting bytes at which the kernel wakes the agent. Default: 1/8 of ring.size.'),
    max_delay: duration(1, 1000)
      .prefault('50ms')
      .describe('Maximum time that a record waits in a ring below its watermark. An empty ring is not polled.'),
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
  .describe('Ring buffer between kernel and agent. All hooks write to it.')

const attach = z
  .strictObject({
    mode: z
      .enum(['auto', 'kprobe.multi', 'fexit', 'fentry', 'kprobe.session', 'join', 'kprobe'])
      .default('auto')
      .describe(
        'Mechanism of attaching. auto chooses by the kernel and the needs of the hook. The others are for tests and for kernels ' +
          'with a known fault. fentry joins fentry and fexit; join joins a kprobe and a return probe.',
      ),
  })
  .prefault({})
  .describe('Attaching of hooks to kernel functions.')

const log = z
  .strictObject({
    level: z
      .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal'])
      .default('info')
      .describe("Lowest level to write. The agent's own log goes to standard error."),
    format: z
      .enum(['auto', 'json', 'text'])
      .default('auto')
      .describe('json: JSON lines. text: lines for people. auto: text on a terminal, else json.'),
  })
  .prefault({})
  .describe("The agent's own log.")

const memory = z
  .strictObject({
    soft_limit: size(64 * MIB)
      .prefault('384MiB')
      .describe('Resident set size above which exporters with a spool write new events to the spool first.'),
    hard_limit: size(64 * MIB)
      .prefault('512MiB')
      .describe('Resident set size above which all exporters drop new events and count them with the reason memory.'),
    process_table: size(16 * MIB, 4096 * MIB)
      .prefault('128MiB')
      .describe(
        'Maximum memory of the process table; the default holds 100,000 ordinary processes. If it is full, no event is dropped, but ' +
          'long arguments are cut and the oldest processes are forgotten, counted.',
      ),
  })
  .refine(({ soft_limit: soft, hard_limit: hard }) => soft <= hard, {
    path: ['soft_limit'],
    error: 'expected at most memory.hard_limit',
  })
  .prefault({})
  .describe('Limits on the memory of the agent. Its queues have their own limits; these are for unexpected growth.')

const shutdown = z
  .strictObject({
    grace: duration(0, 3_600_000)
      .prefault('10s')
      .describe('Maximum time for exporters to send held events after a request to stop.'),
  })
  .prefault({})
  .describe('Behavior on SIGTERM and SIGINT.')

/** The message for a config without exporters: an agent that sends nothing is a mistake. */
export const NO_EXPORTER = 'expected at least one exporter, such as screen: {type: stdout, format: compact}'

/** The whole file. */
export const configSchema = z
  .strictObject({
    node_name: z.string().max(253).default('').describe('Name of this host in every record. Default: the host name.'),
    policies: z
      .array(pathSchema('A policy file, a folder of policy files, or library:NAME.'))
      .default([])
      .describe(
        'Policy files, and folders of *.yaml files; they are watched while the agent runs. library:NAME is a policy or a bundle of the library (ktrail policy library).',
      ),
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
          context.issues.push({ code: 'custom', input: context.value, path, message })
        }
      })
      .describe('Exporters by name, which you choose; at least one is required.')
      .meta({ minProperties: 1 }),
    heartbeat: duration(1000, DAY_MS)
      .prefault('60s')
      .describe(
        'Interval of records about the run, besides those at its start and end. Exporters with numbered records send them: otlp, kafka, and any ' +
          'with envelope. They distinguish silence from lost records; see ktrail audit.',
      ),
    state_dir: pathSchema(
      'Folder in which the agent stores the last run of each exporter, so that ktrail audit can detect a missing run.',
    ).default('/var/lib/ktrail'),
    ring,
    attach,
    procfs: pathSchema("Mount point of the host's proc file system.").default('/proc'),
    log,
    memory,
    shutdown,
    enable_process_cred: flag(
      'Adds the credentials of processes to records: cap and process_credentials, as at the exec. Exec records also have changes by the file, in binary_properties: ' +
        'setuid, setgid and privileges_changed.',
    ),
    enable_process_ns: flag('Adds the namespaces of processes to records: ns, as at the exec.'),
    enable_process_environment_variables: flag(
      'Adds the environment to exec records: environment_variables, up to 32 KiB. It often contains passwords: see redact of exporters.',
    ),
    filter_environment_variables: z
      .array(z.string().min(1).max(4096))
      .max(1000)
      .default([])
      .describe('With enable_process_environment_variables: names of the variables to record. Default: all.'),
    username_metadata: z
      .enum(['disabled', 'unix'])
      .default('disabled')
      .describe(
        "unix: adds user.name to records, from /etc/passwd of the host, for processes in the host's user and mount namespace.",
      ),
    expose_stack_addresses: flag(
      'Adds the addresses of frames to stack traces. Kernel addresses help an attacker, because they reveal the randomized layout of the kernel.',
    ),
    enable_ancestors: z
      .array(z.enum(['base', 'kprobe', 'tracepoint', 'lsm']))
      .refine((kinds) => kinds.length === 0 || kinds.includes('base'), { error: 'expected base in the list' })
      .default([])
      .describe(
        'Types of events whose records have ancestors, the processes above the parent: base (exec and exit; required by the others), kprobe, tracepoint, lsm. ' +
          'At most 32 ancestors each.',
      ),
  })
  .describe('Configuration of the ktrail agent.')

/** A valid configuration with every default filled in. */
export type Config = DeepReadonly<z.output<typeof configSchema>>
export type ExporterConfig = Config['exporters'][string]
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
