/**
 * The effective config: with every value that follows from other keys, from the host name or from the environment. The agent runs with it, and
 * `config print --effective` shows it.
 */
import { hostname } from 'node:os'
import { OtelEnvironment } from './exporters/otel.ts'
import { kafkaRecords } from './exporters/kafka.ts'
import { lokiLimits } from './exporters/otlp.ts'
import type { keysBySink } from './exporters/otlp-records.ts'
import type { Environment } from './loading/substitute.ts'
import type { OtlpExporterConfig } from './exporters/otlp.ts'
import type { Config, ExporterConfig, QueueConfig, RateLimitConfig } from './schema.ts'

/** The schema's minimum of an age. */
const MIN_AGE_MS = 1000
/** Limit of files in a full spool: a start opens each of them. */
const MAX_SEGMENTS = 4096
/**
 * Requests in flight for sinks that keep no order; more only help with distant sinks, and cost memory. Loki refuses entries that are too far
 * behind the newest.
 */
const REQUESTS = 4
const LOKI_REQUESTS = 1

/** With values for the keys `K`. */
type With<T, K extends keyof T> = Omit<T, K> & { readonly [P in K]-?: Exclude<T[P], undefined> }

/** The part that every exporter has, whole. */
interface Chain {
  readonly queue: With<QueueConfig, 'when_full'>
  readonly rate_limit: With<RateLimitConfig, 'burst'> | undefined
}
type Whole<E> = Omit<E, keyof Chain> & Chain

/** `endpoint` or `logs_endpoint` is present: see `logsAddress`. */
type WholeOtlp = With<
  Omit<Whole<OtlpExporterConfig>, 'concurrency'>,
  'protocol' | 'compression' | 'request_timeout' | keyof typeof keysBySink
> & {
  readonly concurrency: With<OtlpExporterConfig['concurrency'], 'max'>
}

/** With Kafka, `otlp` is present if `format` is `otlp_proto`. */
type EffectiveOf<E> = E extends OtlpExporterConfig ? WholeOtlp : Whole<E>
export type EffectiveExporter = EffectiveOf<ExporterConfig>
/** The exporters of one `type`. */
export type EffectiveType<T extends EffectiveExporter['type']> = Extract<EffectiveExporter, { readonly type: T }>
export type EffectiveConfig = Omit<Config, 'exporters'> & {
  readonly exporters: Readonly<Record<string, EffectiveExporter>>
}

/** The origin of a value that comes neither from the config file nor from a default: a variable, or `host name`. */
export type Source = readonly [path: readonly string[], origin: string]

export interface Effective<T> {
  readonly config: T
  readonly sources: readonly Source[]
  /** Messages about ignored variables. */
  readonly warnings: readonly string[]
}

export function effectiveConfig(config: Config, env: Environment): Effective<EffectiveConfig> {
  const name = nodeNameOf(config, env)
  const sources: Source[] = name.origin === 'config' ? [] : [[['node_name'], name.origin]]
  const warnings: string[] = []
  const exporters: Record<string, EffectiveExporter> = {}
  for (const [key, exporter] of Object.entries(config.exporters)) {
    const effective = effectiveExporter(exporter, env)
    exporters[key] = effective.config
    sources.push(...effective.sources.map(([path, origin]): Source => [['exporters', key, ...path], origin]))
    warnings.push(...effective.warnings.map((warning) => `exporters.${key}: ${warning}`))
  }
  const ring = { ...config.ring, watermark: ringWatermarkBytes(config) }
  return { config: { ...config, node_name: name.value, ring, exporters }, sources, warnings }
}

/** Paths of sources are relative to the exporter. */
export function effectiveExporter(exporter: ExporterConfig, env: Environment): Effective<EffectiveExporter> {
  const environment = new OtelEnvironment(env)
  const { sources, warnings } = environment
  return { config: filledIn(exporter, environment), sources, warnings }
}

function filledIn(exporter: ExporterConfig, environment: OtelEnvironment): EffectiveExporter {
  const chain = { ...chainOf(exporter), ...spoolOf(exporter) }
  if (exporter.type === 'kafka') {
    const records = kafkaRecords(exporter)
    return { ...exporter, ...chain, otlp: records && environment.resource(records, 'otlp') }
  }
  if (exporter.type !== 'otlp') return { ...exporter, ...chain }
  const isLoki = exporter.loki !== false
  const max = exporter.concurrency.max ?? (isLoki ? LOKI_REQUESTS : REQUESTS)
  const { body = isLoki ? 'text' : 'json', command_line = isLoki, event_name_attribute = isLoki } = exporter
  return { ...environment.otlp(exporter), ...chain, body, command_line, event_name_attribute, concurrency: { max } }
}

function chainOf({ queue, spool, rate_limit: limit }: ExporterConfig): Chain {
  const when_full = queue.when_full ?? (spool === undefined ? 'drop_newest' : 'spool')
  return {
    queue: { ...queue, when_full },
    rate_limit: limit && { ...limit, burst: limit.burst ?? limit.events },
  }
}

function spoolOf(exporter: ExporterConfig): Pick<ExporterConfig, 'spool'> {
  const { spool } = exporter
  if (spool === undefined) return {}
  const limits = exporter.type === 'otlp' ? lokiLimits(exporter.loki) : undefined
  // Loki would refuse older events; one fourteenth is left for the transport.
  const lokiMs = limits && Math.max(MIN_AGE_MS, Math.floor((limits.max_age * 13) / 14))
  const segment_size = Math.max(spool.segment_size, Math.ceil(spool.max_size / MAX_SEGMENTS))
  return { spool: { ...spool, max_age: spool.max_age ?? lokiMs, segment_size } }
}

/** Bytes that must wait in the ring before the kernel wakes the agent. */
export function ringWatermarkBytes({ ring }: Pick<Config, 'ring'>): number {
  return ring.watermark ?? ring.size / 8
}

/** The host's name in records and its origin: `config`, a variable, or `host name`. The order is Tetragon's. */
export function nodeNameOf(
  { node_name: own }: Pick<Config, 'node_name'>,
  env: Environment,
): { readonly value: string; readonly origin: string } {
  if (own !== '') return { value: own, origin: 'config' }
  for (const origin of ['HUBBLE_NODE_NAME', 'NODE_NAME']) {
    const value = env[origin] ?? ''
    if (value !== '') return { value, origin }
  }
  return { value: hostname(), origin: 'host name' }
}

export function asksForDetails(
  config: Pick<Config, 'enable_process_cred' | 'enable_process_ns' | 'username_metadata'>,
): boolean {
  return config.enable_process_cred || config.enable_process_ns || config.username_metadata === 'unix'
}
