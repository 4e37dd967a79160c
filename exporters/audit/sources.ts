import type { Environment } from '../../config/agent/loading/substitute.ts'
import { fileSource } from './files.ts'
import type { Source } from './source.ts'

export interface SourceOptions {
  readonly env: Environment
  /** Older records are not read where the sink can select by time. */
  readonly sinceMs: number | undefined
  readonly nowMs: number
}

/** The records at an address: `kafka://…`, `loki://…`, else a file or `-`. Throws ExportError UNUSABLE for a wrong address. */
export function auditSource(address: string, options: SourceOptions): Source {
  if (address.startsWith('kafka://'))
    return later(async () => (await import('./kafka.ts')).kafkaSource(address, options))
  if (/^lokis?:\/\//.test(address)) return later(async () => (await import('./loki.ts')).lokiSource(address, options))
  return fileSource(address, process.stdin)
}

/** Loads the client of a sink when it is read. */
function later(load: () => Promise<Source>): Source {
  return async function* records() {
    yield* (await load())()
  }
}
