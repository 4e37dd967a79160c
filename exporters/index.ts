/** The public interface of `exporters/`. */
export { Audit } from './audit/audit.ts'
export type { RunReport as AuditedRun, StreamReport as AuditedStream } from './audit/audit.ts'
export { auditSource } from './audit/sources.ts'
export { changeText } from './contract/described.ts'
export { changed, isAboutAgent, isHookEvent, tracepointOf } from './contract/event.ts'
export { EventSizes, stackBytes } from './contract/event-size.ts'
export { Numberings } from './contract/numbering.ts'
export type { Encoded, Outcome } from './contract/exporter.ts'
export type { Accounting, HistogramCounts, Lost, RequestOutcome, SenderStats } from './contract/accounting.ts'
export { ExportError } from './contract/errors.ts'
export { fileFlags } from './encoding/arguments.ts'
export { createCompactEncoder } from './encoding/compact.ts'
export { describeKprobe } from './encoding/compact-kprobe.ts'
export { createJsonEncoder } from './encoding/json-line.ts'
export { binaryProperties } from './encoding/json-process.ts'
export { Rendered, Renderings } from './contract/renderings.ts'
export { permission } from './encoding/files/permission.ts'
export { isoTime } from './runtime/iso-time.ts'
export { EncoderPool } from './encoding/pool.ts'
export { FanOut } from './fanout.ts'
export type { NumberedExporter } from './fanout.ts'
export { createFilter } from './filtering/filter.ts'
export type { EventFilter } from './filtering/filter.ts'
export type { ProcessLookup, ReaderFilter, TetragonFilter } from './filtering/conditions.ts'
export { createFanOut, startFanOut } from './start.ts'
export { checkExporters, probeExporters } from './probe.ts'
export { prepareExporters } from './reload.ts'
export type { PreparedExporters } from './reload.ts'
export type { ExportersContext } from './sinks/context.ts'
export { readTlsFiles } from './runtime/tls-files.ts'
export type { TlsContents } from './runtime/tls-files.ts'
export { wantsColor } from './sinks/stdout/exporter.ts'
export { terminal } from './sinks/stdout/terminal.ts'
export { Histogram } from './runtime/histogram.ts'
export { Sender } from './sending/sender.ts'
export type { MemoryPressure, SenderDeps } from './sending/sender.ts'
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
