/**
 * `ktrail completion`. The scripts (help/completion.SHELL) pass the words before the cursor to `ktrail completion words -- WORD...` at each tab key
 * and show the output. So all shells offer the same.
 */
import { readFile } from 'node:fs/promises'
import { ownFile } from '../../config/base/own.ts'
import { UsageError } from './command.ts'
import type { Command, Terminal } from './command.ts'
import { offersFor } from './help/offers.ts'
import { namesOf } from './names.ts'
import type { GroupSpec } from './table/spec.ts'

const SHELLS = ['bash', 'zsh', 'fish']

/** `root`: the table of all commands. */
export const completionCommand =
  (root: GroupSpec): Command =>
  async ({ positionals }, terminal) => {
    const [shell = '', ...words] = positionals
    if (shell === 'words') return printOffers(root, words, terminal)
    if (!SHELLS.includes(shell) || words.length > 0) {
      throw new UsageError(`completion: expected one of ${SHELLS.join(', ')}, got "${positionals.join(' ')}"`)
    }
    await terminal.print(await readFile(ownFile(`collector/cli/help/completion.${shell}`)))
    return 0
  }

/** One offer a line: the word, and after a tab its meaning. The line `:files` alone stands for the files of the folder. */
async function printOffers(root: GroupSpec, words: readonly string[], terminal: Terminal): Promise<number> {
  const offers = await offersFor(root, words, namesOf(terminal))
  const lines =
    offers === 'files' ? [':files'] : offers.map(({ word, about }) => (about === '' ? word : `${word}\t${about}`))
  await terminal.print(lines.map((line) => `${line}\n`).join(''))
  return 0
}
