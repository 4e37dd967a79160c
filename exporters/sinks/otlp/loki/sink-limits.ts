/**
 * The limits for events before sending: the configured ones, and a maximum age learned from the sink's responses, because a whole spool
 * may be too old. A learned age is forgotten after an hour and at a reopen, because the sink's limit may have been raised.
 */
import { ExportError } from '../../../contract/errors.ts'
import type { Batch } from '../../../contract/exporter.ts'
import { LimitCheck, NO_LIMITS, copiedAtMost, explainLimit } from './limits.ts'
import type { Copied, LimitReason } from './limits.ts'
import type { LokiLimits } from '../../../../config/agent/exporters/otlp.ts'

const FORGET_MS = 3_600_000
/** A lower limit means that clocks differ: the sink refuses all events as too old, or new ones as too new. */
const LEAST_MS = 60_000
/** Times in responses are whole seconds, rounded down. */
const SECOND_MS = 1000
const DISPLAY_MS = 10_000

export class SinkLimits {
  readonly #configured: LokiLimits | undefined
  readonly #copied: Copied
  readonly #ahead: LimitCheck
  readonly #report: (text: string) => void
  #reported: number | undefined
  #check: LimitCheck | undefined
  #learnedMs: number | undefined

  /** `configured` is undefined for sinks not known to be Loki. `report` is called at most once an hour, and once for each age. */
  constructor(
    configured: LokiLimits | undefined,
    resource: Readonly<Record<string, string>>,
    report: (text: string) => void,
  ) {
    this.#configured = configured
    this.#copied = copiedAtMost(resource)
    this.#ahead = new LimitCheck({ ...NO_LIMITS, max_ahead: LEAST_MS }, this.#copied)
    this.#report = report
    this.forget()
  }

  /** The learned limit, by Loki's name. Known to a second or two, so it is rounded to stay the same. */
  get learned(): Readonly<Record<string, number>> {
    if (this.#check === undefined || this.#learnedMs === undefined) return {}
    const seconds = (Math.round(this.#check.limits.max_age / DISPLAY_MS) * DISPLAY_MS) / 1000
    return { reject_old_samples_max_age_seconds: seconds }
  }

  /** Events that would be refused, with reasons. */
  refusals(batch: Pick<Batch, 'parts'>, nowMs: number): Map<number, LimitReason> {
    if (this.#learnedMs !== undefined && Math.abs(nowMs - this.#learnedMs) > FORGET_MS) this.forget()
    return this.#check === undefined ? new Map() : refusedBy(this.#check, batch, nowMs)
  }

  /** The message for a reason. */
  explain(reason: LimitReason): string {
    const sentence = explainLimit(reason, this.#check?.limits ?? NO_LIMITS)
    const isLearned = reason === 'too_old' && this.#learnedMs !== undefined
    return isLearned ? `${sentence}, as the sink reported in an earlier response` : `not sent: ${sentence}`
  }

  /** Learns the age from a refusal at `atMs`. Returns an error, and learns nothing, if it would exclude all events. */
  learnAge(oldestMs: number, atMs: number): ExportError | undefined {
    const limits = this.#check?.limits ?? NO_LIMITS
    const max_age = atMs - oldestMs - SECOND_MS
    if (max_age < LEAST_MS) {
      return clocksDiffer(`accepts only events of the last ${Math.round(max_age / 1000)} s by our clock`)
    }
    if (max_age >= limits.max_age) return undefined
    this.#check = new LimitCheck({ ...limits, max_age }, this.#copied)
    const isFirst = this.#learnedMs === undefined
    this.#learnedMs ??= atMs
    if (isFirst) this.#show()
    return undefined
  }

  /** An error if the sink has refused a range as too new although none of its events is ahead of our clock. */
  clockFault(batch: Batch, { from, to }: { from: number; to: number }, atMs: number): ExportError | undefined {
    const ahead = refusedBy(this.#ahead, batch, atMs).keys()
    return ahead.some((index) => index >= from && index < to)
      ? undefined
      : clocksDiffer(`refuses events less than ${LEAST_MS / 1000} s ahead of our clock as too new`)
  }

  /** Forgets the learned age. */
  forget(): void {
    this.#check = this.#configured === undefined ? undefined : new LimitCheck(this.#configured, this.#copied)
    this.#learnedMs = undefined
  }

  #show(): void {
    for (const [name, value] of Object.entries(this.learned)) {
      if (value === this.#reported) return
      this.#reported = value
      this.#report(
        `the sink has ${name} ${value}, which is stricter than configured: older events are refused here for the next hour; ` +
          'raise it there, or configure it here under loki',
      )
    }
  }
}

function refusedBy(check: LimitCheck, { parts }: Pick<Batch, 'parts'>, nowMs: number): Map<number, LimitReason> {
  const all = new Map<number, LimitReason>()
  let first = 0
  for (const part of parts) {
    for (const [index, reason] of check.refusals(part, nowMs) ?? []) all.set(first + index, reason)
    first += part.count
  }
  return all
}

function clocksDiffer(what: string): ExportError {
  return new ExportError('IO', `the sink ${what}: compare the clocks of both`)
}
