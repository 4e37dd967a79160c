/** The public door of the room: everything that the collector may use of it. */
import type { Exporter } from './exporter.ts'
import type { FileDeps, FileOptions } from './file/exporter.ts'
import type { KafkaDeps, KafkaOptions } from './kafka/index.ts'
import type { OtlpDeps, OtlpOptions } from './otlp/index.ts'
import type { StdoutDeps, StdoutOptions } from './stdout/exporter.ts'
import type { NpmDeps, NpmOptions } from './third-party/load.ts'

export type { Batch, Books, DropReason, Encoded, Encoder, Encoding, Exporter } from './exporter.ts'
export type { Outcome, Refusal } from './exporter.ts'
export type { Lost, RequestOutcome, SenderStats } from './exporter.ts'
export { nodeCompressors } from './compression.ts'
export type { Compressors } from './compression.ts'
export { EncoderPool } from './encoders.ts'
export type { CompactLook, OtlpRecords, Shape } from './encoders.ts'
export { createCompactEncoder } from './encoding/compact.ts'
export type { CompactEncoderOptions } from './encoding/compact.ts'
export { createJsonEncoder } from './encoding/json-line.ts'
export type { JsonEncoderOptions } from './encoding/json-line.ts'
export type { ResourceOptions } from './encoding/otlp/envelope.ts'
export { ExportError } from './errors.ts'
export type { ExportErrorCode } from './errors.ts'
export { DeadLetterFile } from './dead-letter/dead-letters.ts'
export type { DeadLetterOptions } from './dead-letter/dead-letters.ts'
export { FanOut } from './fanout.ts'
export type { Route } from './fanout.ts'
export { createFilter } from './filtering/filter.ts'
export type { EventFilter } from './filtering/filter.ts'
export { TokenBucket } from './filtering/rate-limit.ts'
export type { RateLimitOptions } from './filtering/rate-limit.ts'
export type { FileOptions, FsyncPolicy } from './file/exporter.ts'
export { DEFAULT_KAFKA_OPTIONS } from './kafka/index.ts'
export type { KafkaOptions } from './kafka/index.ts'
export { LOKI_LIMITS, resolveOtlpOptions, resolveOtlpResource } from './otlp/index.ts'
export type { LokiLimits, OtlpConfigValues, OtlpOptions, ResolvedOtlp } from './otlp/index.ts'
export type { ResolvedResource } from './otlp/index.ts'
export type { StdoutOptions } from './stdout/exporter.ts'
export { terminal } from './stdout/terminal.ts'
export { wantsColor } from './stdout/color.ts'
export type { ColorWhen } from './stdout/color.ts'
export { systemClock } from './sending/clock.ts'
export type { Clock, Random } from './sending/clock.ts'
export { Histogram } from './sending/histogram.ts'
export type { HistogramCounts } from './sending/histogram.ts'
export { DEFAULT_SENDER_OPTIONS } from './sending/options.ts'
export type { SenderOptions, SpoolUse, WhenFull } from './sending/options.ts'
export { Sender } from './sending/sender.ts'
export type { MemoryPressure } from './sending/sender.ts'
export type { SenderDeps } from './sending/sender.ts'
export { systemSpoolFiles } from './spool/files.ts'
export { copy as copySpool, list as listSpool, repair as repairSpool, verify as verifySpool } from './spool/inspect.ts'
export type { Listing as SpoolListing, RepairReport as SpoolRepair, Verdict as SpoolVerdict } from './spool/inspect.ts'
export { lockHolder } from './spool/lock.ts'
export { anyPieceOf } from './spool/payload.ts'
export { linesOf, ofTimes } from './spool/replay.ts'
export type { TimeRange } from './spool/replay.ts'
export { openSpool } from './spool/spool.ts'
export type { SpoolOptions } from './spool/spool.ts'
export type { Vanished as SpoolVanished } from './spool/presence.ts'
export type { RecoveryReport as SpoolRecovery } from './spool/recovery.ts'
export type { TellTrouble as TellSpoolTrouble, Work as SpoolWork } from './spool/troubles.ts'

/** What each kind of exporter is made from, and the world it touches, for tests to replace. */
interface Kinds {
  readonly file: { readonly options: FileOptions; readonly deps: FileDeps }
  readonly stdout: { readonly options: StdoutOptions; readonly deps: StdoutDeps }
  readonly otlp: { readonly options: OtlpOptions; readonly deps: OtlpDeps }
  readonly kafka: { readonly options: KafkaOptions; readonly deps: KafkaDeps }
  readonly npm: { readonly options: NpmOptions; readonly deps: NpmDeps }
}

export type ExporterType = keyof Kinds

// Loaded when wanted: an agent that writes a file should not carry Kafka's client in its memory.
const REGISTRY: {
  readonly [T in ExporterType]: (options: Kinds[T]['options'], deps: Kinds[T]['deps']) => Promise<Exporter>
} = {
  file: async (options, deps) => new (await import('./file/exporter.ts')).FileExporter(options, deps),
  stdout: async (options, deps) => (await import('./stdout/exporter.ts')).createStdoutExporter(options, deps),
  otlp: async (options, deps) => new (await import('./otlp/exporter.ts')).OtlpExporter(options, deps),
  kafka: async (options, deps) => new (await import('./kafka/exporter.ts')).KafkaExporter(options, deps),
  npm: async (options, deps) => (await import('./third-party/load.ts')).loadNpmExporter(options, deps),
}

/** Makes an exporter, not yet started. Rejects with ExportError for options that can never work. */
export function createExporter<T extends ExporterType>(
  type: T,
  options: Kinds[T]['options'],
  deps: Kinds[T]['deps'] = {},
): Promise<Exporter> {
  return REGISTRY[type](options, deps)
}
