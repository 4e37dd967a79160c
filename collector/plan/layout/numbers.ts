/** The numbers of a function by which its calls are rejected (`struct screened_number` of bpf/frame/hook.h). */
import type { ArgumentFilter, NumberFilter } from '../../../config/policy/policy.ts'
import { ARG_TYPES, HOOK, SCREENED_NUMBER, SCREENED_NUMBERS, SMALL_NUMBERS } from '../../wire/wire.ts'
import { bitsOf, isText, passes, sameValue, wantedOf } from './selector.ts'
import type { Row, Value } from './selector.ts'
import type { Tables } from './tables.ts'

/** Screened numbers. */
const SMALL: readonly bigint[] = Array.from({ length: SMALL_NUMBERS }, (_, n) => BigInt(n))

/** The selector's filters on a number. */
function numberFiltersOn(value: Value, { hook, selector }: Row): NumberFilter[] {
  return selector.matchArgs.filter(
    (filter): filter is NumberFilter => filter.class === 'number' && sameValue(value, hook.spec.args[filter.arg]),
  )
}

/** Whether the filter holds for each small number. The last item stands for all others: whether it may hold. */
function smallNumbers(filter: NumberFilter): boolean[] {
  const wanted = wantedOf(filter)
  const others = filter.operator !== 'Equal' || wanted.some((one) => one < 0n || one >= SMALL_NUMBERS)
  return [...SMALL.map((number) => passes(filter, wanted, number)), others]
}

/** Writes the numbers that can rule out selectors. Returns the filters that this decides. */
export function writeNumbers(
  bytes: Buffer,
  values: readonly Value[],
  rows: readonly Row[],
  tables: Tables,
): ArgumentFilter[] {
  const all = bitsOf(rows, () => true)
  const decided: ArgumentFilter[] = []
  let count = 0
  for (const value of values) {
    const asks =
      isText(value) || value.places !== undefined
        ? []
        : rows.map((row) => numberFiltersOn(value, row).map((filter) => ({ filter, holds: smallNumbers(filter) })))
    if (!asks.some((filters) => filters.length > 0)) continue
    const sets = [...SMALL.keys(), SMALL_NUMBERS].map((n) =>
      bitsOf(rows, (_, bit) => asks[bit]?.every(({ holds }) => holds[n]) ?? false),
    )
    if (sets.every((set) => set === all)) continue
    const at = HOOK.numbers + count * SCREENED_NUMBER.bytes
    bytes[at + SCREENED_NUMBER.param] = value.param
    bytes[at + SCREENED_NUMBER.type] = ARG_TYPES[value.read]
    bytes.writeUInt32LE(tables.numberSets.length, at + SCREENED_NUMBER.sets)
    for (const set of sets) tables.numberSets.push(tables.sets.id(set))
    for (const { filter, holds } of asks.flat()) if (holds[SMALL_NUMBERS] === false) decided.push(filter)
    if (++count === SCREENED_NUMBERS) break
  }
  bytes[HOOK.nnumbers] = count
  return decided
}
