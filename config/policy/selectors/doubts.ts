/** Selectors that are valid, but most likely have another effect than they seem to have. */
import type { Fields, Place } from '../fields.ts'
import type { ArgumentFilter, Selector } from '../policy.ts'
import { SIGKILL } from './actions.ts'

/** Warns of an action without a filter. */
export function warnOfAll({ actions }: Pick<Selector, 'actions'>, place: Place): void {
  const kills = actions?.signals.includes(SIGKILL) === true
  if (!kills && actions?.error === undefined) return
  const effect = kills ? 'kills every process that makes the call' : 'makes every call fail'
  place.warn(`without a filter it ${effect}; add one such as matchArgs or matchBinaries`)
}

/** Warns of alternatives that are written as several filters, all of which must match. */
export function warnOfContradiction(filters: readonly ArgumentFilter[], { problems, path }: Fields): void {
  for (const [i, filter] of filters.entries()) {
    const earlier = filters.slice(0, i).find((other) => excludes(other, filter))
    if (earlier === undefined) continue
    const sentence = `no call matches, because the filter in line ${earlier.at.line} on this argument has other values, and all filters must match`
    problems.warn(filter.at, `${path}: ${sentence}; write the values into one list`)
  }
}

/** Whether no value fulfils both. */
function excludes(a: ArgumentFilter, b: ArgumentFilter): boolean {
  if (a.arg !== b.arg || !('operator' in a) || !('operator' in b) || a.operator !== b.operator) return false
  const both = (is: (one: string, other: string) => boolean): boolean =>
    a.values.some((one) => b.values.some((other) => is(String(one), String(other)) || is(String(other), String(one))))
  if (a.operator === 'Equal') return !both((one, other) => one === other)
  if (a.operator === 'Prefix') return !both((one, other) => one.startsWith(other))
  return a.operator === 'Postfix' && !both((one, other) => one.endsWith(other))
}
