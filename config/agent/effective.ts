/** What is in force where a config leaves out a value that follows from others. */
import { DEFAULT_OTLP } from './exporters/kafka.ts'
import type { Config, ExporterConfig, KafkaExporterConfig, OtlpExporterConfig } from './schema.ts'

/** Of Loki itself (`reject_old_samples_max_age`), for `loki: true`. */
const LOKI_MAX_AGE_MS = 7 * 86_400_000
/** As for one that is written. */
const MIN_AGE_MS = 1000
/**
 * Sinks that keep no order take several requests at a time; more than a few are for far ones only and cost memory. Loki refuses
 * what is too far behind the newest.
 */
const REQUESTS = 4
const LOKI_REQUESTS = 1

/** Bytes that must wait in the ring before the kernel wakes the agent. */
export function ringWatermarkBytes({ ring }: Config): number {
  return ring.watermark ?? ring.size / 8
}

/** What gives way when the queue of an exporter is full. */
export function whenFull({
  queue,
  spool,
}: Pick<ExporterConfig, 'queue' | 'spool'>): NonNullable<ExporterConfig['queue']['when_full']> {
  return queue.when_full ?? (spool === undefined ? 'drop_newest' : 'spool')
}

/** Age at which events are dropped from the spool; undefined for never. Loki would refuse them: a fourteenth is for the way there. */
export function spoolMaxAgeMs(exporter: ExporterConfig): number | undefined {
  const { spool } = exporter
  if (spool === undefined || spool.max_age !== undefined || exporter.type !== 'otlp') return spool?.max_age
  const { loki } = exporter
  if (loki === false) return undefined
  const lokiMs = loki === true ? LOKI_MAX_AGE_MS : loki.max_age
  return Math.max(MIN_AGE_MS, Math.floor((lokiMs * 13) / 14))
}

/** Most requests under way at a time. */
export function requestsAtOnce({ concurrency, loki }: OtlpExporterConfig): number {
  return concurrency.max ?? (loki === false ? REQUESTS : LOKI_REQUESTS)
}

/** What OTLP records in Kafka say; undefined where its records are JSON. */
export function recordsInKafka({ format, otlp }: KafkaExporterConfig): KafkaExporterConfig['otlp'] {
  return format === 'otlp_proto' ? (otlp ?? DEFAULT_OTLP) : undefined
}

/** The config with all of these in it. */
export function filledIn(config: Config): Config {
  const exporters = Object.entries(config.exporters).map(([name, exporter]) => [name, filledInExporter(exporter)])
  return {
    ...config,
    ring: { ...config.ring, watermark: ringWatermarkBytes(config) },
    exporters: Object.fromEntries(exporters),
  }
}

function filledInExporter(exporter: ExporterConfig): ExporterConfig {
  const { queue, spool, rate_limit: limit } = exporter
  const maxAge = spoolMaxAgeMs(exporter)
  const chain = {
    queue: { ...queue, when_full: whenFull(exporter) },
    ...(limit === undefined ? {} : { rate_limit: { ...limit, burst: limit.burst ?? limit.events } }),
    ...(spool === undefined || maxAge === undefined ? {} : { spool: { ...spool, max_age: maxAge } }),
  }
  if (exporter.type === 'kafka') {
    const otlp = recordsInKafka(exporter)
    return { ...exporter, ...chain, ...(otlp && { otlp }) }
  }
  if (exporter.type !== 'otlp') return { ...exporter, ...chain }
  return { ...exporter, ...chain, concurrency: { max: requestsAtOnce(exporter) } }
}
