/**
 * The limits for events before sending: configured ones, and stricter ones learned from the sink's responses. Learned limits are
 * forgotten after an hour and at a reopen, because they may have been raised.
 */
import { ExportError } from '../../../contract/errors.ts'
import type { Batch } from '../../../contract/exporter.ts'
import { LimitCheck, NO_LIMITS, copiedAtMost, explainLimit } from './limits.ts'
import type { Copied, LimitReason } from './limits.ts'
import type { LokiLimits } from '../../../../config/agent/exporters/otlp.ts'
import { Measure } from './measure.ts'
import type { NamedLimits } from './named-limits.ts'

/** Events of a batch, by index. */
export interface Sent {
  readonly batch: Batch
  readonly from: number
  readonly to: number
  /** Not sent. */
  readonly refused: ReadonlyMap<number, unknown>
  /** Time of sending by our clock: milliseconds since 1970. */
  readonly atMs: number
}

const FORGET_MS = 3_600_000
/** With a smaller limit, or a larger clock difference, the sink would refuse all events; such limits are not learned. */
const LEAST_AGE_MS = 60_000
/** Times in responses are whole seconds, rounded down. */
const SECOND_MS = 1000
const DISPLAY_MS = 10_000
/** Maximum number of warnings: a sink may report a new value with each response. */
const MAX_REPORTS = 64

export class SinkLimits {
  readonly #configured: LokiLimits | undefined
  readonly #copied: Copied
  readonly #report: (text: string) => void
  readonly #reported = new Set<string>()
  #check: LimitCheck | undefined
  #learnedMs: number | undefined
  #values: Readonly<Record<string, number>> = {}

  /** `configured` is undefined for sinks not known to be Loki. `report` is called once for each limit and value. */
  constructor(
    configured: LokiLimits | undefined,
    resource: Readonly<Record<string, string>>,
    report: (text: string) => void,
  ) {
    this.#configured = configured
    this.#copied = copiedAtMost(resource)
    this.#report = report
    this.forget()
  }

  /** Current learned limits, by Loki's names. */
  get learned(): Readonly<Record<string, number>> {
    return this.#values
  }

  /** Events that would be refused, with reasons. */
  refusals({ parts }: Pick<Batch, 'parts'>, nowMs: number): Map<number, LimitReason> {
    const all = new Map<number, LimitReason>()
    if (this.#learnedMs !== undefined && Math.abs(nowMs - this.#learnedMs) > FORGET_MS) this.forget()
    if (this.#check === undefined) return all
    let first = 0
    for (const part of parts) {
      for (const [index, reason] of this.#check.refusals(part, nowMs) ?? []) all.set(first + index, reason)
      first += part.count
    }
    return all
  }

  /** Whether a reason is a learned limit. */
  isLearned(reason: LimitReason): boolean {
    return isStricter(reason, this.#check?.limits ?? NO_LIMITS, this.#configured ?? NO_LIMITS)
  }

  /** The message for a reason. */
  explain(reason: LimitReason): string {
    const sentence = explainLimit(reason, this.#check?.limits ?? NO_LIMITS)
    return this.isLearned(reason) ? `${sentence}, as the sink reported in an earlier response` : `not sent: ${sentence}`
  }

  /** Learns the limits in a refusal. Returns an error, and learns nothing, if they would exclude all events. */
  learn(named: NamedLimits, sent: Sent): ExportError | undefined {
    const old = this.#check ?? new LimitCheck(NO_LIMITS, this.#copied)
    const { oldestMs = -Infinity, newestMs = Infinity, lineBytes = Infinity } = named
    const max_age = Math.min(old.limits.max_age, sent.atMs - oldestMs - SECOND_MS)
    const max_ahead = Math.min(old.limits.max_ahead, newestMs - sent.atMs - 1)
    if (max_age < LEAST_AGE_MS)
      return unfit(`takes only events of the last ${Math.round(max_age / 1000)} s by our clock`)
    if (max_ahead < LEAST_AGE_MS)
      return unfit(`refuses events as too new that are ${Math.round(max_ahead / 1000)} s ahead of our clock`)
    const max_line_size = Math.min(old.limits.max_line_size, lineBytes)
    let check = new LimitCheck({ ...old.limits, max_age, max_ahead, max_line_size }, old.copied)
    check = withMetadataBytes(check, named, sent)
    check = withMetadataEntries(check, named, sent)
    this.#check = check
    this.#learnedMs ??= sent.atMs
    this.#show()
    return undefined
  }

  /** Forgets all learned limits. */
  forget(): void {
    this.#check = this.#configured === undefined ? undefined : new LimitCheck(this.#configured, this.#copied)
    this.#learnedMs = undefined
    this.#values = {}
  }

  #show(): void {
    const now = shown(this.#check?.limits ?? NO_LIMITS)
    const configured = shown(this.#configured ?? NO_LIMITS)
    const stricter = Object.entries(now).filter(([name, value]) => value < (configured[name] ?? Infinity))
    this.#values = Object.fromEntries(stricter)
    for (const [name, value] of stricter) {
      const text = `${name} ${value}`
      if (this.#reported.has(text) || this.#reported.size >= MAX_REPORTS) continue
      this.#reported.add(text)
      this.#report(
        `the sink has ${text}, which is stricter than configured: events beyond it are refused here for the next hour; ` +
          'raise it there, or configure it here under loki',
      )
    }
  }
}

/** The sink's limit, and what it adds to our measurement, according to the largest refused entry. */
function withMetadataBytes(check: LimitCheck, { metadataBytes }: NamedLimits, sent: Sent): LimitCheck {
  if (metadataBytes === undefined) return check
  const unbounded = new LimitCheck(
    { ...check.limits, max_metadata_size: Infinity, max_metadata_entries: Infinity },
    check.copied,
  )
  const bytes = Math.max(0, metadataBytes.largest - largest(unbounded, sent, 'metadataBytes'))
  const max_metadata_size = Math.min(check.limits.max_metadata_size, metadataBytes.limit)
  return new LimitCheck({ ...check.limits, max_metadata_size }, { ...check.copied, bytes })
}

function withMetadataEntries(check: LimitCheck, { metadataEntries }: NamedLimits, sent: Sent): LimitCheck {
  if (metadataEntries === undefined) return check
  const unbounded = new LimitCheck({ ...check.limits, max_metadata_entries: Infinity }, check.copied)
  const entries = Math.max(0, metadataEntries.largest - largest(unbounded, sent, 'metadataEntries'))
  const max_metadata_entries = Math.min(check.limits.max_metadata_entries, metadataEntries.limit)
  return new LimitCheck({ ...check.limits, max_metadata_entries }, { ...check.copied, entries })
}

/** The maximum of a value among sent events that pass the check. */
function largest(
  check: LimitCheck,
  { batch, from, to, refused, atMs }: Sent,
  what: 'metadataBytes' | 'metadataEntries',
): number {
  const measure = new Measure()
  let most = 0
  let first = 0
  for (const part of batch.parts) {
    const others = check.refusals(part, atMs)
    for (let i = Math.max(0, from - first); i < Math.min(part.count, to - first); i++) {
      if (!refused.has(first + i) && others?.has(i) !== true) most = Math.max(most, measure.at(part, i)[what])
    }
    first += part.count
  }
  return most
}

function isStricter(reason: LimitReason, now: LokiLimits, configured: LokiLimits): boolean {
  switch (reason) {
    case 'too_large':
      return now.max_line_size < configured.max_line_size
    case 'metadata_too_large':
      return (
        now.max_metadata_size < configured.max_metadata_size ||
        now.max_metadata_entries < configured.max_metadata_entries
      )
    case 'too_old':
      return now.max_age < configured.max_age
    case 'too_new':
      return now.max_ahead < configured.max_ahead
  }
}

/** By Loki's names. Ages are only known to a second or two, so they are rounded to stay the same. */
function shown(limits: LokiLimits): Readonly<Record<string, number>> {
  return {
    max_line_size: limits.max_line_size,
    max_structured_metadata_size: limits.max_metadata_size,
    max_structured_metadata_entries_count: limits.max_metadata_entries,
    reject_old_samples_max_age_seconds: seconds(limits.max_age),
    creation_grace_period_seconds: seconds(limits.max_ahead),
  }
}

function seconds(ms: number): number {
  return (Math.round(ms / DISPLAY_MS) * DISPLAY_MS) / 1000
}

function unfit(what: string): ExportError {
  return new ExportError('IO', `the sink ${what}: compare the clocks of both`)
}
