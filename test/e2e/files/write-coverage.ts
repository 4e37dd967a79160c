/** `node test/e2e/files/write-coverage.ts FOLDER` writes docs/reference/coverage.md from what the test of coverage left in a folder, one file a kernel. */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { WAYS } from './ways.ts'
import type { Coverage, Way } from './ways.ts'

/** From this page to those beside its folder. */
const PAGES = '../'

const INTRODUCTION = `# Coverage

Ways to reach a file, each a program of its own (\`test/fixtures/e2e/reach.c\`), on each kernel, on tmpfs. Made by \`make coverage\`. A policy reports
the file by identity (\`UnderDir\`, \`SameFile\`: [policies](${PAGES}policies.md#files-whatever-their-names)) or by name (\`Prefix\`). It hooks
\`security_file_open\`, \`security_file_permission\`, \`security_mmap_file\` and \`security_path_truncate\`. **no** is an access that is missed, *reported*
one that nobody asked for.

Not tried yet: other file systems, handles opened while the folders of the file are not in memory, metadata (\`chmod\`, \`xattr\`, \`rename\` themselves), io_uring.
`

const verdict = (reported: boolean | undefined, wanted: boolean): string => {
  if (reported === undefined) return 'not tried'
  if (wanted) return reported ? 'yes' : '**no**'
  return reported ? '*reported*' : '–'
}

/** The page. \`all\`: in the order of its columns. */
export function coveragePage(all: readonly Coverage[]): string {
  const titles = all.map(({ kernel }) => kernel.split('.').slice(0, 2).join('.'))
  const table = (title: string, by: Way['by'], wanted: boolean): string => {
    const ways = WAYS.filter((way) => way.by === by && way.wanted === wanted)
    // Of one file, the policy by name watches the whole folder.
    const hows = by === 'UnderDir' ? (['identity', 'name'] as const) : (['identity'] as const)
    const columns = titles.flatMap((kernel) => hows.map((how) => `${kernel} by ${how}`))
    const rows = ways.map(({ name, words }) => {
      const cells = all.flatMap(({ reported }) => hows.map((how) => verdict(reported[name]?.[how], wanted)))
      return `| ${[words, ...cells].join(' | ')} |`
    })
    const sums = all.flatMap(({ reported }) =>
      hows.map((how) => ways.filter(({ name }) => reported[name]?.[how] === true).length),
    )
    const head = [`| | ${columns.join(' | ')} |`, `|---|${columns.map(() => '---|').join('')}`]
    const last = `| **reported, of ${ways.length}** | ${sums.join(' | ')} |`
    return `## ${title}\n\n${[...head, ...rows, last].join('\n')}\n`
  }
  return [
    INTRODUCTION,
    table('A file below a watched folder', 'UnderDir', true),
    table('No file of that folder', 'UnderDir', false),
    table('A watched file', 'SameFile', true),
    table('Another file', 'SameFile', false),
  ].join('\n')
}

/** 5.10 before 6.1 before 6.12. */
const order = (a: Coverage, b: Coverage): number => {
  const [one, two] = [a, b].map(({ kernel }) => kernel.split('.').map(Number))
  return (one?.[0] ?? 0) - (two?.[0] ?? 0) || (one?.[1] ?? 0) - (two?.[1] ?? 0)
}

if (import.meta.main) {
  const [folder = 'build/coverage'] = process.argv.slice(2)
  const all = readdirSync(folder).map((file): Coverage => JSON.parse(readFileSync(join(folder, file), 'utf8')))
  writeFileSync(
    fileURLToPath(new URL('../../../docs/reference/coverage.md', import.meta.url)),
    coveragePage(all.toSorted(order)),
  )
}
