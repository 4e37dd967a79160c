/** Effective configs of exporters, with the defaults of the schema. */
import { effectiveExporter } from '../../config/agent/effective.ts'
import type { EffectiveExporter, EffectiveType } from '../../config/agent/effective.ts'
import { exporterSchema } from '../../config/agent/exporters/exporters.ts'
import type { SpoolConfig } from '../../config/agent/schema.ts'
import type { ChainConfig } from '../../exporters/sending/config.ts'

/** One exporter, from `keys` as a user writes them. */
export function exporterConfig<T extends EffectiveExporter['type']>(
  type: T,
  keys: object = {},
  env: Readonly<Record<string, string>> = {},
): EffectiveType<T> {
  const { config } = effectiveExporter(exporterSchema.parse({ type, ...keys }), env)
  if (!isType(config, type)) throw new Error(`expected type ${type}, got ${config.type}`)
  return config
}

function isType<T extends EffectiveExporter['type']>(config: EffectiveExporter, type: T): config is EffectiveType<T> {
  return config.type === type
}

/** Default dependencies of an exporter for tests. */
export const CONTEXT = { nodeName: 'n', epoch: 'e', env: {} } as const

const { queue, batch, retry } = exporterConfig('stdout')
/** The sending chain of a test: nothing is dropped for lack of room. */
export const CHAIN: ChainConfig = {
  queue: { ...queue, when_full: 'block' },
  batch,
  retry: { ...retry, initial: 500 },
  timeout: 60_000,
  spool: undefined,
}

/** A spool with its defaults. */
export const SPOOL: SpoolConfig = spoolOf({ dir: '/nowhere' })

export function spoolOf(keys: object): SpoolConfig {
  const { spool } = exporterConfig('stdout', { spool: { dir: '/nowhere', ...keys } })
  if (spool === undefined) throw new Error('expected a spool')
  return spool
}
