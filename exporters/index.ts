/** The public door of the room: everything that the collector may use of it. */
import type { Exporter } from './contract/exporter.ts'
import type { FileDeps, FileOptions } from './sinks/file/exporter.ts'
import type { KafkaDeps, KafkaOptions } from './sinks/kafka/index.ts'
import type { OtlpDeps, OtlpOptions } from './sinks/otlp/index.ts'
import type { StdoutDeps, StdoutOptions } from './sinks/stdout/exporter.ts'
import type { NpmDeps, NpmOptions } from './sinks/npm/load.ts'

export type { Batch, Accounting, DropReason, Encoded, Encoder, Encoding, Exporter } from './contract/exporter.ts'
export type { Outcome, Refusal } from './contract/exporter.ts'
export type { Lost, RequestOutcome, SenderStats } from './contract/exporter.ts'
export { nodeCompressors } from './runtime/compression.ts'
export type { Compressors } from './runtime/compression.ts'
export { EncoderPool } from './encoding/pool.ts'
export type { CompactLook, OtlpRecords, Shape } from './encoding/pool.ts'
export { createCompactEncoder } from './encoding/compact.ts'
export type { CompactEncoderOptions } from './encoding/compact.ts'
export { createJsonEncoder } from './encoding/json-line.ts'
export type { JsonEncoderOptions } from './encoding/json-line.ts'
export type { ResourceOptions } from './encoding/otlp/envelope.ts'
export { ExportError } from './contract/errors.ts'
export type { ExportErrorCode } from './contract/errors.ts'
export { DeadLetterFile } from './dead-letter/dead-letters.ts'
export type { DeadLetterOptions } from './dead-letter/dead-letters.ts'
export { FanOut } from './fanout.ts'
export type { Route } from './fanout.ts'
export { createFilter } from './filtering/filter.ts'
export type { EventFilter } from './filtering/filter.ts'
export { TokenBucket } from './filtering/rate-limit.ts'
export type { RateLimitOptions } from './filtering/rate-limit.ts'
export type { FileOptions, FsyncPolicy } from './sinks/file/exporter.ts'
export { DEFAULT_KAFKA_OPTIONS } from './sinks/kafka/index.ts'
export type { KafkaOptions } from './sinks/kafka/index.ts'
export { LOKI_LIMITS, resolveOtlpOptions, resolveOtlpResource } from './sinks/otlp/index.ts'
export type { LokiLimits, OtlpConfigValues, OtlpOptions, ResolvedOtlp } from './sinks/otlp/index.ts'
export type { ResolvedResource } from './sinks/otlp/index.ts'
export type { StdoutOptions } from './sinks/stdout/exporter.ts'
export { terminal } from './sinks/stdout/terminal.ts'
export { wantsColor } from './sinks/stdout/color.ts'
export type { ColorWhen } from './sinks/stdout/color.ts'
export { systemClock } from './runtime/clock.ts'
export type { Clock, Random } from './runtime/clock.ts'
export { Histogram } from './runtime/histogram.ts'
export type { HistogramCounts } from './runtime/histogram.ts'
export { DEFAULT_SENDER_OPTIONS } from './sending/options.ts'
export type { SenderOptions, SpoolUse, WhenFull } from './sending/options.ts'
export { Sender } from './sending/sender.ts'
export type { MemoryPressure } from './sending/sender.ts'
export type { SenderDeps } from './sending/sender.ts'
export { systemSpoolFiles } from './buffer/disk/files/files.ts'
export {
  copy as copySpool,
  list as listSpool,
  repair as repairSpool,
  verify as verifySpool,
} from './buffer/disk/inspect/inspect.ts'
export type {
  Listing as SpoolListing,
  RepairReport as SpoolRepair,
  Verdict as SpoolVerdict,
} from './buffer/disk/inspect/inspect.ts'
export { lockHolder } from './buffer/disk/files/lock.ts'
export { anyPieceOf } from './buffer/disk/format/payload.ts'
export { linesOf, ofTimes } from './buffer/disk/inspect/replay.ts'
export type { TimeRange } from './buffer/disk/inspect/replay.ts'
export { openSpool } from './buffer/disk/spool.ts'
export type { SpoolOptions } from './buffer/disk/spool.ts'
export type { Vanished as SpoolVanished } from './buffer/disk/presence.ts'
export type { RecoveryReport as SpoolRecovery } from './buffer/disk/recovery.ts'
export type { ReportFailure as ReportSpoolFailure, Work as SpoolWork } from './buffer/disk/failures.ts'

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
  file: async (options, deps) => new (await import('./sinks/file/exporter.ts')).FileExporter(options, deps),
  stdout: async (options, deps) => (await import('./sinks/stdout/exporter.ts')).createStdoutExporter(options, deps),
  otlp: async (options, deps) => new (await import('./sinks/otlp/exporter.ts')).OtlpExporter(options, deps),
  kafka: async (options, deps) => new (await import('./sinks/kafka/exporter.ts')).KafkaExporter(options, deps),
  npm: async (options, deps) => (await import('./sinks/npm/load.ts')).loadNpmExporter(options, deps),
}

/** Makes an exporter, not yet started. Rejects with ExportError for options that can never work. */
export function createExporter<T extends ExporterType>(
  type: T,
  options: Kinds[T]['options'],
  deps: Kinds[T]['deps'] = {},
): Promise<Exporter> {
  return REGISTRY[type](options, deps)
}
