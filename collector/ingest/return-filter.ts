/** Filters calls by their return value: `matchReturnArgs`. */
import type { ArgumentType } from '../../config/policy/arguments.ts'
import type { NumberFilter } from '../../config/policy/policy.ts'
import type { Argument } from '../../exporters/contract/event.ts'
import { passes, wantedOf } from '../plan/layout/selector.ts'

/** The return value in a selector's hook. */
export interface Returned {
  readonly type: ArgumentType
  /** Whether a call with this return value has an event; absent: always. */
  readonly passes?: (returned: Argument) => boolean
}

/** Whether a return value passes all filters. An unknown one does. */
export function returnPasses(filters: readonly NumberFilter[], returned: Argument): boolean {
  if (returned.kind !== 'number' && returned.kind !== 'wide') return true
  const value = BigInt(returned.value)
  return filters.every((filter) => passes(filter, wantedOf(filter), value))
}
