/** docs/explanation/who-sees-what.md: the results of `make bypass-matrix` (results.json). */
import { TOOLS } from './tools/all.ts'
import { ADAPTERS } from './tools/brought.ts'
import { scriptText } from './tools/watchers.ts'
import { BURST, OTHERS, SEEN, VERDICTS } from './judge.ts'
import type { Row, Verdict } from './judge.ts'
import { costLines } from './page-cost.ts'
import type { Costs } from './page-cost.ts'
import { killedLines } from './page-killed.ts'
import type { KilledResult } from './page-killed.ts'
import { DESCRIPTOR, LIMITS, URING, reasonOf } from './reasons.ts'
import { row, table, wrapped } from './tables.ts'

export const PAGE: URL = new URL('../../docs/explanation/who-sees-what.md', import.meta.url)
export const RESULTS: URL = new URL('results.json', import.meta.url)

export interface ToolResult {
  /** The version of the Debian package; absent for ktrail. */
  readonly version?: string
  /** By way. A way that this kernel or file system does not have is absent. */
  readonly verdicts: Readonly<Record<string, Verdict>>
  /** Accesses to other files that it reports as accesses to watched ones. */
  readonly wrong: readonly string[]
  /** Number of the BURST files of each burst that it reports by name; empty for tools that compare states. */
  readonly bursts: readonly number[]
}

export interface Results {
  readonly kernel: string
  /** The file system. */
  readonly on: string
  readonly tools: Readonly<Record<string, ToolResult>>
  /** By tool. */
  readonly killed: Readonly<Record<string, KilledResult>>
  readonly costs: Costs['costs']
}

const WORDS: Readonly<Record<Verdict, string>> = {
  yes: 'the watched name of the file, the program and the user',
  other: 'program and user, and that it is a watched file (by policy, key or inode), but with another path',
  partly: 'the file, without the program or the user',
  unnamed: 'in the output, but only with another path: no search for the watched name finds it',
  no: 'missed',
}

const CELL: Readonly<Record<Verdict, string>> = {
  yes: 'yes',
  other: 'other',
  partly: 'partly',
  unnamed: '*unnamed*',
  no: '**no**',
}

const CLASSES: ReadonlyArray<readonly [words: string, ways: RegExp, verdicts: readonly Verdict[]]> = [
  ['ways to reach or change a file', /^/, ['yes', 'other', 'partly']],
  ['calls by io_uring, with program and user', URING, ['yes', 'other']],
  ['accesses by a descriptor that was open before, with program and user', DESCRIPTOR, ['yes', 'other']],
]

const OURS = 'ktrail by identity'

/** Ways that ktrail by identity does not report as access to a watched file, and other files that it does. */
export const missedBy = ({ tools }: Results): readonly string[] => {
  const { verdicts = {}, wrong = ['all'] } = tools[OURS] ?? {}
  return [...Object.keys(verdicts).filter((way) => ['no', 'unnamed'].includes(verdicts[way] ?? 'no')), ...wrong]
}

/** Facts for other pages: what ktrail reports of each class of ways, and the best other tool. */
export function factsOf({ tools }: Results): readonly string[] {
  return CLASSES.map(([words, ways, wanted]) => {
    const count = (tool: string): number =>
      Object.entries(tools[tool]?.verdicts ?? {}).filter(([way, each]) => ways.test(way) && wanted.includes(each))
        .length
    const total = Object.keys(tools[OURS]?.verdicts ?? {}).filter((way) => ways.test(way)).length
    const others = Object.keys(tools).filter((name) => !name.startsWith('ktrail'))
    const best = Math.max(...others.map(count))
    const names = best === 0 ? 'the others' : others.filter((name) => count(name) === best).join(', ')
    return `${count(OURS)} of ${total} ${words}; ${names}: ${best}`
  })
}

const spread = (counts: readonly number[]): string =>
  counts.length === 0
    ? '–'
    : [...new Set([Math.min(...counts), Math.max(...counts)])].map((count) => count.toLocaleString('en')).join(' to ')

/** Tools that the results lack: builds that a user brings, and others. */
export function notRun({ tools }: Results): {
  readonly builds: readonly string[]
  readonly packages: readonly string[]
} {
  const [builds, packages] = [ADAPTERS, TOOLS].map((some) =>
    some.map(({ name }) => name).filter((name) => tools[name] === undefined),
  )
  return { builds: builds ?? [], packages: packages ?? [] }
}

export function pageOf(results: Results): string {
  const { kernel, on, tools, killed, costs } = results
  const { builds, packages } = notRun(results)
  const all = [...TOOLS, ...ADAPTERS].flatMap(({ name, settings }) => {
    const result = tools[name]
    return result === undefined ? [] : [[name, { ...result, settings }] as const]
  })
  const names = all.map(([name]) => name)
  const count = (verdicts: ToolResult['verdicts'], rows: readonly Row[], wanted: readonly Verdict[]): number =>
    rows.filter(({ name }) => wanted.includes(verdicts[name] ?? 'no') && verdicts[name] !== undefined).length
  const ways = SEEN.flatMap(({ rows }) => rows)
  const total = (rows: readonly Row[]): number =>
    rows.filter(({ name }) => all.some(([, { verdicts }]) => verdicts[name] !== undefined)).length

  const sums = all.map(([name, { verdicts, wrong, bursts }]) => [
    name,
    ...VERDICTS.map((verdict) => count(verdicts, ways, [verdict])),
    wrong.length,
    spread(bursts),
  ])
  const groups = SEEN.map(({ title, rows }) => [
    `${title} (${total(rows)})`,
    ...all.map(([, { verdicts }]) => count(verdicts, rows, ['yes', 'other', 'partly'])),
  ])
  const details = SEEN.map(({ title, rows }) => {
    const cells = ({ name }: Row): string[] =>
      all.map(([, { verdicts }]) => (verdicts[name] === undefined ? 'n/a' : CELL[verdicts[name]]))
    const grouped = Map.groupBy(rows, (each) => cells(each).join(' | '))
    const lines = [...grouped].map(([verdicts, some]) => [verdicts, some.map(({ words }) => words).join('; ')])
    return `### ${title}\n\n${table([...names, 'way'], false, lines)}\n`
  })
  const reasons = all.flatMap(([name, { verdicts }]) => {
    const missed = ways.filter((way) => verdicts[way.name] === 'no')
    return [...Map.groupBy(missed, (way) => reasonOf(name, way.name))].map(([reason, some]) => [
      name,
      reason,
      some.map(({ words }) => words).join('; '),
    ])
  })
  return [
    '# Who sees what',
    '',
    'Ways to reach or change a watched file, each a small program of its own, and the tools that report them.',
    '',
    `\`make bypass-matrix\` runs all ways against one tool after the other and writes this page. It ran on Linux ${kernel.split('-')[0]}`,
    `with ${on}, in an emulated guest. The watched folder has a folder for each way; all ${total(ways)} ways are tried with each tool.`,
    '',
    '## Results',
    '',
    '| in the report | |',
    '|---|---|',
    ...VERDICTS.map((verdict) => row([CELL[verdict], WORDS[verdict]])),
    row(['n/a', 'not possible beside this tool, which keeps the folder in memory']),
    '',
    table(['tool', ...VERDICTS.map((verdict) => CELL[verdict]), 'false', 'burst'], true, sums),
    '',
    wrapped(
      `**false**: accesses to other files, of ${OTHERS.length}, that the tool takes for access to a watched file. **burst**: of ${BURST.toLocaleString('en')} ` +
        `files that one program makes at full speed, the files that the tool names${all.some(([, { bursts }]) => bursts.length > 1) ? ', as the least and the most of some bursts' : ''}; ` +
        '–: a comparison of states cannot be too slow.',
    ),
    '',
    'Ways by kind. A way counts if the report names the watched file (yes, other, partly):',
    '',
    table(['', ...names], true, groups),
    '',
    ...(builds.length === 0
      ? []
      : [
          wrapped(
            `Not run: ${builds.join(', ')}. Debian has no packages of them: bring a build. \`make bypass-matrix DIR=folder\` also runs the ` +
              'tools of which the folder has a program. Their [adapters](../../test/bypass/tools/brought.ts) were never tried with one.',
          ),
          '',
        ]),
    ...(packages.length === 0 ? [] : [`Not run with these ways, only below: ${packages.join(', ')}.`, '']),
    ...killedLines(killed),
    ...costLines(names, costs),
    '## Rules',
    '',
    '- A report must be about the process that does the access. Its parent prepares the way, and may open the file.',
    '- Any kind of report counts: a tool that reports the open of a file need not report the read after it.',
    '- A tool that names no process must report the file of the way after the preparation.',
    wrapped(
      '- AIDE, Samhain and Tripwire compare states. They have their first state after all preparations and check after all accesses.',
    ),
    '- Mistakes in this page or in the settings are defects of ktrail: errors that are reported to us are repaired.',
    '',
    '## Settings',
    '',
    'Each tool has the settings that its documentation gives for watching a folder. WATCHED is the path of the folder.',
    '',
    table(
      ['tool', 'version', 'settings'],
      false,
      all.map(([name, { version, settings }]) => [name, version ?? 'this tree', settings]),
    ),
    '',
    'The script of bpftrace:',
    '',
    '```text',
    scriptText().trim(),
    '```',
    '',
    '## Reasons for other paths, and for reports without program or user',
    '',
    table(['tool', 'reason'], false, LIMITS),
    '',
    '## Reasons for misses',
    '',
    table(['tool', 'reason', 'ways'], false, reasons),
    '',
    '## Each way',
    '',
    details.join('\n'),
  ].join('\n')
}
