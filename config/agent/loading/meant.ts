/** Keys, values and exporter types of other programs, and ktrail's for them: ../../yaml/suggestions.json. */
import { meant } from '../../yaml/suggest.ts'
import { formOf } from './not-built.ts'

/** Returns the hint for the key at the end of `path`, which the schema does not have. */
export function meantKey(path: readonly PropertyKey[]): string | undefined {
  const place = `key ${formOf(path.slice(0, -1))}`.trimEnd()
  const key = String(path.at(-1))
  return meant(place, key) ?? meant(place, key.replaceAll('-', '_'))
}

/** Returns the hint for a value that the schema refuses. `shape`: the value as a text, or `a list` or `a mapping`. */
export function meantValue(path: readonly PropertyKey[], shape: string): string | undefined {
  return meant(`value ${formOf(path)}`, shape)
}

export interface MeantType {
  /** The type for the check of the other keys; undefined if there is none. */
  readonly type: string | undefined
  readonly write: string
}

/** Returns the hint for a `type` of another program, or for the name of an exporter without type. */
export function meantType(type: string): MeantType | undefined {
  const place = 'exporter type'
  const write = meant(place, type) ?? meant(place, type.replace(/(?:exporter)?(?:\/.*)?$/i, ''))
  return write === undefined ? undefined : { type: /^write type: (\w+)/.exec(write)?.[1], write }
}
