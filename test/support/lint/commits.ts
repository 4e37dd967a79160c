/**
 * Messages of commits: `commits.ts [BASE]` checks those from BASE to HEAD. Without BASE: the commits that the upstream branch lacks,
 * else the last one.
 */
import { execFileSync } from 'node:child_process'
import { problemsIn } from './prose.ts'

export interface Commit {
  readonly subject: string
  readonly body: string
  readonly lines: number
}

const COLUMNS = 72
/** A subject alone explains a change of at most as many lines. */
const LINES_WITHOUT_BODY = 60

/** Violations of the form `area: what it does`, and of the rules of prose.ts. */
export function problemsOfCommit({ subject, body, lines }: Commit): string[] {
  const problems: string[] = []
  const [, description] = /^[\w./,{}* -]+: (\S.*)$/.exec(subject) ?? []
  if (description === undefined) problems.push('expected "area: what it does"')
  if (subject.length > COLUMNS) problems.push(`${subject.length} columns, at most ${COLUMNS}`)
  if (subject.endsWith('.')) problems.push('expected no period at its end')
  if (body === '' && lines > LINES_WITHOUT_BODY)
    problems.push(`${lines} lines change without a body: write why, and what was measured`)
  const prose = body.replaceAll(/^[A-Z][\w-]+-by: .*$/gm, '')
  return [...problems, ...problemsIn(description ?? ''), ...problemsIn(prose)]
}

const git = (...args: string[]): string =>
  execFileSync('git', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })

function commits(range: readonly string[]): Commit[] {
  return git('log', '--no-merges', '--format=%x1e%s%x1f%b%x1f', '--shortstat', ...range)
    .split('\x1e')
    .slice(1)
    .map((text) => {
      const [subject = '', body = '', stat = ''] = text.split('\x1f')
      const lines = [...stat.matchAll(/(\d+) (?:insertion|deletion)/g)].reduce((sum, [, n]) => sum + Number(n), 0)
      return { subject, body: body.trim(), lines }
    })
}

/** Arguments of git log for the commits to check. */
function rangeOf(base: string | undefined): string[] {
  if (base !== undefined) return [`${base}..HEAD`]
  for (const upstream of ['@{upstream}', 'origin/main']) {
    try {
      if (git('rev-parse', upstream) !== git('rev-parse', 'HEAD')) return [`${upstream}..HEAD`]
    } catch {
      // No such branch.
    }
  }
  return ['-1']
}

const isRepository = (): boolean => {
  try {
    return git('rev-parse', '--is-inside-work-tree') !== ''
  } catch {
    return false
  }
}

if (import.meta.main && !isRepository()) console.log('commits: not checked, this is no git repository')
else if (import.meta.main) {
  const found = commits(rangeOf(process.argv[2])).flatMap((commit) =>
    problemsOfCommit(commit).map((problem) => `"${commit.subject}": ${problem}`),
  )
  for (const line of found) console.error(`commit ${line}`)
  process.exitCode = found.length === 0 ? 0 : 1
}
