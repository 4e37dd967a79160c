/**
 * Command lines of the pages, and where a test runs each.
 *
 * A block of commands begins with ```sh run=host (a folder with the page's config and policies; no kernel, no root), ```sh run=agent (beside an
 * agent), or ```sh shown="REASON" for commands that no test can run as they stand.
 * Commands in the text are those of ktrail with arguments. Their placeholders have the values of `SAMPLES`.
 */
import { findSpec, isGroup } from '../../../collector/cli/table/spec.ts'
import type { CommandSpec } from '../../../collector/cli/table/spec.ts'
import { KTRAIL } from '../../../collector/cli/table/table.ts'
import { PAGES, inlineCode, read } from '../../unit/support/pages.ts'

export interface ShellLine {
  readonly page: string
  readonly text: string
  readonly run: 'host' | 'agent' | 'guest' | 'shown'
  /** Why no test runs it; '' for the others. */
  readonly reason: string
}

/** Values of the placeholders. The tests have files and exporters with these names. */
const SAMPLES: ReadonlyArray<readonly [RegExp, string]> = [
  [/\b(policy (?:enable|disable|delete)) NAME/, '$1 sample'],
  [/\b(policy show) NAME/, '$1 of-file'],
  [/\bNAME\b/, 'archive'],
  [/--to EXPORTER/, '--to other'],
  [/\bEXPORTER\b/, 'archive'],
  [/\b(policy (?:add|estimate)|check) FILE…?/, '$1 sample.yaml'],
  [/\b(audit) FILE…?/, '$1 events.jsonl'],
  [/\b(migrate tetragon) FILE…?/, '$1 tetragon.yaml'],
  [/\b(migrate auditd) FILE…?/, '$1 audit.rules'],
  [/\bFILE\b/, 'ktrail.yaml'],
  [/\bPATH…/, '/etc/hosts'],
  [/\bCOMMAND\b/, 'check'],
]

/** Blocks of commands, a line each. Throws for a block without a place to run. */
export function blockLines(
  pages: ReadonlyArray<readonly [page: string, text: string]> = PAGES.map((page) => [page, read(page)]),
): ShellLine[] {
  return pages.flatMap(([page, markdown]) =>
    [...markdown.matchAll(/^```(.*)\n([^]*?)^```$/gm)].flatMap(([, info = '', block = '']) => {
      const lines = block
        .replaceAll('\\\n', ' ')
        .split('\n')
        .map((line) => line.replace(/(?:^|\s+)#.*$/, '').trim())
        .filter((line) => line !== '')
      const [, run, reason = ''] = /^sh (?:run=(host|agent)|shown="([^"]+)")$/.exec(info) ?? []
      const isShell = /^(?:sh|bash|shell|console)\b/.test(info)
      if (!isShell && !(info === '' && lines.some(isCommand))) return []
      if (run === undefined && reason === '') {
        throw new Error(
          `${page}: expected \`\`\`sh run=host, run=agent or shown="why no test can run it" above "${lines[0]}", got "${info}"`,
        )
      }
      return lines.map((text): ShellLine => ({
        page,
        text,
        run: run === 'host' || run === 'agent' ? run : 'shown',
        reason,
      }))
    }),
  )
}

const isCommand = (line: string): boolean =>
  /^(?:sudo |\$ |\.?\/?ktrail [a-z]|make |npm |node |curl |test\/|deploy\/)/.test(line)

/** Command lines of ktrail in the text of the pages, each once. A name alone, such as `ktrail check`, is none. */
export function inlineLines(): ShellLine[] {
  const found = new Map<string, ShellLine>()
  for (const page of PAGES.filter((each) => each !== 'CHANGELOG.md')) {
    const codes = inlineCode(read(page)).filter((code) => /^(?:\.\/)?ktrail [a-z]/.test(code))
    for (const text of codes.flatMap(expanded)) {
      const words = text.split(' ').slice(1)
      const { spec, used } = findSpec(KTRAIL, words)
      if (!isGroup(spec) && used < words.length) found.set(text, { page, text, ...placeOf(spec, words) })
    }
  }
  return [...found.values()]
}

/** `[--x]` with and without it, `a|b` each; with samples. */
function expanded(code: string): string[] {
  const optional = /^(.*?) ?\[([^\]]*)\](.*)$/.exec(code)
  if (optional !== null) {
    const [, before = '', inner = '', after = ''] = optional
    return [...expanded(before + after), ...expanded(`${before} ${inner}${after}`)]
  }
  const choice = /^(.* )([a-z]+(?:\|[a-z]+)+)$/.exec(code)
  if (choice !== null) return (choice[2] ?? '').split('|').flatMap((word) => expanded((choice[1] ?? '') + word))
  const line = code.replace(/^\.\//, '').replace(/(?: \| [a-z]+:\/\/…)+$/, '')
  return [SAMPLES.reduce((text, [name, sample]) => text.replace(name, sample), line)]
}

/** Commands of an agent have an option for its address; --kernel needs a real kernel. */
function placeOf(spec: CommandSpec, words: readonly string[]): Pick<ShellLine, 'run' | 'reason'> {
  if (spec === KTRAIL.commands['run']) return { run: 'shown', reason: 'every test in test/e2e starts it' }
  const { options = {} } = spec
  const run = 'server' in options || 'http' in options ? 'agent' : 'host'
  return { run: words.includes('--kernel') ? 'guest' : run, reason: '' }
}
