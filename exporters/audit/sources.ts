import { ExportError } from '../contract/errors.ts'
import { fileSource } from './files.ts'
import type { AuditedSource, Source, SourceOptions } from './source.ts'

/** Loki may search for a while, and Kafka may have to elect a leader. */
const SILENCE_MS = 30_000

/** The records at an address: `kafka://…`, `loki://…`, else a file or `-`. Throws ExportError UNUSABLE for a wrong address. */
export function auditSource(address: string, options: AuditedSource): Source {
  if (address.startsWith('kafka://'))
    return bounded(address, options, async (all) => (await import('./kafka.ts')).kafkaSource(address, all))
  if (/^lokis?:\/\//.test(address))
    return bounded(address, options, async (all) => (await import('./loki.ts')).lokiSource(address, all))
  return fileSource(address, process.stdin)
}

/** Loads the client of a sink when it is read, and gives up a silent sink. */
function bounded(address: string, options: AuditedSource, load: (options: SourceOptions) => Promise<Source>): Source {
  return async function* records() {
    const { silenceMs = SILENCE_MS } = options
    const over = new AbortController()
    const timer = setTimeout(() => over.abort(), silenceMs)
    try {
      const source = await load({ ...options, signal: over.signal, heard: () => void timer.refresh() })
      yield* source()
    } catch (error) {
      if (!over.signal.aborted) throw error
      // Without user, password and query.
      const shown = address.replace(/\?.*$/, '').replace(/\/\/[^/]*@/, '//')
      const message = `cannot read ${shown}: no answer within ${silenceMs / 1000} s`
      throw new ExportError(
        'IO',
        `${message}; check the address, the protocol (TLS or not), and the load of the server`,
        error,
      )
    } finally {
      clearTimeout(timer)
    }
  }
}
