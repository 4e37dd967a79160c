/** Rows of instruction counts, and what has changed between two measurements of them. */
import { show } from '../support/result.ts'

/** One bench. */
export interface Rows {
  /** A row holds for these only. */
  readonly versions: Readonly<Record<string, string>>
  /** Rows that differ by more than 1 % from run to run: a worse one is reported, and is no failure. */
  readonly warns?: readonly string[]
  readonly rows: Readonly<Record<string, number>>
}

/** Lines that the comparison of a bench reports. */
export interface Comparison {
  readonly failures: readonly string[]
  readonly warnings: readonly string[]
  /** Rows that have become better, or are new: the file should have them. */
  readonly hints: readonly string[]
}

/** Part of its value by which a row may get worse. */
export const ALLOWED = 0.03

/** The versions that differ, `Node v24.1.0 → v24.2.0`. */
export function differing(was: Rows, is: Rows): string[] {
  return Object.entries(is.versions)
    .filter(([name, version]) => was.versions[name] !== version)
    .map(([name, version]) => `${name} ${was.versions[name] ?? 'unknown'} → ${version}`)
}

export function compare(was: Rows, is: Rows): Comparison {
  const failures: string[] = []
  const warnings: string[] = []
  const hints: string[] = []
  for (const [name, before] of Object.entries(was.rows)) {
    const now = is.rows[name]
    if (now === undefined) {
      failures.push(`${name}: expected a row, got none`)
      continue
    }
    const change = (now - before) / before
    const found = `${name}: expected ${show(before)} instructions, got ${show(now)} (${percent(change)})`
    // Also a figure that is no number.
    if (!(change <= ALLOWED)) (is.warns?.includes(name) === true ? warnings : failures).push(found)
    else if (change < -ALLOWED) hints.push(found)
  }
  for (const [name, now] of Object.entries(is.rows)) {
    if (was.rows[name] === undefined) hints.push(`${name}: new, ${show(now)} instructions`)
  }
  return { failures, warnings, hints }
}

const percent = (part: number): string => `${part > 0 ? '+' : ''}${show(100 * part, 1)} %`
