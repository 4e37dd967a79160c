import { existsSync } from 'node:fs'
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
  const better = addressOf(address)
  if (better === undefined) return fileSource(address, process.stdin)
  throw new ExportError('UNUSABLE', `expected a file, kafka:// or loki://, got "${address}": ${better}`)
}

/** The next step for an address of another form; undefined for the path of a file. */
function addressOf(address: string): string | undefined {
  const query = address.includes('?') ? '' : '?{service_name="ktrail"}'
  if (/^https?:\/\//.test(address)) return `for Loki, write ${address.replace(/^http/, 'loki')}${query}`
  if (/^(?:[\w.-]+|\[[\da-f:]+\]):\d+(?:[,/].*)?$/i.test(address) && !existsSync(address))
    return `for Kafka, write kafka://${address.includes('/') ? address : `${address}/TOPIC`}`
  return /^\w+:\/\//.test(address) ? 'use one of these' : undefined
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
