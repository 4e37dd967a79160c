/** Entries of the table of commands. Help texts, completion, the man page and the reading of arguments all come from it. */
import type { Command } from '../command.ts'
import type { Offered, OptionSpecs } from './options.ts'

export interface CommandSpec {
  /** One line of the list of commands, at most 52 columns. */
  readonly summary: string
  /** The arguments of each form of the command, as typed after its name; [''] when absent. */
  readonly usage?: readonly string[]
  /** Paragraphs before and after the options. Lines that begin with a space are kept as they are. */
  readonly text: readonly string[]
  readonly notes?: readonly string[]
  readonly options?: OptionSpecs
  /** Words that a shell offers for arguments that are no options. */
  readonly offered?: Offered
  /** The kind of argument that the command refuses, `file` or `name`, and the replacement. */
  readonly takesNo?: string
  readonly instead?: string
  /** `0 done, 1 failed`. */
  readonly exits?: string
  /** Whole command lines. In the help if they fit into 24 lines, always in the man page. */
  readonly examples?: readonly string[]
  /** Loads the command when it runs, because only some commands need the addon and the exporters. */
  readonly load: () => Promise<Command>
}

/** A command with subcommands. */
export interface GroupSpec {
  readonly summary: string
  readonly notes?: readonly string[]
  readonly exits?: string
  readonly commands: Readonly<Record<string, CommandSpec | GroupSpec>>
}

export function isGroup(spec: CommandSpec | GroupSpec): spec is GroupSpec {
  return 'commands' in spec
}

/** Both words mean the same in each group. */
const ALIASES: Readonly<Record<string, string>> = { ls: 'list', list: 'ls' }

/** The command or group of this name; undefined if the group has none. */
export function childOf({ commands }: GroupSpec, word: string): CommandSpec | GroupSpec | undefined {
  const name = [word, ALIASES[word] ?? ''].find((each) => Object.hasOwn(commands, each))
  return name === undefined ? undefined : commands[name]
}

/** The command or group named by the first words, and the number of these words. */
export function findSpec(root: GroupSpec, words: readonly string[]): { spec: CommandSpec | GroupSpec; used: number } {
  let [spec, used]: [CommandSpec | GroupSpec, number] = [root, 0]
  for (const word of words) {
    const next: CommandSpec | GroupSpec | undefined = isGroup(spec) ? childOf(spec, word) : undefined
    if (next === undefined) break
    spec = next
    used++
  }
  return { spec, used }
}

/** Every command and group with its path, in order, a group before its commands. */
export function* allSpecs(
  spec: CommandSpec | GroupSpec,
  path = 'ktrail',
): Generator<[string, CommandSpec | GroupSpec]> {
  yield [path, spec]
  if (!isGroup(spec)) return
  for (const [name, each] of Object.entries(spec.commands)) yield* allSpecs(each, `${path} ${name}`)
}
