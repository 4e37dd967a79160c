/** Filters on processes for tests. */
import type { PidFilter, ProcessFilter, ProgramFilter, Selector } from '../../../../config/policy/policy.ts'

const at = { line: 4, col: 7 }

export function programs(
  operator: ProgramFilter['operator'],
  values: readonly string[],
  descendants = false,
): ProgramFilter {
  return { class: 'program', operator, values, descendants, at }
}

export function pids(operator: PidFilter['operator'], values: readonly number[], descendants = false): PidFilter {
  return { class: 'pid', operator, values, descendants, at }
}

export function asking(...process: readonly ProcessFilter[]): Selector {
  return { matchArgs: [], process }
}
