import { formatDuration, parseDuration } from '../../../config/base/units.ts'
import { UsageError } from '../command.ts'
import type { Arguments } from '../command.ts'

/** Without the words and short forms that Date.parse also takes. */
const TIME = /^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?)?$/

/** The time that an option names, in ms since 1970: a time, or an age. Throws UsageError. */
export function timeOf(given: Arguments, option: string, nowMs: number): number | undefined {
  const text = given.text(option)
  if (text === undefined) return undefined
  const ago = parseDuration(text)
  if (ago !== undefined) return nowMs - ago
  const time = TIME.test(text) ? Date.parse(text.replace(' ', 'T')) : Number.NaN
  if (!Number.isNaN(time)) return time
  throw new UsageError(`--${option}: expected a time such as 2026-03-09T05:30:00Z or an age such as 90m, got "${text}"`)
}

const [MIN_MS, MAX_MS] = [1000, 3_600_000]

/** The duration that an option names, in ms. Throws UsageError. */
export function durationOf(given: Arguments, option: string, otherwise: string): number {
  const text = given.text(option) ?? otherwise
  const ms = parseDuration(text) ?? 0
  if (ms >= MIN_MS && ms <= MAX_MS) return ms
  throw new UsageError(
    `--${option}: expected a duration from ${formatDuration(MIN_MS)} to ${formatDuration(MAX_MS)}, got "${text}"`,
  )
}
