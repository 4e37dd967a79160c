/** Runs the command of the table that the words name, or shows its help. */
import { asHint, didYouMean, meant } from '../../config/yaml/suggest.ts'
import { EXIT_USAGE, readArguments, UsageError } from './command.ts'
import type { Terminal } from './command.ts'
import { helpText } from './help/text.ts'
import { childOf, isGroup } from './table/spec.ts'
import type { CommandSpec, GroupSpec } from './table/spec.ts'

const isHelp = (word: string): boolean => word === '--help' || word === '-h'

/**
 * Resolves to the exit code. Help of a group: `NAME help`, `NAME --help`; of a command: `NAME help COMMAND`, `NAME COMMAND --help`.
 * Rejects with UsageError for wrong arguments. `path`: the group, as typed.
 */
export async function runGroup(
  path: string,
  group: GroupSpec,
  [word, ...args]: readonly string[],
  terminal: Terminal,
): Promise<number> {
  const printHelp = async (of: string, spec: CommandSpec | GroupSpec): Promise<number> => {
    await terminal.print(helpText(of, spec, terminal.columns))
    return 0
  }
  if (word === undefined) {
    for (const line of helpText(path, group, terminal.columns).trimEnd().split('\n')) terminal.printError(line)
    return EXIT_USAGE
  }
  if (isHelp(word)) return printHelp(path, group)
  if (word === 'help') {
    return args.length === 0 ? printHelp(path, group) : runGroup(path, group, [...args, '--help'], terminal)
  }
  const inner = `${path} ${word}`
  const spec = childOf(group, word)
  if (spec === undefined) {
    const known = meant(`command ${path.replace(/^ktrail ?/, '')}`.trimEnd(), word)
    const hint = known === undefined ? didYouMean(word, [...Object.keys(group.commands), 'help']) : asHint(known)
    throw new UsageError(`no such command: "${inner.replace('ktrail ', '')}"${hint}`, `${path} help`)
  }
  if (isGroup(spec)) return runGroup(inner, spec, args, terminal)
  const end = args.indexOf('--')
  if (args.slice(0, end < 0 ? args.length : end).some(isHelp)) return printHelp(inner, spec)
  try {
    const given = readArguments(args, spec.options ?? {})
    const [extra] = given.positionals
    if (spec.takesNo !== undefined && extra !== undefined) {
      const instead = spec.instead === undefined ? '' : `: use ${spec.instead}`
      throw new UsageError(`${inner.replace('ktrail ', '')} takes no ${spec.takesNo}, got "${extra}"${instead}`)
    }
    return await (
      await spec.load()
    )(given, terminal)
  } catch (error) {
    if (error instanceof UsageError) error.see ??= `${inner} --help`
    throw error
  }
}
