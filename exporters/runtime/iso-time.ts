import type { Timestamp } from '../contract/event.ts'

/** RFC 3339, UTC, with 0, 3, 6 or 9 digits: the same text as in the JSON line. */
export function isoTime({ sec, nsec }: Timestamp): string {
  const seconds = new Date(sec * 1000).toISOString().slice(0, 19)
  if (nsec === 0) return `${seconds}Z`
  const digits = String(nsec).padStart(9, '0')
  return `${seconds}.${nsec % 1_000_000 === 0 ? digits.slice(0, 3) : nsec % 1000 === 0 ? digits.slice(0, 6) : digits}Z`
}
