/** docs/reference/library.md: the policies of the library with the results of their tests (results.json). */
import { readFileSync, readdirSync } from 'node:fs'
import { basename } from 'node:path'
import { parse } from 'yaml'

const FOLDER = new URL('../../config/policies/library/', import.meta.url)
export const PAGE: URL = new URL('../../docs/reference/library.md', import.meta.url)
export const RESULTS: URL = new URL('results.json', import.meta.url)

type Way = 'name' | 'link' | 'container'

/** By policy: `yes`, `no`, or the reason why there is no such attack. */
type Attacks = Readonly<Record<string, Partial<Readonly<Record<Way, string>>>>>

/** The reasons on a kernel without bpf_loop. */
export const BY_NAME = 'matched by name on this kernel'
export const LEFT_OUT = 'left out on this kernel'

export interface Results {
  readonly kernel: string
  readonly attacks: Attacks
  /** On a kernel without bpf_loop. */
  readonly old?: { readonly kernel: string; readonly attacks: Attacks }
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

function oldCell(name: string, { old }: Results): string {
  const results = Object.values(old?.attacks[name] ?? {})
  if (results.length === 0) return 'not run'
  if (results.includes('no')) return 'no'
  return results.includes(LEFT_OUT) ? 'left out' : results.includes(BY_NAME) ? 'by name' : 'yes'
}

/** The policies of the bundle default on a kernel without bpf_loop. */
function oldText(names: readonly string[], { old }: Results): string[] {
  if (old === undefined) return []
  const results = names
    .filter((name) => (annotationsOf(name)['ktrail.dev/bundles'] ?? '').split(', ').includes('default'))
    .map((name) => Object.values(old.attacks[name] ?? {}))
  const count = (result: string): number => results.filter((each) => each.includes(result)).length
  return [
    `Linux ${old.kernel} has no \`bpf_loop\`. There ${count(BY_NAME)} of the ${results.length} policies of the bundle \`default\` match [by`,
    `name](../../docs/reference/policy/files-by-identity.md#before-linux-517), and ${count(LEFT_OUT)} are left out. **by name**: the attack`,
    'under the name of the file is reported; the others need not be. **no**: it is not, because the guest mounts the folder,',
    'and the path of a `dentry` begins at its file system.',
    '',
  ]
}

function row(name: string, results: Results): string {
  const { attacks, hour } = results
  const about = (key: string): string => annotationsOf(name)[`ktrail.dev/${key}`] ?? ''
  const ways = (['name', 'link', 'container'] as const).map((way) => cell(attacks[name]?.[way]))
  const counts = Object.values(hour?.counts[name] ?? {})
  const events = hour === undefined ? 'not run' : String(counts.reduce((sum, count) => sum + count, 0))
  const link = `[${name}](../../config/policies/library/${name}.yaml)`
  const cells = [
    link,
    about('title'),
    about('severity'),
    about('mitre'),
    about('bundles'),
    ...ways,
    oldCell(name, results),
    events,
  ]
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
    ...oldText(names, results),
    `| policy | reports | severity | techniques | bundles | by name | by hard link | from a container | on Linux ${results.old?.kernel ?? 'before 5.17'} | ordinary events |`,
    '|---|---|---|---|---|---|---|---|---|--:|',
    ...names.map((name) => row(name, results)),
    '',
    ...hourOf(results),
  ].join('\n')
}
