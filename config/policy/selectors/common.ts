/** Common code of the filters on processes and tasks. */
import { didYouMean, meant, notOneOf } from '../../yaml/suggest.ts'
import { describe } from '../../yaml/tree.ts'
import { show } from '../../yaml/problems.ts'
import type { Fields, Place } from '../fields.ts'
import { MAX_VALUES } from '../values.ts'

export const MEMBERSHIP: ReadonlyMap<string, 'Equal' | 'NotEqual'> = new Map([
  ['In', 'Equal'],
  ['NotIn', 'NotEqual'],
])

/** At least one. `expected` is for the message when the key is missing. */
export function readValues(fields: Fields, expected: string): Place[] {
  return fields.needList('values', expected, MAX_VALUES)
}

/** The table's entry for the text at `key`; names are compared without case where `anyCase`. */
export function readName<T>(
  fields: Fields,
  key: string,
  table: ReadonlyMap<string, T>,
  anyCase: boolean = false,
  hints?: string,
): T | undefined {
  const place = fields.need(key, `one of ${[...table.keys()].join(', ')}`)
  return place === undefined ? undefined : readNamed(place, table, anyCase, hints)
}

/** Reads the name at a place. `hints`: where config/yaml/suggestions.json has the names that others give them. */
export function readNamed<T>(
  place: Place,
  table: ReadonlyMap<string, T>,
  anyCase: boolean = false,
  hints?: string,
): T | undefined {
  const names = [...table.keys()]
  const text = place.scalar
  const known = typeof text === 'string' ? names.find((name) => same(name, text, anyCase)) : undefined
  if (known !== undefined) return table.get(known)
  if (typeof text !== 'string') return place.refuse(notOneOf(names, describe(place.node), ''))
  const hint = didYouMean((hints && meant(hints, text)) ?? text, names)
  return place.refuse(notOneOf(names, show(text), hint))
}

const same = (name: string, text: string, anyCase: boolean): boolean =>
  anyCase ? name.toLowerCase() === text.toLowerCase() : name === text
