import { z } from 'zod'
import { pathSchema } from '../../yaml/paths.ts'
import { duration, formatSize, size } from '../../yaml/units.ts'
import { chainOfRequests } from './chain.ts'
import { FROM_ENVIRONMENT, recordKeys, resourceKeys } from './otlp-records.ts'
import { tlsKeys } from './tls.ts'

const KIB = 1024
const MIB = 1024 * KIB
const DAY_MS = 86_400_000
/** What a request may hold before it is compressed: as much as a Collector takes by default; less for Loki, which has a burst of 6 MB. */
const MAX_BATCH = 20 * MIB
const MAX_LOKI_BATCH = 4 * MIB

const url = z.string().check((context) => {
  const refuse = (message: string, secret: boolean): void =>
    void context.issues.push({ code: 'custom', input: context.value, message, params: { secret } })
  const parsed = URL.canParse(context.value) ? new URL(context.value) : undefined
  if (parsed === undefined || !/^https?:\/\//i.test(context.value)) {
    // What is none may still have a password or a token in it.
    refuse('expected an http or https URL such as http://localhost:4318', /[@?]/.test(context.value))
  } else if (parsed.username !== '' || parsed.password !== '') {
    // They would be in logs and prints.
    refuse('expected a URL without user and password; put them into headers, as authorization', true)
  }
})

const HEADER_NAME = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$/
const headerName = z.string().regex(HEADER_NAME, { error: 'expected the name of an HTTP header' })
/** Printable characters, spaces and tabs, as HTTP allows; no line feed may make a second header. */
const headerValue = z.string().regex(/^[\t\x20-\x7e\x80-\xff]*$/, {
  error: 'expected characters that HTTP allows in a header',
})

const tls = z
  .strictObject(
    tlsKeys({
      ca: ` ${FROM_ENVIRONMENT} …CERTIFICATE.`,
      cert: ` ${FROM_ENVIRONMENT} …CLIENT_CERTIFICATE.`,
      key: ` ${FROM_ENVIRONMENT} …CLIENT_KEY.`,
    }),
  )
  .prefault({})
  .describe('Certificates, for https endpoints. The files are read at start and again on SIGHUP.')

const loki = z
  .union(
    [
      z.boolean(),
      z.strictObject({
        max_line_size: size(1, 1024 * MIB)
          .prefault('256KiB')
          .describe("Loki's max_line_size: longest body of a record."),
        max_metadata_size: size(1, 1024 * MIB)
          .prefault('64KiB')
          .describe("Loki's max_structured_metadata_size: names and values of all attributes of a record."),
        max_metadata_entries: z
          .int()
          .min(1)
          .max(100_000)
          .default(128)
          .describe(
            "Loki's max_structured_metadata_entries_count: attributes of a record, with those of the resource.",
          ),
        max_age: duration(1000, 3650 * DAY_MS)
          .prefault('7d')
          .describe("Loki's reject_old_samples_max_age: oldest record it takes."),
        max_ahead: duration(0, 3650 * DAY_MS)
          .prefault('10m')
          .describe("Loki's creation_grace_period: how far ahead of the clock a record may be."),
      }),
    ],
    { error: 'expected true, false or a mapping of limits such as {max_line_size: 256KiB}' },
  )
  .prefault(false)
  .describe(
    "The sink is Grafana Loki: true for Loki's default limits, or a mapping of yours. Records that break one are refused " +
      'and counted here, because Loki does not say which they were; one request at a time keeps their order, for it refuses ' +
      'what is too far behind the newest. batch.max_bytes is at most 4MiB then.',
  )

const concurrency = z
  .strictObject({
    max: z
      .int()
      .min(1)
      .max(256)
      .optional()
      .describe(
        'Most requests at a time, each on a connection of its own; 4 when absent, always 1 for Loki. Each holds a batch in memory.',
      ),
  })
  .prefault({})
  .describe('Requests under way at the same time. With more than one, records arrive in another order.')

/** `type: otlp`. */
export const otlp = z
  .strictObject({
    type: z
      .literal('otlp')
      .describe(
        'Sends OTLP log records over HTTP: OpenTelemetry Collector, Grafana Loki and others. batch.max_bytes is at most 20MiB.',
      ),
    endpoint: url
      .optional()
      .describe(
        `Base address; v1/logs is appended. For Loki http://HOST:3100/otlp. ${FROM_ENVIRONMENT} OTEL_EXPORTER_OTLP_ENDPOINT; ` +
          'http://localhost:4318 when neither is there.',
      ),
    logs_endpoint: url
      .optional()
      .describe(
        `Whole address, used as it is, instead of endpoint. ${FROM_ENVIRONMENT} OTEL_EXPORTER_OTLP_LOGS_ENDPOINT.`,
      ),
    protocol: z
      .enum(['http/protobuf', 'http/json'])
      .optional()
      .describe(
        `http/json is about twenty times slower to make. ${FROM_ENVIRONMENT} OTEL_EXPORTER_OTLP_PROTOCOL; http/protobuf when ` +
          'neither is there.',
      ),
    encoder: z
      .enum(['ktrail', 'sdk'])
      .default('ktrail')
      .describe("Who writes the records: ktrail, or OpenTelemetry's own library, slower and byte for byte the same."),
    compression: z
      .enum(['none', 'gzip', 'zstd'])
      .optional()
      .describe(
        `zstd costs less and is smaller; not every sink takes it. ${FROM_ENVIRONMENT} OTEL_EXPORTER_OTLP_COMPRESSION; gzip when ` +
          'neither is there.',
      ),
    headers: z
      .record(headerName, headerValue)
      .default({})
      .describe(
        'HTTP headers of every request, by name; never printed. Secrets by ${file:/path}, read at start, or header_files. ' +
          `${FROM_ENVIRONMENT} OTEL_EXPORTER_OTLP_HEADERS.`,
      ),
    header_files: z
      .record(headerName, pathSchema('File that holds the value.', 'secret'))
      .default({})
      .describe(
        'HTTP headers whose value is the content of a file, by name; read at start, on SIGHUP and after the sink has refused ' +
          'them, so that a token can be replaced while the agent runs.',
      ),
    tenant: headerValue.min(1).optional().describe('Tenant of a Loki that has several, as X-Scope-OrgID.'),
    request_timeout: duration(1)
      .optional()
      .describe(
        `Longest time one request may take. ${FROM_ENVIRONMENT} OTEL_EXPORTER_OTLP_TIMEOUT; 10s when neither is there.`,
      ),
    tls,
    ...resourceKeys,
    cluster_name: z.string().max(253).default('').describe('Resource attribute k8s.cluster.name; left out when empty.'),
    ...recordKeys,
    loki,
    concurrency,
    ...chainOfRequests,
  })
  .check((context) => {
    const { endpoint, logs_endpoint, loki: limits, batch, concurrency: requests } = context.value
    const { cert_file, key_file, ca_file } = context.value.tls
    const refuse = (path: string[], message: string): void =>
      void context.issues.push({ code: 'custom', input: context.value, path, message })
    if (endpoint !== undefined && logs_endpoint !== undefined) {
      refuse(['logs_endpoint'], 'expected either endpoint or logs_endpoint')
    }
    const isLoki = limits !== false
    const most = isLoki ? MAX_LOKI_BATCH : MAX_BATCH
    if (batch.max_bytes > most) {
      refuse(['batch', 'max_bytes'], `expected at most ${formatSize(most)}${isLoki ? ' for Loki' : ''}`)
    }
    if (isLoki && (requests.max ?? 1) > 1) {
      refuse(['concurrency', 'max'], 'expected 1 for Loki, which refuses what is too far behind the newest')
    }
    const address = logs_endpoint ?? endpoint ?? 'https:'
    if (!/^https:/i.test(address) && (ca_file ?? cert_file ?? key_file) !== undefined) {
      refuse(['tls'], 'expected an https endpoint where there are certificates')
    }
  })
  .describe('Exporter of OTLP log records over HTTP.')
