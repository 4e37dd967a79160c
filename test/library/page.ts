/** docs/reference/library.md: the policies of the library with the results of their tests (results.json). */
import { readFileSync, readdirSync } from 'node:fs'
import { basename } from 'node:path'
import { parse } from 'yaml'

const FOLDER = new URL('../../config/policies/library/', import.meta.url)
export const PAGE: URL = new URL('../../docs/reference/library.md', import.meta.url)
export const RESULTS: URL = new URL('results.json', import.meta.url)

type Way = 'name' | 'link' | 'container'

export interface Results {
  readonly kernel: string
  /** By policy: `yes`, `no`, or the reason why there is no such attack. */
  readonly attacks: Readonly<Record<string, Partial<Readonly<Record<Way, string>>>>>
  /** Absent until the hour has run with the present policies. */
  readonly hour?: {
    readonly actions: readonly string[]
    /** By policy and action. */
    readonly counts: Readonly<Record<string, Readonly<Record<string, number>>>>
    /** Number of events of the default bundle. */
    readonly events: number
  }
}

export const policyNames = (): string[] => readdirSync(FOLDER).map((file) => basename(file, '.yaml'))

const annotationsOf = (name: string): Record<string, string> =>
  parse(readFileSync(new URL(`${name}.yaml`, FOLDER), 'utf8')).metadata.annotations

/** The cell for one way of an attack. */
const cell = (result: string | undefined): string =>
  result === undefined ? 'not run' : /^(yes|no)$/.test(result) ? result : '–'

function row(name: string, { attacks, hour }: Results): string {
  const about = (key: string): string => annotationsOf(name)[`ktrail.dev/${key}`] ?? ''
  const ways = (['name', 'link', 'container'] as const).map((way) => cell(attacks[name]?.[way]))
  const counts = Object.values(hour?.counts[name] ?? {})
  const events = hour === undefined ? 'not run' : String(counts.reduce((sum, count) => sum + count, 0))
  const link = `[${name}](../../config/policies/library/${name}.yaml)`
  const cells = [link, about('title'), about('severity'), about('mitre'), about('bundles'), ...ways, events]
  return `| ${cells.join(' | ')} |`
}

function hourOf({ hour }: Results): string[] {
  if (hour === undefined) return []
  const rows = hour.actions.map((action) => {
    const found = Object.entries(hour.counts).flatMap(([name, counts]) =>
      counts[action] === undefined ? [] : [`${name} ${counts[action]}`],
    )
    return `| ${action} | ${found.join(', ') || '–'} |`
  })
  return [
    '## Ordinary events',
    '',
    'A Debian 12 in a guest with all policies loaded: each action once, with its events by policy. The bundle `default`',
    `makes ${hour.events} events in all; the test allows 20.`,
    '',
    '| action | events |',
    '|---|---|',
    ...rows,
    '',
  ]
}

export function pageOf(results: Results): string {
  const names = policyNames().toSorted()
  return [
    '# Policy library',
    '',
    'The policies of `config/policies/library/`, each with its attack on a real kernel and its events in ordinary use.',
    '',
    `\`make library\` runs them on Linux ${results.kernel} and writes this page. The head of each file has what it does not`,
    'report and how to except a program.',
    '',
    'Attacks are made under the name of the file, under a hard link and from a container that has the root of the host.',
    '**yes**: reported. –: there is no such attack; `test/library/attacks.ts` has the reason.',
    '',
    '| policy | reports | severity | techniques | bundles | by name | by hard link | from a container | ordinary events |',
    '|---|---|---|---|---|---|---|---|--:|',
    ...names.map((name) => row(name, results)),
    '',
    ...hourOf(results),
  ].join('\n')
}
