import { createHash } from 'node:crypto'
import type { EffectiveExporter } from '../config/agent/effective.ts'
import { TENANT_HEADER } from '../config/agent/exporters/otel.ts'

/**
 * Identifies where an exporter's records are stored, for a reader of earlier ones: another file, topic, address or tenant. A hash, because an
 * address may be confidential.
 */
export function destinationOf(config: EffectiveExporter): string {
  const text = JSON.stringify([config.type, ...placeOf(config)])
  return createHash('sha256').update(text).digest('hex').slice(0, 16)
}

function placeOf(config: EffectiveExporter): ReadonlyArray<string | undefined> {
  switch (config.type) {
    case 'file':
      return [config.path]
    case 'kafka':
      return [config.topic]
    case 'otlp': {
      const [, tenant] = Object.entries(config.headers).find(([name]) => name.toLowerCase() === TENANT_HEADER) ?? []
      return [config.endpoint, config.logs_endpoint, tenant]
    }
    default:
      return []
  }
}
