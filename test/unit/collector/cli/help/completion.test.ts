/** Completions for shells: the same in each, from the table. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, it, test } from 'node:test'
import { offersFor } from '../../../../../collector/cli/help/offers.ts'
import { KTRAIL } from '../../../../../collector/cli/table/table.ts'
import { missingTool } from './support/tools.ts'

const ROOT = path.join(import.meta.dirname, '../../../../..')
const scriptOf = (shell: string): string =>
  readFileSync(path.join(ROOT, `collector/cli/help/completion.${shell}`), 'utf8')

async function offered(line: string): Promise<string> {
  const names: Readonly<Record<string, string[]>> = {
    policies: ['mine', 'other'],
    library: ['library:pci', 'library:pods'],
    exporters: ['bus'],
  }
  const named = (kind: string): Promise<string[]> => Promise.resolve(names[kind] ?? [])
  const offers = await offersFor(KTRAIL, line.split(' '), named)
  return offers === 'files' ? offers : offers.map(({ word }) => word).join(' ')
}

const ROWS: ReadonlyArray<readonly [line: string, want: string]> = [
  ['ev', 'events'],
  ['config ', 'print help'],
  ['config pr', 'print'],
  ['help sp', 'spool'],
  ['help spool l', 'ls'],
  ['nothing ', ''],
  ['spool nothing ', ''],
  ['run --', '--config --takeover --help'],
  ['run --config ', 'files'],
  ['run --config=', 'files'],
  ['check ', 'files'],
  ['events -o ', 'json compact'],
  ['events --format=c', '--format=compact'],
  ['events --color al', 'always'],
  ['events --policy ', 'mine other'],
  ['events --policy=m', '--policy=mine'],
  ['events --host --tim', '--timestamps'],
  ['events --pod ', ''],
  ['policy show ', 'mine other'],
  ['policy show library:', 'library:pci library:pods'],
  ['policy add library:pc', 'library:pci'],
  ['policy add l', 'files'],
  ['tap library:', ''],
  ['spool ls b', 'bus'],
  ['spool replay bus --to ', 'bus'],
  ['version ', ''],
  ['completion f', 'fish'],
]
test('completion: the offers for a command line', async () => {
  for (const [line, want] of ROWS) assert.equal(await offered(line), want, line)
})

/** Arguments with which a shell prints its offers for the end of the line; `last` ends the list. */
const SHELLS: Readonly<Record<string, (line: string, last: string) => string[]>> = {
  bash: (line) => [
    '-c',
    `${scriptOf('bash')}\nCOMP_LINE=$1 COMP_POINT=\${#1} COMP_WORDS=($1)\ncompopt() { :; }\n_ktrail; printf '%s\\n' "\${COMPREPLY[@]}"`,
    'bash',
    line,
  ],
  fish: (line) => ['--no-config', '-c', `${scriptOf('fish')}\ncomplete -C '${line}'`],
  zsh: (line, last) => ['-f', '-c', ZSH_TERMINAL, 'zsh', line, last],
}
/** zsh completes only in its line editor: a shell in a pseudo-terminal prints the list. */
const ZSH_TERMINAL = `zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "PROMPT='' PS2='' ; autoload -Uz compinit; compinit -u -D; zstyle ':completion:*' list-separator ' '; eval \\"\\$(ktrail completion zsh)\\"; LISTMAX=1000; echo RE''ADY"
# The line editor is on: before that, C-d would end the shell.
zpty -r -m z out '*READY*2004h*'
zpty -w -n z "$1"$'\\C-d'
zpty -r -m z out "*$2*"
print -r -- "$out"`

describe('completion: real shells', () => {
  for (const [shell, args] of Object.entries(SHELLS)) {
    it(`${shell}: commands, values and files`, { skip: missingTool(shell) }, () => {
      const ask = (line: string, last = ''): string => {
        const env = { ...process.env, PATH: `${ROOT}:${process.env['PATH']}`, TERM: 'dumb' }
        const { stdout, stderr } = spawnSync(shell, args(line, last), {
          encoding: 'utf8',
          env,
          cwd: ROOT,
          timeout: 30_000,
        })
        assert.equal(stderr, '', line)
        return stdout
      }
      assert.match(ask('ktrail config ', 'print'), /print/)
      const both = ask('ktrail events -o ', 'json')
      assert.match(both, /compact/)
      assert.match(both, /json/)
      if (shell === 'zsh') return
      assert.match(ask('ktrail check config/ktr'), /^config\/ktrail\.yaml$/m)
      assert.match(ask('ktrail run --config=config/ktr'), /config\/ktrail\.yaml$/m)
      assert.match(ask('ktrail events --color=al'), /always$/m)
      assert.match(ask('ktrail policy add library:sudo'), /^(?:library:)?sudoers-pam$/m)
    })
  }
})
