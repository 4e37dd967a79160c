/** The filters of a selector on the process of a call: matchBinaries, matchParentBinaries, matchPIDs. */
import { Fields, asInteger } from '../fields.ts'
import type { Place } from '../fields.ts'
import { same } from '../operators.ts'
import type { PidFilter, ProcessFilter, ProgramFilter } from '../policy.ts'
import { KEYS } from '../tables.ts'
import { readTexts, warnOfText } from '../values.ts'
import { MEMBERSHIP, readName, readValues } from './common.ts'

/** Tetragon's bound for the path of a program; bpf/process/conditions.h keeps as much of each. */
const MAX_PROGRAM_BYTES = 255
/** Maximum entries of matchPIDs. Tetragon accepts more than one, but evaluates only the first. */
export const MAX_PIDS = 16
export const MAX_PID = 2 ** 32 - 1

export const PROGRAM: ReadonlyMap<string, ProgramFilter['operator']> = new Map([
  ...MEMBERSHIP,
  ...same('Prefix', 'NotPrefix', 'Postfix', 'NotPostfix'),
])

export function readProcessFilters(selector: Fields): ProcessFilter[] {
  return [
    ...readPrograms(selector, 'matchBinaries', 'program'),
    ...readPrograms(selector, 'matchParentBinaries', 'parent'),
    ...selector.list('matchPIDs', MAX_PIDS).flatMap((place) => readPids(place) ?? []),
  ]
}

function readPrograms(selector: Fields, key: string, of: ProgramFilter['class']): ProgramFilter[] {
  return selector.list(key, 1).flatMap((place) => {
    const fields = Fields.of(place, KEYS.binaries)
    if (fields === undefined) return []
    const operator = readName(fields, 'operator', PROGRAM, false, 'membership')
    const places = readValues(fields, 'a list of paths, such as ["/usr/bin/cat"]')
    const descendants = fields.flag('followChildren', false)
    if (operator === undefined) return []
    if (descendants && operator !== 'Equal' && operator !== 'NotEqual') {
      fields.refuse('followChildren', `applies only to In and NotIn; remove it`)
    }
    for (const value of places) warnOfText(value, operator, 'path')
    const values = readTexts(places, operator, MAX_PROGRAM_BYTES)
    return [{ class: of, operator, values, descendants, at: place.node.at }]
  })
}

function readPids(place: Place): PidFilter | undefined {
  const fields = Fields.of(place, KEYS.pids)
  if (fields === undefined) return undefined
  const operator = readName(fields, 'operator', MEMBERSHIP, false, 'membership')
  const values = readValues(fields, 'a list of numbers, such as [1]')
    .map((value) => asInteger(value, 0, MAX_PID))
    .filter((value) => value !== undefined)
  const inner = fields.flag('isNamespacePID', false)
  const descendants = fields.flag('followForks', false)
  if (operator === undefined) return undefined
  return { class: inner ? 'innerPid' : 'pid', operator, values, descendants, at: place.node.at }
}
