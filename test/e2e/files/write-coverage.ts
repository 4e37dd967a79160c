/** `node test/e2e/files/write-coverage.ts FOLDER` writes docs/reference/coverage.md from the results of the coverage test, one file a kernel and file system. */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { FILE_SYSTEMS } from './file-system.ts'
import { CONTENT, METADATA, NONE, REFUSED, REFUSED_LATER } from './accesses.ts'
import { WAYS } from './ways.ts'
import type { Coverage, Way } from './ways.ts'

const IDENTITY = 'docs/reference/policy/files-by-identity.md'

const INTRODUCTION = `# Coverage of ways to reach a file

The ways to a watched file that a policy reports, by identity (\`UnderDir\`, \`SameFile\`) and by name (\`Prefix\`).

\`make coverage\` tries each way with [file-integrity.yaml](../../config/policies/optional/file-integrity.yaml); by name,
that policy has \`Prefix\` instead. Limits: [files by identity](${IDENTITY.replace('docs/reference/', '')}).

**no**: missed. –: not reported, as it should be; *reported*: although it should not. n/a: the kernel or the file system
does not have it.
`

/** Writes that no hook of the policy sees, by the kernel's design; test/e2e/one-agent/kinds.test.ts shows them. */
export const UNSEEN = `## Writes of the kernel itself: only the open is reported

The kernel writes a core dump (\`core_pattern\` with a path) and process accounting (\`acct(2)\`) with
\`__kernel_write\`, which passes no permission hook. The policy reports that the file was opened or created, but not the
writes. To see them, hook the function itself, by identity: process accounting writes through a mount of its own, where
\`Prefix\` does not match.

\`\`\`yaml policy
apiVersion: ktrail.dev/v1alpha1
kind: TracingPolicy
metadata: { name: kernel-writes }
spec:
  kprobes:
    - call: "__kernel_write"
      syscall: false
      args: [{ index: 0, type: "file" }]
      selectors:
        - matchArgs: [{ index: 0, operator: "UnderDir", values: ["/etc"] }]
\`\`\`
`

const verdict = (reported: boolean | null | undefined, wanted: boolean): string => {
  if (reported === undefined) return 'not tried'
  if (reported === null) return 'n/a'
  if (wanted) return reported ? 'yes' : '**no**'
  return reported ? '*reported*' : '–'
}

interface Row {
  readonly name: string
  readonly words: string
}

const versionOf = ({ kernel }: Coverage): string => kernel.split('.').slice(0, 2).join('.')
const fileSystemOf = ({ on }: Coverage): string => on

/** Short text for kernels and file systems: `overlay` for all kernels, `6.1` for all file systems. */
function columnsText(some: readonly Coverage[], all: readonly Coverage[]): string {
  for (const nameOf of [fileSystemOf, versionOf]) {
    const whole = Map.groupBy(all, nameOf)
    const names = [...new Set(some.map(nameOf))]
    if (names.every((name) => whole.get(name)?.every((each) => some.includes(each)))) return names.join(', ')
  }
  return some.map((each) => `${versionOf(each)} ${each.on}`).join(', ')
}

/** Distinct names of the columns. */
const columnsOf = (all: readonly Coverage[], of: (each: Coverage) => string): string =>
  [...new Set(all.map(of))].join(', ')

/** The most frequent verdict, then the others with their kernels and file systems; n/a is the last. */
function identityText(all: readonly Coverage[], name: string, wanted: boolean): string {
  const columns = Map.groupBy(all, ({ reported }) => verdict(reported[name]?.identity, wanted))
  const rank = ([each, some]: readonly [string, readonly Coverage[]]): number => (each === 'n/a' ? 0 : some.length)
  const [[first = ''] = [], ...others] = [...columns].toSorted((one, two) => rank(two) - rank(one))
  return [first, ...others.map(([each, some]) => `${each}: ${columnsText(some, all)}`)].join('; ')
}

/** The page. `all`: in the order of kernels and file systems. */
export function coveragePage(all: readonly Coverage[]): string {
  // Names are the same for every kernel and file system.
  const named = all.findLast(({ on }) => on === 'tmpfs')
  const table = (title: string, rows: readonly Row[], wanted: boolean, byName = true): string => {
    const withName = byName && named !== undefined
    const cells = ({ name }: Row): string[] => [
      identityText(all, name, wanted),
      ...(withName ? [verdict(named.reported[name]?.name, wanted)] : []),
    ]
    const grouped = Map.groupBy(rows, (row) => cells(row).join(' | '))
    const lines = [...grouped].map(
      ([verdicts, some]) => `| ${verdicts} | ${some.map(({ words }) => words).join('; ')} |`,
    )
    const sum = (found: ReadonlyArray<boolean | null | undefined>): string =>
      `${found.filter((each) => each === true).length} of ${found.filter((each) => typeof each === 'boolean').length}`
    const sums = [
      sum(all.flatMap(({ reported }) => rows.map(({ name }) => reported[name]?.identity))),
      ...(withName ? [sum(rows.map(({ name }) => named.reported[name]?.name))] : []),
    ]
    const head = withName ? ['| by identity | by name | |', '|---|---|---|'] : ['| by identity | |', '|---|---|']
    return `## ${title}\n\n${[...head, ...lines, `| ${sums.join(' | ')} | **reported** |`].join('\n')}\n`
  }
  const ways = (by: Way['by'], wanted: boolean): readonly Way[] =>
    WAYS.filter((way) => way.by === by && way.wanted === wanted)
  const kernels = columnsOf(all, versionOf)
  const tried = `Tried on Linux ${kernels}, each with ${columnsOf(all, fileSystemOf)}.\nOn overlay the policy names the overlay's folder.\n`
  return [
    INTRODUCTION,
    tried,
    table('Ways to a file below a watched folder', ways('UnderDir', true), true),
    table('Kinds of access to its content', CONTENT, true),
    table('Kinds of access to its names, owner, mode, attributes and mounts', METADATA, true),
    table('Refused, with the error in the record', REFUSED, true),
    table('Refused later: the attempt is reported, without the error', REFUSED_LATER, true),
    table('Files outside of that folder', ways('UnderDir', false), false),
    table('Accesses that the policy does not select', NONE, false),
    // For one file, the policy by name watches the whole folder.
    table('A watched file', ways('SameFile', true), true, false),
    table('Another file', ways('SameFile', false), false, false),
    UNSEEN,
  ].join('\n')
}

/** 5.10 before 6.1 before 6.12; in each, the file systems in their order. */
const order = (a: Coverage, b: Coverage): number => {
  const [one, two] = [a, b].map(({ kernel }) => kernel.split('.').map(Number))
  const kernels = (one?.[0] ?? 0) - (two?.[0] ?? 0) || (one?.[1] ?? 0) - (two?.[1] ?? 0)
  const place = ({ on }: Coverage): number => FILE_SYSTEMS.findIndex((name) => name === on)
  return kernels || place(a) - place(b)
}

if (import.meta.main) {
  const [folder = 'build/coverage'] = process.argv.slice(2)
  const all = readdirSync(folder).map((file): Coverage => JSON.parse(readFileSync(join(folder, file), 'utf8')))
  writeFileSync(
    fileURLToPath(new URL('../../../docs/reference/coverage.md', import.meta.url)),
    coveragePage(all.toSorted(order)),
  )
}
