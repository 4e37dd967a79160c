import { logsAddress } from '../../../config/agent/exporters/otel.ts'
import type { ExporterContext, MakeExporter } from '../context.ts'
import { OtlpExporter, isJson } from './exporter.ts'
import type { OtlpConfig } from './exporter.ts'

/** Logs the endpoint and its source. */
export const make: MakeExporter<OtlpConfig> = async (config, context) => {
  const { compressors, encoders, epoch, log, name, numbering, warn } = context
  const exporter = new OtlpExporter(config, context, { warn, compressors })
  const protocol = isJson(config) ? 'json' : 'protobuf'
  const encoder = await encoders.otlp({ ...config, epoch, protocol, sdk: config.encoder === 'sdk', numbering })
  log.info({ exporter: name, ...sourcesOf(config, context) }, 'sends OTLP')
  return { exporter, encoder, numbered: true }
}

/** The endpoint without possible secrets (user, password, query), and the environment variables used. */
function sourcesOf(config: OtlpConfig, { sources }: Pick<ExporterContext, 'sources'>): object {
  const { origin, pathname } = new URL(logsAddress(config))
  const from = sources.find(([[key]]) => key === 'logs_endpoint')?.[1] ?? 'config'
  const variables = new Set(sources.map(([, variable]) => variable).filter((variable) => variable !== 'default'))
  return { endpoint: origin + pathname, from, variables: [...variables] }
}
