/** A command with subcommands (`ktrail` itself, `ktrail spool`, `ktrail config`): runs the named one, or lists all. */
import { didYouMean } from '../../config/yaml/suggest.ts'
import { EXIT_USAGE, UsageError } from './command.ts'
import type { Command } from './command.ts'

/** A command, loaded when needed. Without `help` it prints its own help: it is a group. */
export interface Subcommand {
  readonly help?: string
  readonly load: () => Promise<Command>
}

export interface GroupOptions {
  /** As typed, such as `ktrail spool`. */
  readonly name: string
  readonly help: string
  readonly commands: Readonly<Record<string, Subcommand>>
  /** Planned commands. */
  readonly later?: readonly string[]
}

const isHelp = (word: string): boolean => word === '--help' || word === '-h'

/** Help of the group: `NAME help`, `NAME --help`; of a command: `NAME help COMMAND`, `NAME COMMAND --help`. */
export function group({ name, help, commands, later = [] }: GroupOptions): Command {
  const start: Command = async ([word, ...args], terminal) => {
    const printed = async (text: string): Promise<number> => {
      await terminal.print(text)
      return 0
    }
    if (word === undefined) {
      terminal.printError(help.trimEnd())
      return EXIT_USAGE
    }
    if (isHelp(word)) return printed(help)
    if (word === 'help') return args.length === 0 ? printed(help) : start([...args, '--help'], terminal)
    const path = `${name} ${word}`
    const command = Object.hasOwn(commands, word) ? commands[word] : undefined
    if (command === undefined) {
      const what = path.replace('ktrail ', '')
      if (later.includes(word)) throw new UsageError(`"${what}" is not built in this version`, `${name} help`)
      const hint = didYouMean(word, [...Object.keys(commands), 'help'])
      throw new UsageError(`no such command: "${what}"${hint}`, `${name} help`)
    }
    if (command.help !== undefined && args.some(isHelp)) return printed(command.help)
    try {
      return await (
        await command.load()
      )(args, terminal)
    } catch (error) {
      if (error instanceof UsageError) error.see ??= `${path} --help`
      throw error
    }
  }
  return start
}
