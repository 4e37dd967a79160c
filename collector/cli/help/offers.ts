/** Words that a shell can offer for the last word of a command line. */
import { inLibrary } from '../../../config/base/paths.ts'
import { takesValue } from '../table/options.ts'
import type { Offered, OptionSpec } from '../table/options.ts'
import { findSpec, isGroup } from '../table/spec.ts'
import type { CommandSpec, GroupSpec } from '../table/spec.ts'

export interface Offer {
  readonly word: string
  readonly about: string
}

/** Finds names at run time. `words`: the command line so far, which may name the server or the config to read. Never rejects. */
export type Named = (kind: 'exporters' | 'policies' | 'library', words: readonly string[]) => Promise<readonly string[]>

/** `root`: the table of all commands. `words`: the words after `ktrail`; the last is the one to complete and may be empty. */
export async function offersFor(
  root: GroupSpec,
  words: readonly string[],
  named: Named,
): Promise<readonly Offer[] | 'files'> {
  const before = words.slice(0, -1)
  const last = words.at(-1) ?? ''
  const typed = before[0] === 'help' ? before.slice(1) : before
  const { spec, used } = findSpec(root, typed)
  if (isGroup(spec)) {
    if (used < typed.length) return []
    const commands = Object.entries(spec.commands).map(([word, { summary }]) => ({ word, about: summary }))
    const help = { word: 'help', about: 'Show this help, or the help of a command' }
    return begun(before[0] === 'help' ? commands : [...commands, help], last)
  }
  const option = optionBefore(spec, typed.slice(used), last)
  if (option !== undefined)
    return offered(option.spec.choices ?? option.spec.offered, option.prefix, last, words, named)
  if (last.startsWith('-'))
    return begun([...optionOffers(spec), { word: '--help', about: 'Show the help of the command' }], last)
  // Files and names of the agent are typed more often, so the library has offers only after its prefix.
  const place = inLibrary(last) && (spec.offered === 'files' || spec.offered === 'policies')
  return offered(place ? 'library' : spec.offered, '', last, words, named)
}

function optionOffers({ options = {} }: CommandSpec): Offer[] {
  return Object.entries(options).map(([name, { about }]) => ({ word: `--${name}`, about }))
}

/** The option whose value is typed: `--name VALUE`, `-n VALUE` or `--name=VALUE`. */
function optionBefore(
  { options = {} }: CommandSpec,
  typed: readonly string[],
  last: string,
): { spec: OptionSpec; prefix: string } | undefined {
  const inline = /^(--[a-z-]+=)/.exec(last)?.[1]
  const word = inline?.slice(0, -1) ?? typed.at(-1) ?? ''
  for (const [name, spec] of Object.entries(options)) {
    if (!takesValue(spec)) continue
    if (word === `--${name}` || (inline === undefined && word === `-${spec.short}`))
      return { spec, prefix: inline ?? '' }
  }
  return undefined
}

async function offered(
  what: Offered | 'library' | undefined,
  prefix: string,
  last: string,
  words: readonly string[],
  named: Named,
): Promise<readonly Offer[] | 'files'> {
  if (what === 'files') return 'files'
  const list = what === undefined ? [] : typeof what === 'string' ? await named(what, words) : what
  return begun(
    list.map((word) => ({ word: prefix + word, about: '' })),
    last,
  )
}

function begun(offers: readonly Offer[], last: string): readonly Offer[] {
  return offers.filter(({ word }) => word.startsWith(last))
}
