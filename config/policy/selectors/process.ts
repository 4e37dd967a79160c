/** The filters of a selector that ask for the process of a call: matchBinaries, matchParentBinaries, matchPIDs. */
import type { Problems } from '../../yaml/problems.ts'
import { Fields, asInteger } from '../fields.ts'
import type { Place } from '../fields.ts'
import type { PidFilter, ProcessFilter, ProgramFilter } from '../policy.ts'
import { KEYS } from '../tables.ts'
import { readTexts, warnOfText } from '../values.ts'
import { MEMBERSHIP, readName, readValues } from './common.ts'

/** Tetragon's bound for the path of a program; bpf/match/process.h keeps as much of each. */
const MAX_PROGRAM_BYTES = 255
/** Tetragon only evaluates the first. */
export const MAX_PIDS = 16
export const MAX_PID = 2 ** 32 - 1

export const PROGRAM: ReadonlyMap<string, ProgramFilter['operator']> = new Map<string, ProgramFilter['operator']>([
  ...MEMBERSHIP,
  ['Prefix', 'Prefix'],
  ['NotPrefix', 'NotPrefix'],
  ['Postfix', 'Postfix'],
  ['NotPostfix', 'NotPostfix'],
])

export function readProcessFilters(selector: Fields, problems: Problems): ProcessFilter[] {
  return [
    ...readPrograms(selector, 'matchBinaries', 'program', problems),
    ...readPrograms(selector, 'matchParentBinaries', 'parent', problems),
    ...selector.list('matchPIDs', MAX_PIDS).flatMap((place) => readPids(place, problems) ?? []),
  ]
}

function readPrograms(selector: Fields, key: string, of: ProgramFilter['class'], problems: Problems): ProgramFilter[] {
  return selector.list(key, 1).flatMap((place) => {
    const fields = Fields.of(place, KEYS.binaries, problems)
    if (fields === undefined) return []
    const operator = readName(fields, 'operator', PROGRAM, problems)
    const places = readValues(fields, 'a list of paths, such as ["/usr/bin/cat"]', problems)
    const descendants = fields.flag('followChildren', false)
    if (operator === undefined) return []
    if (descendants && operator !== 'Equal' && operator !== 'NotEqual') {
      const sentence = 'applies to In and NotIn only'
      problems.add(fields.keyAt('followChildren'), `${fields.pathOf('followChildren')}: ${sentence}; drop it`)
    }
    for (const value of places) warnOfText(value, operator, 'path', problems)
    const values = readTexts(places, operator, problems, MAX_PROGRAM_BYTES)
    return [{ class: of, operator, values, descendants, at: place.node.at }]
  })
}

function readPids(place: Place, problems: Problems): PidFilter | undefined {
  const fields = Fields.of(place, KEYS.pids, problems)
  if (fields === undefined) return undefined
  const operator = readName(fields, 'operator', MEMBERSHIP, problems)
  const values = readValues(fields, 'a list of numbers, such as [1]', problems)
    .map((value) => asInteger(value, 0, MAX_PID, problems))
    .filter((value) => value !== undefined)
  const inner = fields.flag('isNamespacePID', false)
  const descendants = fields.flag('followForks', false)
  if (operator === undefined) return undefined
  return { class: inner ? 'innerPid' : 'pid', operator, values, descendants, at: place.node.at }
}
