/** `node test/e2e/files/write-coverage.ts FOLDER` writes docs/reference/coverage.md from the results of the coverage test, one file a kernel and file system. */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { FILE_SYSTEMS } from './file-system.ts'
import { CONTENT, METADATA, NONE, REFUSED, REFUSED_LATER } from './accesses.ts'
import { WAYS } from './ways.ts'
import type { Coverage, Way } from './ways.ts'

/** From this page to those beside its folder. */
const PAGES = '../'

const INTRODUCTION = `# Coverage

Ways to get at a file, each a small program of its own (\`test/fixtures/e2e/reach.c\`, \`access.c\`), on each kernel and file system. Made by \`make coverage\`.
The policy is [file-integrity.yaml](${PAGES}../config/policies/optional/file-integrity.yaml), which matches by identity (\`UnderDir\`, \`SameFile\`:
[policies](${PAGES}policies.md#files-whatever-their-names)); *by name* it has \`Prefix\` instead. **no** is an access that is missed, *reported* one
that nobody asked for, n/a one that the kernel or the file system does not have. On overlay the policy names the overlay's folder.
What identity means, and why something is missed: [policy language](policy-language.md#files-by-identity).
`

/** Writes that no hook of the policy sees, by the kernel's design; test/e2e/one-agent/kinds.test.ts shows them. */
export const UNSEEN = `## Writes of the kernel itself: only the open is reported

A core dump (\`core_pattern\` with a path) and process accounting (\`acct(2)\`) are written by the kernel with \`__kernel_write\`, which passes no
permission hook. That the file was opened or created is reported; the writes are not. A policy that needs them hooks the function itself. It matches
by identity: process accounting writes through a mount of its own, where \`Prefix\` does not match.

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

/** The page. \`all\`: in the order of its columns. */
export function coveragePage(all: readonly Coverage[]): string {
  const columns = all.map(({ kernel, on }) => `${kernel.split('.').slice(0, 2).join('.')} ${on}`)
  // Names are the same for every kernel and file system.
  const named = all.findLast(({ on }) => on === 'tmpfs')
  const table = (title: string, rows: readonly Row[], wanted: boolean, byName = true): string => {
    const withName = byName && named !== undefined
    const lines = rows.map(({ name, words }) => {
      const cells = all.map(({ reported }) => verdict(reported[name]?.identity, wanted))
      return `| ${[words, ...cells, ...(withName ? [verdict(named.reported[name]?.name, wanted)] : [])].join(' | ')} |`
    })
    const sum = (of: Coverage, how: 'identity' | 'name'): string => {
      const there = rows.filter(({ name }) => typeof of.reported[name]?.[how] === 'boolean')
      return `${there.filter(({ name }) => of.reported[name]?.[how] === true).length} of ${there.length}`
    }
    const sums = [...all.map((of) => sum(of, 'identity')), ...(withName ? [sum(named, 'name')] : [])]
    const titles = [...columns, ...(withName ? ['by name'] : [])]
    const head = [`| | ${titles.join(' | ')} |`, `|---|${titles.map(() => '---|').join('')}`]
    return `## ${title}\n\n${[...head, ...lines, `| **reported** | ${sums.join(' | ')} |`].join('\n')}\n`
  }
  const ways = (by: Way['by'], wanted: boolean): readonly Way[] =>
    WAYS.filter((way) => way.by === by && way.wanted === wanted)
  return [
    INTRODUCTION,
    table('Ways to a file below a watched folder', ways('UnderDir', true), true),
    table('Kinds of access to its content', CONTENT, true),
    table('Kinds of access to its names, owner, mode, attributes and mounts', METADATA, true),
    table('Refused, with the error in the record', REFUSED, true),
    table('Refused later: the attempt is reported, without the error', REFUSED_LATER, true),
    table('No file of that folder', ways('UnderDir', false), false),
    table('No access that the policy watches', NONE, false),
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
