/**
 * Sends OTLP log records over HTTP. Adds resource and scope to records in `otlp` or `otlp_json`, compresses, posts and reads the
 * response. `outcome.ts` has the meaning of each status, `delivery.ts` splits batches.
 */
import type { EffectiveType } from '../../../config/agent/effective.ts'
import { TENANT_HEADER, logsAddress } from '../../../config/agent/exporters/otel.ts'
import { lokiLimits } from '../../../config/agent/exporters/otlp.ts'
import type { ExporterContext } from '../context.ts'
import { systemClock } from '../../../config/base/time/clock.ts'
import { Seldom } from '../../../config/base/time/seldom.ts'
import type { Random } from '../../../config/base/time/clock.ts'
import { nodeCompressors } from '../../runtime/compression.ts'
import type { Compress, Compressors } from '../../runtime/compression.ts'
import { ExportError, errnoOf, textOf } from '../../contract/errors.ts'
import type { Batch, Exporter, Outcome, Resent } from '../../contract/exporter.ts'
import { endOf } from '../../contract/encoded.ts'
import { deliver, sentOf } from './delivery.ts'
import type { RefusalCounts, Range, Task } from './delivery.ts'
import { createEnvelope } from '../../encoding/otlp/envelope.ts'
import type { Envelope } from '../../encoding/otlp/envelope.ts'
import { resourceAttributes, resourceOf } from '../../encoding/otlp/resource.ts'
import type { LimitReason } from './loki/limits.ts'
import { ABOUT_CREDENTIALS, REFUSAL_REASONS, verdictOf } from './outcome.ts'
import type { Verdict } from './outcome.ts'
import { requirePair } from '../../runtime/tls-files.ts'
import { WatchedFiles } from '../../runtime/watched-files.ts'
import { Pace } from './pace.ts'
import { SinkLimits } from './loki/sink-limits.ts'
import { HttpTransport, wasNeverSent } from './transport.ts'
import type { Credentials } from './transport.ts'

export type OtlpConfig = EffectiveType<'otlp'>

export function isJson({ protocol }: Pick<OtlpConfig, 'protocol'>): boolean {
  return protocol === 'http/json'
}

export interface OtlpDeps {
  /** Default: Node's. */
  readonly compressors?: Compressors | undefined
  /** Milliseconds since 1970; for age limits and dates in Retry-After. */
  readonly wallMs?: () => number
  /** Monotonic milliseconds; for a sink that limits the rate. */
  readonly nowMs?: () => number
  readonly random?: Random
  /** Receives the sink's warnings about accepted requests, at most once a minute. */
  readonly warn?: (text: string) => void
}

/** A wrong certificate, the sink's or ours, needs manual action. EPROTO: the sink does not use TLS. */
const TLS_FAULT = /^(?:CERT_|ERR_TLS_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|HOSTNAME_MISMATCH|INVALID_CA|EPROTO$)/
/** TLS alerts of the sink about our certificate or about no common TLS version or cipher. */
const TLS_ALERT = /^ERR_SSL_\w+_ALERT_\w*(?:CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED|HANDSHAKE_FAILURE|PROTOCOL_VERSION)/

export class OtlpExporter implements Exporter {
  readonly type = 'otlp'
  readonly refusalReasons = REFUSAL_REASONS
  readonly encoding: 'otlp' | 'otlp_json'
  readonly maxConcurrency: number
  /** Uncompressed, the socket may still read slices of the batch after an early response. */
  readonly releases: boolean
  readonly counters = { requests: 0, request_bytes: 0, warnings: 0, limits_learned: 0 }
  readonly #resent = { requests: 0, events: 0 }
  readonly #timeoutMs: number
  readonly #transport: HttpTransport
  readonly #files: WatchedFiles
  readonly #envelope: Envelope
  readonly #compress: Compress | undefined
  readonly #headers: Readonly<Record<string, string>>
  readonly #limits: SinkLimits
  readonly #wallMs: () => number
  readonly #warn: (text: string) => void
  readonly #pace: Pace
  readonly #doubt: RefusalCounts = { singles: 0 }
  readonly #warnings = new Seldom()

  /** Throws ExportError when endpoint or headers can never work. */
  constructor(config: OtlpConfig, context: Pick<ExporterContext, 'nodeName' | 'hostId' | 'env'>, deps: OtlpDeps = {}) {
    const { tls, compression, tenant } = config
    // Checked here, because environment variables may set only one.
    requirePair(tls)
    const resource = resourceOf(config, config.cluster_name, context)
    this.encoding = isJson(config) ? 'otlp_json' : 'otlp'
    this.maxConcurrency = config.concurrency.max
    this.releases = compression !== 'none'
    this.#timeoutMs = config.request_timeout
    this.#transport = new HttpTransport({
      url: logsAddress(config),
      headers: {
        'user-agent': `ktrail/${resource.serviceVersion}`,
        ...(tenant === undefined ? {} : { [TENANT_HEADER]: tenant }),
        ...lowerCase(config.headers),
      },
      headerFiles: config.header_files,
      tls,
      maxConnections: this.maxConcurrency,
    })
    const files = [tls.ca_file, tls.cert_file, tls.key_file, ...Object.values(config.header_files)]
    this.#files = new WatchedFiles(files, () => this.#transport.renew(undefined), deps.warn)
    this.#envelope = createEnvelope(this.encoding, resource)
    this.#compress = compression === 'none' ? undefined : (deps.compressors ?? nodeCompressors)[compression]
    // No parameters: Loki compares the whole header.
    const contentType = { 'content-type': this.#envelope.contentType }
    this.#headers = compression === 'none' ? contentType : { ...contentType, 'content-encoding': compression }
    this.#wallMs = deps.wallMs ?? Date.now
    const { nowMs = systemClock.nowMs, random = Math.random } = deps
    this.#pace = new Pace({ ...config.retry, nowMs, random })
    const warn = deps.warn ?? (() => {})
    this.#warn = warn
    this.#limits = new SinkLimits(lokiLimits(config.loki), resourceAttributes(resource), (text) => {
      this.counters.limits_learned++
      warn(`${this.#transport.where}: ${text}`)
    })
  }

  async start(): Promise<void> {
    await this.#files.mark()
    await this.#transport.open()
  }

  async probe(signal: AbortSignal): Promise<string> {
    await this.start()
    const found = await this.#transport.probe(signal)
    const verdict = await this.#post({ parts: [], count: 0, sizeBytes: 0 }, { from: 0, to: 0 }, new Map(), signal)
    if (!('error' in verdict)) return `${found}; took a request without records`
    const { is, error } = verdict
    // Loki has no stream to store, and says so after it has checked login and tenant.
    if (/valid stream is required/.test(error.message)) return `${found}; took a request without records`
    throw is === 'hold' ? error : new ExportError('IO', `${error.message}; check the log of the sink`, error)
  }

  /**
   * Reads certificates, keys and headers again for new connections; if that fails, the old ones stay in use. Also resets the learned
   * age and the count of refusals, because the user may have repaired the sink.
   */
  reopen(): Promise<void> {
    this.#doubt.singles = 0
    this.#limits.forget()
    return this.#transport.open()
  }

  async send(batch: Batch, signal: AbortSignal): Promise<Outcome> {
    const refused = this.#limits.refusals(batch, this.#wallMs())
    const task: Task = {
      count: batch.count,
      refused,
      explain: (reason) => this.#limits.explain(reason),
      maxEvents: this.#pace.maxEvents(batch),
      post: (range) => this.#post(batch, range, refused, signal),
    }
    this.#files.look()
    const outcome = await deliver(task, this.#doubt)
    const repaired = outcome.status === 'hold' ? this.#files.changed() : undefined
    return outcome.status === 'hold' && repaired !== undefined ? { ...outcome, repaired } : outcome
  }

  get learnedLimits(): Readonly<Record<string, number>> {
    return this.#limits.learned
  }

  get resent(): Resent {
    return this.#resent
  }

  stop(): Promise<void> {
    this.#files.stop()
    this.#transport.close()
    return Promise.resolve()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async #post(batch: Batch, range: Range, refused: Map<number, LimitReason>, signal: AbortSignal): Promise<Verdict> {
    const used = this.#transport.credentials
    try {
      const atMs = this.#wallMs()
      const chunks = this.#body(batch, range, refused)
      const body = this.#compress === undefined ? chunks : [await this.#compress(chunks)]
      this.counters.requests++
      for (const chunk of body) this.counters.request_bytes += chunk.length
      const onResend = (): void => {
        this.#resent.requests++
        this.#resent.events += sentOf(range, refused)
      }
      const reply = await this.#transport.post(body, this.#headers, this.#timeoutMs, signal, onResend)
      const sent = {
        records: sentOf(range, refused),
        endpoint: this.#transport.where,
        compression: this.#headers['content-encoding'] ?? 'none',
      }
      const verdict = verdictOf(reply, sent, this.#wallMs())
      if (verdict.is === 'taken' && verdict.warning !== '') this.#report(verdict.warning)
      const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
      if (verdict.is === 'taken') this.#pace.taken(bytes)
      if (verdict.is === 'again' && verdict.throttled !== undefined) {
        const { throttled, afterMs } = verdict
        return { ...verdict, afterMs: this.#pace.refused(bytes, bytes * throttled.stored, afterMs) }
      }
      if (verdict.is === 'faulty') return this.#narrowed(verdict, batch, range, refused, atMs)
      const turnedAway = verdict.is === 'hold' && ABOUT_CREDENTIALS.has(reply.status)
      return turnedAway ? await this.#withNewFiles(verdict, used) : verdict
    } catch (cause) {
      const error = cause instanceof ExportError ? cause : new ExportError('IO', textOf(cause), cause)
      const code = errnoOf(error.cause)
      if (error.code === 'UNUSABLE') return { is: 'hold', error }
      if (TLS_FAULT.test(code) || TLS_ALERT.test(code)) return this.#withNewFiles({ is: 'hold', error }, used)
      return { is: 'again', unacknowledged: !wasNeverSent(error), throttled: undefined, afterMs: undefined, error }
    }
  }

  /** Learns the age in a refusal, and removes older events from the rest of the batch. */
  #narrowed(
    verdict: Extract<Verdict, { is: 'faulty' }>,
    batch: Batch,
    range: Range,
    refused: Map<number, LimitReason>,
    atMs: number,
  ): Verdict {
    const { reason, oldestMs, error } = verdict
    const problem =
      oldestMs === undefined
        ? reason === 'too_new' && this.#limits.clockFault(batch, range, atMs)
        : this.#limits.learnAge(oldestMs, atMs)
    if (problem) return { is: 'hold', error: new ExportError('IO', `${error.message}; ${problem.message}`, error) }
    if (oldestMs === undefined) return verdict
    const before = sentOf(range, refused)
    for (const [index, why] of this.#limits.refusals(batch, this.#wallMs())) {
      if (index >= range.from) refused.set(index, why)
    }
    return sentOf(range, refused) < before ? { is: 'narrowed' } : verdict
  }

  /** Retries at once if certificates or header values were replaced since they were read. */
  async #withNewFiles(verdict: Extract<Verdict, { is: 'hold' }>, used: Credentials | undefined): Promise<Verdict> {
    const renewed = await this.#transport
      .renew(used)
      .catch((error: unknown) => new ExportError('UNUSABLE', textOf(error)))
    if (renewed instanceof ExportError) return { is: 'hold', error: renewed }
    return renewed
      ? { is: 'again', unacknowledged: false, throttled: undefined, afterMs: 0, error: verdict.error }
      : verdict
  }

  /** The request for the events of `range` that are not refused, at least one. */
  #body(batch: Batch, { from, to }: Range, refused: ReadonlyMap<number, LimitReason>): readonly Uint8Array[] {
    const { separator } = this.#envelope
    const runs: Uint8Array[] = []
    let first = 0
    for (const part of batch.parts) {
      const low = Math.max(0, from - first)
      const high = Math.min(part.count, to - first)
      for (let start = low; start < high;) {
        let end = start
        if (refused.size === 0) end = high
        else while (end < high && !refused.has(first + end)) end++
        if (end > start) runs.push(part.bytes.subarray(endOf(part, start), endOf(part, end)))
        start = end < high ? end + 1 : end
      }
      first += part.count
    }
    const last = runs.at(-1)
    if (separator > 0 && last !== undefined) runs[runs.length - 1] = last.subarray(0, last.length - separator)
    const length = runs.reduce((sum, run) => sum + run.length, 0)
    return [this.#envelope.head(length), ...runs, this.#envelope.tail]
  }

  #report(text: string): void {
    this.counters.warnings++
    if (this.#warnings.due(this.#wallMs())) this.#warn(`${this.#transport.where}: ${text}`)
  }
}

function lowerCase(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
}
