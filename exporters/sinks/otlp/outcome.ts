/**
 * What a reply of the sink means for the records of one request: the status table of docs/reference/otlp.md, nothing else.
 * What then happens to a batch is the exporter's.
 */
import { ExportError } from '../../contract/errors.ts'
import { namedLimits } from './loki/named-limits.ts'
import type { NamedLimits } from './loki/named-limits.ts'
import { partialSuccessOf, statusTextOf } from './reply.ts'
import type { Reply } from './transport.ts'

export type Verdict =
  /** Taken, but for `rejected` records. `warning` is what the sink added. */
  | { readonly is: 'taken'; readonly rejected: number; readonly reason: string; readonly warning: string }
  /** Thrown away, all of them, whatever is done. */
  | { readonly is: 'refused'; readonly reason: string; readonly error: ExportError }
  /**
   * At least one record is at fault: halve until it stands alone, then refuse it. `named`: the sink says that it is about a limit of single
   * records, so it is not about us; with the limits that it names.
   */
  | {
      readonly is: 'faulty'
      readonly reason: string
      readonly named?: NamedLimits
      readonly error: ExportError
    }
  /** Fewer events of the range are to be sent than before: again. */
  | { readonly is: 'narrowed' }
  /** A person must mend something. */
  | { readonly is: 'hold'; readonly error: ExportError }
  | {
      readonly is: 'again'
      /** The sink may have stored some of it. */
      readonly unacknowledged: boolean
      readonly throttled: boolean
      readonly afterMs: number | undefined
      readonly error: ExportError
    }

/** Of what the sink says, enough to see what is wrong. */
const MAX_TEXT = 2000
/** Loki's answer while ingestion is blocked for a tenant. It throws away what it was sent; we still have it. */
const BLOCKED = 260

/** Faults of address or rights: 400 for every record, so that dropping any would drop all. */
export const MENDABLE: ReadonlySet<number> = new Set([401, 403, 404, 405, 407, 408, 415])

/** Of these, faults of credentials: others may have taken their place meanwhile. */
export const ABOUT_CREDENTIALS: ReadonlySet<number> = new Set([401, 403, 407])

/** Texts of Loki's 400 about single entries (docs/reference/loki.md), and the reason that goes into the books. */
const ENTRY_FAULTS: ReadonlyArray<readonly [pattern: RegExp, reason: string]> = [
  [/max entry size|line_too_long/i, 'too_large'],
  [/structured metadata too large|too many structured metadata/i, 'metadata_too_large'],
  [/timestamp too old/i, 'too_old'],
  [/timestamp too new/i, 'too_new'],
  [/too far behind|out of order/i, 'too_far_behind'],
]
/** Texts of a 400 that every request would get: it is about the form, or about what all records have in common. */
const CONFIG_FAULTS: readonly RegExp[] = [
  /content.?(?:type|encoding)|unsupported (?:protocol|encoding)/i,
  // Not decompressed, or not decoded.
  /\b(?:gzip|zlib|flate|zstd|snappy|lz4|proto): |unexpected EOF/i,
  /\borg id|tenant id|feature is disallowed/i,
  /missing required labels|label (?:names?|value|pair)|max_label_names|valid stream is required/i,
]
/** Loki's 429 that is about one stream: entries of others are stored. */
const STORED_SOME = /per stream rate limit/i
const IGNORED = /total ignored: (\d+) out of (\d+)/g

/** Reads the reply to a request of `sent` records. `endpoint` is for the sentence, `wallMs` for a Retry-After that is a date. */
export function verdictOf(reply: Reply, sent: number, endpoint: string, wallMs: number): Verdict {
  const { status } = reply
  if (status === 200 || status === 202 || status === 204) return taken(reply)
  const text = statusTextOf(reply)
  const said = text.slice(0, MAX_TEXT)
  const error = new ExportError('IO', `${endpoint} answered ${status}${said === '' ? '' : `: ${said}`}`)
  if (status === BLOCKED) return { is: 'hold', error: advised(error, 'allow this tenant to write again') }
  if (status < 300) return { is: 'refused', reason: 'unexpected_status', error }
  if (status < 400 || MENDABLE.has(status)) {
    return {
      is: 'hold',
      error: advised(error, ABOUT_CREDENTIALS.has(status) ? 'check the credentials' : 'check the endpoint'),
    }
  }
  if (status === 413) return { is: 'faulty', reason: 'too_large', error }
  const afterMs = retryAfterMs(reply.retryAfter, wallMs)
  if (status === 429) return { is: 'again', unacknowledged: STORED_SOME.test(text), throttled: true, afterMs, error }
  if (status >= 500) return { is: 'again', unacknowledged: true, throttled: false, afterMs, error }
  return malformed(text, sent, error)
}

function taken(reply: Reply): Verdict {
  const { rejected, message } = partialSuccessOf(reply)
  return { is: 'taken', rejected, reason: 'partial', warning: message.slice(0, MAX_TEXT) }
}

/**
 * A 400 of a sink that stores the good entries and counts the others is an answer; any other asks for halving. So does one
 * whose numbers are not of all that was sent: what Loki's distributor has refused (too old, too new, too large) never gets to
 * the stream that counts, and is not mentioned beside what that refuses.
 */
function malformed(text: string, sent: number, error: ExportError): Verdict {
  const reason = ENTRY_FAULTS.find(([pattern]) => pattern.test(text))?.[1]
  if (reason === undefined) {
    const isOurs = CONFIG_FAULTS.some((pattern) => pattern.test(text))
    return isOurs ? { is: 'hold', error } : { is: 'faulty', reason: 'invalid', error }
  }
  const counts = [...text.matchAll(IGNORED)]
  const ignored = counts.reduce((sum, [, count]) => sum + Number(count), 0)
  const counted = counts.reduce((sum, [, , all]) => sum + Number(all), 0)
  if (ignored > 0 && counted >= sent) return { is: 'taken', rejected: ignored, reason, warning: error.message }
  // Not counted by the sink. Sending the others again is safe, for equal entries are removed.
  return { is: 'faulty', reason, named: namedLimits(text) ?? {}, error }
}

function advised(error: ExportError, advice: string): ExportError {
  return new ExportError('IO', `${error.message}; ${advice}`)
}

/** Seconds or an HTTP date; undefined when absent or neither. */
function retryAfterMs(header: string | undefined, wallMs: number): number | undefined {
  if (header === undefined || header.trim() === '') return undefined
  const text = header.trim()
  const ms = /^\d+(?:\.\d+)?$/.test(text) ? Number(text) * 1000 : Date.parse(text) - wallMs
  return Number.isNaN(ms) ? undefined : Math.max(0, ms)
}
