/** docs/reference/library.md: the policies of the library with the results of their tests (results.json). */
import { readFileSync, readdirSync } from 'node:fs'
import { basename } from 'node:path'
import { parse } from 'yaml'
import { WAYS, WORDS } from './ways.ts'

const FOLDER = new URL('../../config/policies/library/', import.meta.url)
export const PAGE: URL = new URL('../../docs/reference/library.md', import.meta.url)
export const RESULTS: URL = new URL('results.json', import.meta.url)

type Way = 'name' | 'link' | 'container'

/** By policy: `yes`, `no`, or the reason why there is no such attack. */
type Attacks = Readonly<Record<string, Partial<Readonly<Record<Way, string>>>>>

/** The reasons on a kernel without bpf_loop. */
export const BY_NAME = 'matched by name on this kernel'
export const LEFT_OUT = 'left out on this kernel'

/** By policy, way and user: `yes`, `no`, or `none`. The way `excepted` has excepted programs: `hidden` or `reported`. */
type Tried = Readonly<Record<string, Readonly<Record<string, Readonly<Record<string, string>>>>>>

export interface Results {
  readonly kernel: string
  readonly attacks: Attacks
  /** Absent until they have run. */
  readonly ways?: Tried
  /** On a kernel without bpf_loop. */
  readonly old?: { readonly kernel: string; readonly attacks: Attacks; readonly ways?: Tried }
  /** Absent until the hour has run with the present policies. */
  readonly hour?: {
    readonly actions: readonly string[]
    /** By policy and action. */
    readonly counts: Readonly<Record<string, Readonly<Record<string, number>>>>
    /** Number of events of the default bundle: in the hour of services, and in the list of administration. */
    readonly events: number
    readonly administration: number
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
    `makes ${hour.events} events in the actions of services; the test allows 20. In those of an administrator, from useradd on, it`,
    `makes ${hour.administration}, of which none is critical. The goal is 20: the Perl of debconf and pg_ctlcluster reads the`,
    'passwords to look up a user, and an exception would hide the scripts of an intruder, too.',
    '',
    '| action | events |',
    '|---|---|',
    ...rows,
    '',
  ]
}

type Try = Readonly<{ way: string; user: string; result: string }>

const triesOf = (ways: Tried, policy: string): Try[] =>
  Object.entries(ways[policy] ?? {})
    .filter(([way]) => way !== 'excepted')
    .flatMap(([way, users]) => Object.entries(users).map(([user, result]) => ({ way, user, result })))

const missedOf = (tries: readonly Try[]): string => {
  const missed = Map.groupBy(
    tries.filter(({ result }) => result === 'no'),
    ({ way }) => way,
  )
  return [...missed].map(([way, by]) => `${WORDS[way]} (${by.map(({ user }) => user).join(', ')})`).join('; ') || '–'
}

/** On a kernel without bpf_loop, only the policies that need none are tried. */
function oldWaysOf({ old }: Results): string[] {
  const { ways, kernel } = old ?? {}
  if (ways === undefined) return []
  const tries = Object.keys(ways).map((policy) => ({ policy, all: triesOf(ways, policy) }))
  const missed = tries.flatMap(({ policy, all }) => (missedOf(all) === '–' ? [] : [`- ${policy}: ${missedOf(all)}`]))
  const count = (result: string): number =>
    tries.flatMap(({ all }) => all).filter((each) => each.result === result).length
  return [
    `On Linux ${kernel}, policies that match by name there see fewer ways. The other ${tries.length} policies of this table report`,
    `${count('yes')} ways and miss ${count('no')}:`,
    '',
    ...missed,
    '',
  ]
}

/** Ways to change what a policy watches: how many are reported, and which are not. */
function waysOf(results: Results): string[] {
  const { ways } = results
  if (ways === undefined) return []
  const rows = [...new Set(WAYS.map(({ policy }) => policy))].toSorted().map((policy) => {
    const all = triesOf(ways, policy)
    const count = (result: string): number => all.filter((each) => each.result === result).length
    const programs = Object.entries(ways[policy]?.['excepted'] ?? {}).map(([program, is]) => `\`${program}\`: ${is}`)
    const cells = [count('yes'), count('no'), count('none'), missedOf(all), programs.join(', ') || '–']
    return `| ${[policy, ...cells].join(' | ')} |`
  })
  return [
    '## Ways around',
    '',
    'Each way to change what a policy watches, by root, in a chroot of a folder above, from a container, and by a user in',
    'the own home: `test/library/ways.ts` has the list. The other policies watch what programs read or do; `make coverage`',
    'tries [those ways](coverage.md). *Not here*: the file system (tmpfs), the kernel or the user does not have the way.',
    '',
    'The last column has a change by a program that an excepted one starts. **hidden**: an intruder who has the rights',
    'can use such a program. Changes by the excepted program itself are always hidden: a package with a script of its own,',
    'a configuration of logrotate with `postrotate`. An exception is a path: root can bind another program over it, and a',
    'container may have its own there. The head of each policy names its exceptions.',
    '',
    '| policy | reported | missed | not here | missed ways | started by an excepted program |',
    '|---|--:|--:|--:|---|---|',
    ...rows,
    '',
    'No policy reports a write by a descriptor that was opened before the policy was loaded. Mounts over a file or folder',
    'of the system are reported by mounts-over-system alone.',
    '',
    ...oldWaysOf(results),
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
    ...waysOf(results),
    ...hourOf(results),
  ].join('\n')
}
