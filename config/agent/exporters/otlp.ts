import * as z from 'zod'
import { pathSchema } from '../../base/paths.ts'
import { DAY_MS, MIB, duration, formatSize, size } from '../../base/units.ts'
import { chainOfRequests } from './chain.ts'
import { FROM_ENVIRONMENT, keysBySink, recordKeys, resourceKeys } from './otlp-records.ts'
import { tlsKeys } from './tls.ts'
import type { DeepReadonly } from '../../base/parsed.ts'

/** Limit of a request before compression: the Collector's default limit; less for Loki, which has a burst of 6 MB. */
const MAX_BATCH = 20 * MIB
const MAX_LOKI_BATCH = 4 * MIB

/** An http or https address. */
export const url = z.string().check((context) => {
  const refuse = (message: string, secret: boolean): void =>
    void context.issues.push({ code: 'custom', input: context.value, message, params: { secret } })
  const parsed = URL.canParse(context.value) ? new URL(context.value) : undefined
  if (parsed === undefined || !/^https?:\/\//i.test(context.value)) {
    // An invalid URL may contain a password or token.
    refuse('expected an http or https URL such as http://localhost:4318', /[@?]/.test(context.value))
  } else if (parsed.username !== '' || parsed.password !== '') {
    // They would appear in logs and printed configs.
    refuse('expected a URL without user and password; put them into headers, as authorization', true)
  }
})

/** Paths that another protocol, or the whole address of this one, has. */
const PUSH = /\/loki\/api\/v1\/push\/?$/
const LOGS = /\/v1\/logs\/?$/
const OTHERS = /\/v1\/(?:traces|metrics)\/?$/

const ofLogs = url.refine((text) => !OTHERS.test(text), {
  error: 'expected the address of logs, because ktrail sends no traces or metrics; remove /v1/traces or /v1/metrics',
})
const base = ofLogs
  .refine((text) => !PUSH.test(text), {
    error: 'expected the base address of OTLP, such as http://loki:3100/otlp',
  })
  .refine((text) => !LOGS.test(text), {
    error: 'expected the address without /v1/logs, which is appended',
  })
const whole = ofLogs.refine((text) => !PUSH.test(text), {
  error: 'expected the address of OTLP, such as http://loki:3100/otlp/v1/logs',
})

const HEADER_NAME = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$/
const headerName = z.string().regex(HEADER_NAME, { error: 'expected the name of an HTTP header' })
/** Printable characters, spaces and tabs, as HTTP allows; a line feed would start another header. */
const headerValue = z.string().regex(/^[\t\x20-\x7e\x80-\xff]*$/, {
  error: 'expected characters that HTTP allows in a header',
})

const tls = z
  .strictObject(
    tlsKeys({
      ca: ` ${FROM_ENVIRONMENT} OTEL_EXPORTER_OTLP_CERTIFICATE.`,
      cert: ` ${FROM_ENVIRONMENT} OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE.`,
      key: ` ${FROM_ENVIRONMENT} OTEL_EXPORTER_OTLP_CLIENT_KEY.`,
    }),
  )
  .prefault({})
  .describe('Certificates for https endpoints.')

const lokiKeys = z.strictObject({
  max_line_size: size(1, 1024 * MIB)
    .prefault('256KiB')
    .describe("Loki's max_line_size: maximum size of a record's body."),
  max_metadata_size: size(1, 1024 * MIB)
    .prefault('64KiB')
    .describe("Loki's max_structured_metadata_size: maximum size of the names and values of a record's attributes."),
  max_metadata_entries: z
    .int()
    .min(1)
    .max(100_000)
    .default(128)
    .describe(
      "Loki's max_structured_metadata_entries_count: maximum number of attributes of a record and its resource.",
    ),
  max_age: duration(1000, 3650 * DAY_MS)
    .prefault('7d')
    .describe("Loki's reject_old_samples_max_age: maximum age of a record."),
  max_ahead: duration(0, 3650 * DAY_MS)
    .prefault('10m')
    .describe("Loki's creation_grace_period: maximum time that a record may be ahead of the clock."),
})

/** The limits for Loki; undefined for other sinks. */
export function lokiLimits(loki: boolean | LokiLimits): LokiLimits | undefined {
  if (loki === false) return undefined
  return loki === true ? lokiKeys.parse({}) : loki
}

export type LokiLimits = Readonly<z.output<typeof lokiKeys>>

const loki = z
  .union([z.boolean(), lokiKeys], {
    error: 'expected true, false or a mapping of limits such as {max_line_size: 256KiB}',
  })
  .prefault(false)
  .describe(
    "Support for Grafana Loki: true for Loki's default limits, or a mapping with your limits. Records beyond a limit are " +
      'rejected before sending, because Loki does not report which one it refused. One request is sent at a time, because Loki ' +
      'refuses records too far behind the newest. batch.max_bytes is then at most 4MiB.',
  )

const concurrency = z
  .strictObject({
    max: z
      .int()
      .min(1)
      .max(256)
      .optional()
      .describe(
        'Maximum number of requests in flight, each with its own connection and a batch in memory. Default: 4; always 1 for Loki.',
      ),
  })
  .prefault({})
  .describe('Requests in flight at the same time. With more than one, records may arrive out of order.')

/** `type: otlp`. */
export const otlp = z
  .strictObject({
    type: z
      .literal('otlp')
      .describe(
        'Sends OTLP log records over HTTP: to the OpenTelemetry Collector, Grafana Loki and others. batch.max_bytes is at most ' +
          '20MiB.',
      ),
    endpoint: base
      .optional()
      .describe(
        `Base address, to which v1/logs is appended; for Loki http://HOST:3100/otlp. ${FROM_ENVIRONMENT} OTEL_EXPORTER_OTLP_ENDPOINT. ` +
          'Default: http://localhost:4318.',
      ),
    logs_endpoint: whole
      .optional()
      .describe(`Complete address, instead of endpoint. ${FROM_ENVIRONMENT} OTEL_EXPORTER_OTLP_LOGS_ENDPOINT.`),
    protocol: z
      .enum(['http/protobuf', 'http/json'])
      .optional()
      .describe(
        `Encoding of a request. http/json costs about twenty times as much. ${FROM_ENVIRONMENT} OTEL_EXPORTER_OTLP_PROTOCOL. ` +
          'Default: http/protobuf.',
      ),
    encoder: z
      .enum(['ktrail', 'sdk'])
      .default('ktrail')
      .describe(
        "Encoder of the records: ktrail's, or the OpenTelemetry SDK's, which is slower and writes the same bytes.",
      ),
    compression: z
      .enum(['none', 'gzip', 'zstd'])
      .optional()
      .describe(
        `Compression of requests. zstd needs less CPU and is smaller, but not every sink accepts it. ${FROM_ENVIRONMENT} ` +
          'OTEL_EXPORTER_OTLP_COMPRESSION. Default: gzip.',
      ),
    headers: z
      .record(headerName, headerValue)
      .default({})
      .describe(
        'HTTP headers of every request, by name. Never printed. For secrets, use header_files or ${file:/path}. ' +
          `${FROM_ENVIRONMENT} OTEL_EXPORTER_OTLP_HEADERS.`,
      ),
    header_files: z
      .record(headerName, pathSchema('File with the value.', 'secret'))
      .default({})
      .describe('HTTP headers with values from files, by name. You can replace a token while the agent runs.'),
    tenant: headerValue.min(1).optional().describe('Tenant of a multi-tenant Loki, sent as X-Scope-OrgID.'),
    request_timeout: duration(1)
      .optional()
      .describe(`Timeout of one request. ${FROM_ENVIRONMENT} OTEL_EXPORTER_OTLP_TIMEOUT. Default: 10s.`),
    tls,
    ...resourceKeys,
    cluster_name: z.string().max(253).default('').describe('Resource attribute k8s.cluster.name; absent if empty.'),
    ...recordKeys,
    ...keysBySink,
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
      refuse(['concurrency', 'max'], 'expected 1 for Loki, because it refuses records too far behind the newest')
    }
    const address = logs_endpoint ?? endpoint ?? 'https:'
    if (!/^https:/i.test(address) && (ca_file ?? cert_file ?? key_file) !== undefined) {
      refuse(['tls'], 'expected an https endpoint with certificates')
    }
  })
  .describe('Exporter of OTLP log records over HTTP.')

export type OtlpExporterConfig = DeepReadonly<z.output<typeof otlp>>
