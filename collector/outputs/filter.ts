/** What an exporter lets through and hides, from its config. */
import type { ExporterConfig, FilterConfig } from '../../config/agent/schema.ts'
import { createFilter } from '../../exporters/index.ts'
import type { EncoderPool, EventFilter, RateLimitOptions } from '../../exporters/index.ts'
import type { Log } from '../telemetry/log.ts'

const POD_KEYS: ReadonlyArray<keyof FilterConfig> = ['pods', 'health_checks']
const POD_FILTER_KEYS = ['namespace_regex', 'pod_regex', 'container_name_regex', 'labels', 'health_check']

/**
 * The filter of an exporter; undefined when it takes all events. Logs a warning for what asks for pods, of which this version
 * knows none.
 */
export function filterOf(name: string, { filter }: ExporterConfig, log: Log): EventFilter | undefined {
  if (filter === undefined) return undefined
  const keys = podKeys(filter)
  if (keys.length > 0) {
    log.warn(
      { exporter: name, keys },
      'this version knows no pods: every process counts as one outside of any, with the namespace ""',
    )
  }
  return createFilter(filter)
}

/** The encoders of an exporter: those of all where it neither redacts nor cuts fields. */
export function encodersOf(name: string, config: ExporterConfig, encoders: EncoderPool, log: Log): EncoderPool {
  const { redact, fields } = config
  return encoders.shaped({ redact, fields }, (problem) => log.warn({ exporter: name }, problem))
}

/** The limit of an exporter; undefined when it has none. */
export function rateLimitOf({ rate_limit: limit }: ExporterConfig): RateLimitOptions | undefined {
  if (limit === undefined) return undefined
  const { events, per: perMs, burst } = limit
  return { events, perMs, ...(burst === undefined ? {} : { burst }) }
}

/** Keys that say something about pods, as paths below `filter`. */
function podKeys(filter: FilterConfig): string[] {
  const keys: string[] = POD_KEYS.filter((key) => filter[key] !== undefined)
  if (filter.namespaces?.some((name) => name !== '') === true) keys.push('namespaces')
  for (const list of ['allow', 'deny'] as const) {
    for (const each of filter[list] ?? []) {
      const own = Object.keys(each).filter((key) => POD_FILTER_KEYS.includes(key))
      if (each.namespace?.some((name) => name !== '') === true) own.push('namespace')
      keys.push(...own.map((key) => `${list}.${key}`))
    }
  }
  return [...new Set(keys)]
}
