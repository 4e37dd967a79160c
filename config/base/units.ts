/** Durations and sizes with units. A bare number is refused, because its unit would be unclear. */
import * as z from 'zod'

export const KIB = 1024
export const MIB: number = 1024 * KIB
export const DAY_MS = 86_400_000

export const DURATION: RegExp = /^(\d{1,12}(?:\.\d{1,6})?)(ms|s|m|h|d)$/
const MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: DAY_MS }

export const SIZE: RegExp = /^(\d{1,16}(?:\.\d{1,6})?)(B|kB|KB|MB|GB|TB|KiB|MiB|GiB|TiB)$/
const BYTES: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
}

/** Longest delay of a Node timer, in whole days: above 2^31 - 1 ms it would fire at once. */
export const MAX_TIMER_MS: number = 24 * DAY_MS

const DURATION_WORDS = 'a duration such as 200ms, 10s, 5m or 6d'
const SIZE_WORDS = 'a size such as 64MiB or 1GB'

/** `10s` → 10000 (ms); undefined for anything but a duration in whole milliseconds. */
export function parseDuration(text: string): number | undefined {
  return scaled(DURATION.exec(text), MS)
}

/** `64MiB` → 67108864 (bytes); undefined for anything but a size in whole bytes. */
export function parseSize(text: string): number | undefined {
  return scaled(SIZE.exec(text), BYTES)
}

const DURATION_UNITS: ReadonlyArray<readonly [RegExp, string]> = [
  [/^(?:ms|msec|milliseconds?)$/, 'ms'],
  [/^(?:s|secs?|seconds?)$/, 's'],
  [/^(?:m|mins?|minutes?)$/, 'm'],
  [/^(?:h|hrs?|hours?)$/, 'h'],
  [/^(?:d|days?)$/, 'd'],
]

/** For a text that is no duration or size: the same number with a unit in this notation; '' if that is not clear. */
export function unitHint(text: string, kind: string): string {
  const found = /^(\d{1,12}(?:\.\d{1,6})?)\s*([a-z]*)$/i.exec(text.trim())
  if (found === null) return ''
  const [, number = '', name = ''] = found
  if (name === '') return '; add its unit'
  const word = name.toLowerCase()
  const near =
    kind === 'duration'
      ? DURATION_UNITS.find(([names]) => names.test(word))?.[1]
      : Object.keys(BYTES).find((unitName) =>
          [unitName, unitName.slice(0, -1)].some((each) => each.toLowerCase() === word),
        )
  const meant = `${number}${near ?? ''}`
  // An equal text is out of bounds, not misspelt.
  return near === undefined || meant === text ? '' : ` (did you mean "${meant}"?)`
}

/** By integers: as a fraction, 1.001 × 1000 is a little less than 1001. */
function scaled(found: RegExpExecArray | null, units: Readonly<Record<string, number>>): number | undefined {
  const [, number = '', unitName = ''] = found ?? []
  const [whole = '', fraction = ''] = number.split('.')
  const parts = 10n ** BigInt(fraction.length)
  const value = BigInt(whole + fraction) * BigInt(units[unitName] ?? 0)
  return found !== null && value % parts === 0n && value / parts <= Number.MAX_SAFE_INTEGER
    ? Number(value / parts)
    : undefined
}

/** The shortest text that `parseDuration` reads back as `ms`. */
export function formatDuration(ms: number): string {
  return written(ms, ['d', 'h', 'm', 's'], MS, 'ms')
}

/** The shortest text that `parseSize` reads back as `bytes`. */
export function formatSize(bytes: number): string {
  return written(bytes, ['TiB', 'GiB', 'MiB', 'KiB', 'GB', 'MB', 'KB'], BYTES, 'B')
}

function written(
  value: number,
  names: readonly string[],
  units: Readonly<Record<string, number>>,
  base: string,
): string {
  const name = value === 0 ? undefined : names.find((each) => value % (units[each] ?? Infinity) === 0)
  return name === undefined ? `${value}${base}` : `${value / (units[name] ?? 1)}${name}`
}

type UnitCodec = z.ZodCodec<z.ZodString, z.ZodNumber>

function unit(
  words: string,
  pattern: RegExp,
  parse: (text: string) => number | undefined,
  format: (value: number) => string,
  min: number,
  max: number,
): UnitCodec {
  const expected = `expected ${words}`
  return z.codec(z.string({ error: expected }).regex(pattern, { error: expected, abort: true }), z.number(), {
    decode: (text, context) => {
      const value = parse(text)
      if (value !== undefined && value >= min && value <= max) return value
      const range = `expected ${words.split(' ').slice(0, 2).join(' ')} from ${format(min)} to ${format(max)}`
      context.issues.push({ code: 'custom', input: text, message: value === undefined ? expected : range })
      return z.NEVER
    },
    encode: format,
  })
}

/** A duration in a config file, in ms once parsed. Bounds are in ms and inclusive. */
export function duration(min = 0, max: number = MAX_TIMER_MS): UnitCodec {
  return unit(DURATION_WORDS, DURATION, parseDuration, formatDuration, min, max)
}

/** A size in a config file, in bytes once parsed. Bounds are in bytes and inclusive. */
export function size(min: number, max: number = Number.MAX_SAFE_INTEGER): UnitCodec {
  return unit(SIZE_WORDS, SIZE, parseSize, formatSize, min, max)
}
