import { requestsAtOnce } from '../../config/agent/effective.ts'
import type { OtlpExporterConfig } from '../../config/agent/schema.ts'
import { LOKI_LIMITS, createExporter, resolveOtlpOptions } from '../../exporters/index.ts'
import type { LokiLimits, OtlpOptions, ResolvedOtlp } from '../../exporters/index.ts'
import { recordsOf, resourceOf, values } from './otlp-records.ts'
import type { Output, OutputContext } from './output.ts'

/**
 * Makes an OTLP exporter from the config and, for what that leaves out, the OTEL_* variables. Logs where it sends to and why,
 * and each variable that could not be read.
 */
export async function otlpOutput(name: string, config: OtlpExporterConfig, context: OutputContext): Promise<Output> {
  const { compressors, encoders, env, epoch, log } = context
  const resolved = resolveOtlpOptions(otlpValuesOf(config), env)
  for (const warning of resolved.warnings) log.warn({ exporter: name }, warning)
  const warn = (text: string): void => log.warn({ exporter: name }, text)
  const exporter = await createExporter('otlp', optionsOf(config, resolved, context), { warn, compressors })
  const encoder = await encoders.otlp({
    ...recordsOf(config, epoch),
    protocol: resolved.protocol.value === 'http/json' ? 'json' : 'protobuf',
    sdk: config.encoder === 'sdk',
  })
  log.info({ exporter: name, ...sourcesOf(resolved) }, 'sends OTLP')
  return { exporter, encoder }
}

/** What the config says of what OTEL_* variables may say too. */
export function otlpValuesOf(config: OtlpExporterConfig): Parameters<typeof resolveOtlpOptions>[0] {
  const { ca_file: caFile, cert_file: certFile, key_file: keyFile } = config.tls
  const tenant = config.tenant === undefined ? {} : { 'x-scope-orgid': config.tenant }
  return {
    endpoint: config.endpoint,
    logsEndpoint: config.logs_endpoint,
    headers: { ...tenant, ...config.headers },
    compression: config.compression,
    timeoutMs: config.request_timeout,
    protocol: config.protocol,
    caFile,
    certFile,
    keyFile,
    serviceName: config.service_name,
    resourceAttributes: config.resource_attributes,
  }
}

function optionsOf(config: OtlpExporterConfig, resolved: ResolvedOtlp, context: OutputContext): OtlpOptions {
  const loki = limitsOf(config.loki)
  return {
    encoding: resolved.protocol.value === 'http/json' ? 'otlp_json' : 'otlp',
    endpoint: resolved.endpoint.value,
    headers: values(resolved.headers),
    headerFiles: config.header_files,
    compression: resolved.compression.value,
    timeoutMs: resolved.timeoutMs.value,
    tls: {
      caFile: resolved.caFile?.value,
      certFile: resolved.certFile?.value,
      keyFile: resolved.keyFile?.value,
      serverName: config.tls.server_name,
      insecureSkipVerify: config.tls.insecure_skip_verify,
    },
    resource: resourceOf(resolved, config.cluster_name, context),
    ...(loki === undefined ? {} : { loki }),
    concurrency: requestsAtOnce(config),
  }
}

function limitsOf(loki: OtlpExporterConfig['loki']): LokiLimits | undefined {
  if (typeof loki === 'boolean') return loki ? LOKI_LIMITS : undefined
  return {
    maxLineBytes: loki.max_line_size,
    maxMetadataBytes: loki.max_metadata_size,
    maxMetadataEntries: loki.max_metadata_entries,
    maxAgeMs: loki.max_age,
    maxAheadMs: loki.max_ahead,
  }
}

/** The endpoint without what may be a secret (user, password, query), and which variables had a say. */
function sourcesOf(resolved: ResolvedOtlp): {
  readonly endpoint: string
  readonly from: string
  readonly variables: string[]
} {
  const { endpoint, headers, resourceAttributes, warnings: _, ...single } = resolved
  const all = [endpoint, ...Object.values(single), ...Object.values(headers), ...Object.values(resourceAttributes)]
  const variables = new Set(all.flatMap((each) => (each?.origin.startsWith('OTEL_') === true ? [each.origin] : [])))
  // It is a URL: whoever gave it was asked for one.
  const { origin, pathname } = new URL(endpoint.value)
  return { endpoint: origin + pathname, from: endpoint.origin, variables: [...variables] }
}
