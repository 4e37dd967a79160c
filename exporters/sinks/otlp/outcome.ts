/**
 * The meaning of a response for the records of one request (docs/reference/otlp-records.md).
 */
import { ExportError } from '../../contract/errors.ts'
import { partialSuccessOf, statusTextOf } from './reply.ts'
import type { Reply } from './transport.ts'

/** Why records may be refused: the closed list of a metric label. */
export const REFUSAL_REASONS = [
  'too_large',
  'metadata_too_large',
  'too_old',
  'too_new',
  'too_far_behind',
  'invalid',
  'partial',
  'unexpected_status',
] as const
export type RefusalReason = (typeof REFUSAL_REASONS)[number]

export type Verdict =
  /** Accepted, except `rejected` records. `warning` is the sink's message. */
  | { readonly is: 'taken'; readonly rejected: number; readonly reason: RefusalReason; readonly warning: string }
  /** All refused permanently. */
  | { readonly is: 'refused'; readonly reason: RefusalReason; readonly error: ExportError }
  /** At least one record is at fault: halve until it is alone, then refuse it. */
  | {
      readonly is: 'faulty'
      readonly reason: RefusalReason
      /** The response is about single records, so the sink itself is probably not at fault. */
      readonly isAboutRecord: boolean
      /** The sink refuses older records: milliseconds since 1970, as the sink reported. */
      readonly oldestMs?: number
      readonly error: ExportError
    }
  /** Send again, with fewer events of the range. */
  | { readonly is: 'narrowed' }
  /** Needs manual action. */
  | { readonly is: 'hold'; readonly error: ExportError }
  | {
      readonly is: 'again'
      /** The sink may have stored some records. */
      readonly unacknowledged: boolean
      /** The sink limits the rate; it has stored this share of the request. */
      readonly throttled: { readonly stored: number } | undefined
      readonly afterMs: number | undefined
      readonly error: ExportError
    }

/** Maximum length of the sink's message in errors. */
const MAX_TEXT = 2000
/** Maximum if the answer is not OTLP, such as a page. */
const MAX_FOREIGN_TEXT = 200
/** Loki's status while ingestion is blocked for a tenant. Loki discards the request; we still have the events. */
const BLOCKED = 260

/** Wrong address or permissions: the sink would refuse every record, so no record counts as refused. */
export const NEEDS_ACTION: ReadonlySet<number> = new Set([401, 403, 404, 405, 407, 408, 415])

/** The ones for wrong credentials, which may have been replaced meanwhile. */
export const ABOUT_CREDENTIALS: ReadonlySet<number> = new Set([401, 403, 407])

/** Texts of Loki's 400 about single entries (docs/reference/exporters/loki.md), and the reason used in the accounting. */
const ENTRY_FAULTS: ReadonlyArray<readonly [pattern: RegExp, reason: RefusalReason]> = [
  [/max entry size|line_too_long/i, 'too_large'],
  [/structured metadata too large|too many structured metadata/i, 'metadata_too_large'],
  [/timestamp too old/i, 'too_old'],
  [/timestamp too new/i, 'too_new'],
  [/too far behind|out of order/i, 'too_far_behind'],
]
/** Texts of a 400 about the compression of the request. */
const CODING_FAULT = /(?:content.?|unsupported )encoding|\b(?:gzip|zlib|flate|zstd|snappy|lz4): /i
/** Texts of a 400 that every request would get, about the format or about the resource. */
const CONFIG_FAULTS: readonly RegExp[] = [
  CODING_FAULT,
  /content.?type|unsupported protocol/i,
  // Could not be decoded.
  /\bproto: |unexpected EOF/i,
  /\borg id|tenant id|feature is disallowed/i,
  /missing required labels|label (?:names?|value|pair)|max_label_names|valid stream is required/i,
]
/** Loki's 429 about one stream; entries of other streams are stored. */
const STORED_SOME = /per stream rate limit/i
const OLDEST = /timestamp too old: \S+, oldest acceptable timestamp is: ([\dT:.-]{19,40}(?:Z|[+-]\d\d:\d\d))/gi
const IGNORED = /total ignored: (\d+) out of (\d+)/g

/** A request, and its receiver. */
export interface Sent {
  readonly records: number
  /** For messages. */
  readonly endpoint: string
  readonly compression: string
}

/** Reads the response to a request. `wallMs` is for a date in Retry-After. */
export function verdictOf(reply: Reply, { records, endpoint, compression }: Sent, wallMs: number): Verdict {
  const { status } = reply
  if (status === 200 || status === 202 || status === 204) return taken(reply, endpoint)
  const text = statusTextOf(reply)
  const message = text.slice(0, MAX_TEXT)
  const error = new ExportError('IO', `${endpoint} answered ${status}${message === '' ? '' : `: ${message}`}`)
  if (status === BLOCKED) return { is: 'hold', error: advised(error, 'allow this tenant to write again') }
  if (status < 300) return { is: 'refused', reason: 'unexpected_status', error }
  const isCoded = compression !== 'none' && (status === 415 || (status === 400 && CODING_FAULT.test(text)))
  const uncoded = `set compression: none if the sink does not take ${compression}`
  if (status < 400 || NEEDS_ACTION.has(status)) {
    const advice = ABOUT_CREDENTIALS.has(status) ? 'check the credentials' : 'check the endpoint'
    return { is: 'hold', error: advised(error, isCoded ? `${uncoded}, or ${advice}` : advice) }
  }
  if (status === 413) return { is: 'faulty', reason: 'too_large', isAboutRecord: false, error }
  const afterMs = retryAfterMs(reply.retryAfter, wallMs)
  if (status === 429) {
    const { ignored, counted } = ignoredIn(text)
    const stored = Math.min(1, Math.max(0, (counted - ignored) / records))
    return { is: 'again', unacknowledged: STORED_SOME.test(text), throttled: { stored }, afterMs, error }
  }
  if (status >= 500) return { is: 'again', unacknowledged: true, throttled: undefined, afterMs, error }
  return malformed(text, records, isCoded ? advised(error, uncoded) : error)
}

function taken(reply: Reply, endpoint: string): Verdict {
  const partial = partialSuccessOf(reply)
  if (partial !== undefined) {
    const { rejected, message } = partial
    return { is: 'taken', rejected, reason: 'partial', warning: message.slice(0, MAX_TEXT) }
  }
  // A login page or another service, which has not stored the records.
  const text = statusTextOf(reply)
  const got = text.length > MAX_FOREIGN_TEXT ? `${text.slice(0, MAX_FOREIGN_TEXT)}…` : text
  const message = `${endpoint} answered ${reply.status}: expected an OTLP response, got "${got}"`
  return { is: 'hold', error: advised(new ExportError('IO', message), 'check that the endpoint is an OTLP receiver') }
}

/**
 * A 400 with the number of refused entries settles the request if it covers everything that was sent; any other is halved.
 * Entries that Loki's distributor refuses (too old, too new, too large) are missing in these numbers.
 */
function malformed(text: string, sent: number, error: ExportError): Verdict {
  const reason = ENTRY_FAULTS.find(([pattern]) => pattern.test(text))?.[1]
  if (reason === undefined) {
    const isOurs = CONFIG_FAULTS.some((pattern) => pattern.test(text))
    return isOurs ? { is: 'hold', error } : { is: 'faulty', reason: 'invalid', isAboutRecord: false, error }
  }
  const { ignored, counted } = ignoredIn(text)
  if (ignored > 0 && counted >= sent) return { is: 'taken', rejected: ignored, reason, warning: error.message }
  // The sink gave no numbers. Sending stored entries again is safe, because equal entries are removed.
  const oldestMs = latestBound(text)
  return { is: 'faulty', reason, isAboutRecord: true, ...(oldestMs === undefined ? {} : { oldestMs }), error }
}

/** The time before which Loki refuses records: the latest in its text, because the bound moves with its clock. Unchecked. */
export function latestBound(text: string): number | undefined {
  const times = [...text.matchAll(OLDEST)].map(([, time = '']) => Date.parse(time)).filter((ms) => !Number.isNaN(ms))
  return times.length === 0 ? undefined : times.reduce((a, b) => Math.max(a, b))
}

/** Entries that an answer counts, and how many of them Loki has not stored. */
function ignoredIn(text: string): { readonly ignored: number; readonly counted: number } {
  const counts = [...text.matchAll(IGNORED)]
  const ignored = counts.reduce((sum, [, count]) => sum + Number(count), 0)
  const counted = counts.reduce((sum, [, , all]) => sum + Number(all), 0)
  return { ignored, counted }
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
