/** Judges the reports of a tool about one access, for docs/explanation/who-sees-what.md. */
import { basename } from 'node:path'
import { CONTENT, METADATA, NONE, REFUSED, REFUSED_LATER } from '../e2e/files/accesses.ts'
import { WAYS } from '../e2e/files/ways.ts'

/** A report of a tool. An absent member is one that the tool does not name. */
export interface Report {
  readonly pid?: number
  /** Path or name of the program. */
  readonly program?: string
  readonly uid?: number
  readonly paths: readonly string[]
  /** Whether the report itself says that the file is a watched one: by a policy, a key, or an inode number. */
  readonly isWatched?: boolean
}

/** An access by a way. */
export interface Done {
  readonly name: string
  /** The accessing process. */
  readonly pid: number
  /** The way's own folder below the watched one. */
  readonly folder: string
}

/** In the order of their worth. `other` and `unnamed` differ in whether the report says that the file is a watched one. */
export const VERDICTS = ['yes', 'other', 'partly', 'unnamed', 'no'] as const
export type Verdict = (typeof VERDICTS)[number]

export interface Row {
  readonly name: string
  readonly words: string
}

export interface Group {
  readonly title: string
  readonly rows: readonly Row[]
}

const CHANGES = /^(?:wr_|t_|l_clone_(?:to|range)|u_(?:write|fallocate|truncate))/
const [changed, read] = [true, false].map((changes) => CONTENT.filter(({ name }) => CHANGES.test(name) === changes))

export const SEEN: readonly Group[] = [
  { title: 'Other paths to a file', rows: WAYS.filter(({ by, wanted }) => by === 'UnderDir' && wanted) },
  { title: 'Reads, mappings, executions', rows: read ?? [] },
  { title: 'Writes, other sizes', rows: changed ?? [] },
  { title: 'Names, owner, mode, attributes, mounts', rows: METADATA },
  { title: 'Refused attempts', rows: [...REFUSED, ...REFUSED_LATER] },
]

/** Accesses to other files. A `stat` or a path-only descriptor of a watched file is no access to it, but a report of it is not false. */
export const OTHERS: readonly Row[] = [
  ...WAYS.filter(({ by, wanted }) => by === 'UnderDir' && !wanted),
  ...NONE.filter(({ name }) => name.endsWith('_outside')),
]

export const ALL: readonly Row[] = [...SEEN.flatMap(({ rows }) => rows), ...OTHERS]

/** Files of the burst. */
export const BURST = 20_000

export const isBelow = (path: string, folder: string): boolean => path === folder || path.startsWith(`${folder}/`)

const PROGRAMS = ['reach', 'access']
/** A new program runs in the process. */
const EXECUTES = /^(?:x_|w_execute$)/
const NOBODY = 65_534
const isNobodys = (name: string): boolean =>
  name.endsWith('_nobody') || [...REFUSED, ...REFUSED_LATER].some((access) => access.name === name)

function isWhole({ program, uid }: Report, name: string): boolean {
  const isProgram = program !== undefined && (EXECUTES.test(name) || PROGRAMS.includes(basename(program)))
  return isProgram && uid === (isNobodys(name) ? NOBODY : 0)
}

/** Files of the system, and the target of a copy. */
const UNRELATED = /^\/(?:usr|lib|lib64|bin|etc|dev|sys)\/|\/copy$/

/** Reports of the access: those of its process, or, from a tool that names none, those about its folder. */
const reportsOf = (done: Done, reports: readonly Report[]): readonly Report[] =>
  reports.filter(({ pid, paths }) =>
    pid === undefined ? paths.some((path) => isBelow(path, done.folder)) : pid === done.pid,
  )

export function verdictOf(done: Done, reports: readonly Report[]): Verdict {
  const about = reportsOf(done, reports).map((report) => ({
    isNamed: report.paths.some((path) => isBelow(path, done.folder)),
    isWatched: report.isWatched === true,
    isWhole: isWhole(report, done.name),
    isRelated: report.paths.some((path) => !UNRELATED.test(path)),
  }))
  if (about.some((each) => each.isNamed && each.isWhole)) return 'yes'
  if (about.some((each) => each.isWatched && each.isWhole)) return 'other'
  if (about.some((each) => each.isNamed || each.isWatched)) return 'partly'
  return about.some(({ isRelated }) => isRelated) ? 'unnamed' : 'no'
}

/** Whether a report takes an access to another file for one to a watched file. */
export const isFalse = (done: Done, reports: readonly Report[]): boolean =>
  reportsOf(done, reports).some(
    ({ paths, isWatched }) => isWatched === true || paths.some((path) => isBelow(path, done.folder)),
  )
