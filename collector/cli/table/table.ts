/** All commands, in the order in which they are listed: the entries of commands.json, each with its code. */
import type { Command } from '../command.ts'
import commands from './commands.json' with { type: 'json' }
import { SHARED_OPTIONS } from './options.ts'
import type { OptionSpec, OptionSpecs } from './options.ts'
import type { CommandSpec, GroupSpec } from './spec.ts'

/** By the words after `ktrail`. */
const LOADED: Readonly<Record<string, () => Promise<Command>>> = {
  run: async () => (await import('../run.ts')).runCommand,
  watch: async () => (await import('../watch/watch.ts')).watchCommand,
  trace: async () => (await import('../trace/trace.ts')).traceCommand,
  check: async () => (await import('../check/check.ts')).checkCommand,
  init: async () => (await import('../init/init.ts')).initCommand,
  'migrate tetragon': async () => (await import('../migrate/tetragon.ts')).tetragonCommand,
  'migrate auditd': async () => (await import('../migrate/auditd.ts')).auditdCommand,
  'config print': async () => (await import('../config/print.ts')).configPrintCommand,
  status: async () => (await import('../status/status.ts')).statusCommand,
  top: async () => (await import('../top/top.ts')).topCommand,
  events: async () => (await import('../events.ts')).eventsCommand,
  tap: async () => (await import('../tap.ts')).tapCommand,
  'policy add': async () => (await import('../policy/add.ts')).addCommand,
  'policy library': async () => (await import('../policy/library.ts')).libraryCommand,
  'policy show': async () => (await import('../policy/show.ts')).showCommand,
  'policy estimate': async () => (await import('../policy/estimate.ts')).estimateCommand,
  'policy list': async () => (await import('../policy/list.ts')).listCommand,
  'policy delete': async () => (await import('../policy/change.ts')).deleteCommand,
  'policy enable': async () => (await import('../policy/change.ts')).enableCommand,
  'policy disable': async () => (await import('../policy/change.ts')).disableCommand,
  'spool ls': async () => (await import('../spool/ls.ts')).lsCommand,
  'spool verify': async () => (await import('../spool/verify.ts')).verifyCommand,
  'spool repair': async () => (await import('../spool/repair.ts')).repairCommand,
  'spool replay': async () => (await import('../spool/replay.ts')).replayCommand,
  audit: async () => (await import('../audit.ts')).auditCommand,
  'oci-hook': async () => (await import('../oci-hook.ts')).ociHookCommand,
  completion: async () => (await import('../completion.ts')).completionCommand(KTRAIL),
  version: async () => (await import('../version.ts')).versionCommand,
}

/** `shared`: the option of that name in options.json. */
type Row = Omit<CommandSpec, 'load' | 'options'> & {
  readonly options?: Readonly<Record<string, OptionSpec | 'shared'>>
}
type Rows = Omit<GroupSpec, 'commands'> & { readonly commands: Readonly<Record<string, Row | Rows>> }

const optionsOf = (options: NonNullable<Row['options']>): OptionSpecs =>
  Object.fromEntries(
    Object.entries(options).flatMap(([name, spec]) => {
      const found = spec === 'shared' ? SHARED_OPTIONS[name] : spec
      return found === undefined ? [] : [[name, found]]
    }),
  )

function groupOf(rows: Rows, path: string): GroupSpec {
  const made = Object.entries(rows.commands).map(([name, row]): [string, CommandSpec | GroupSpec] => {
    const typed = `${path}${name}`
    if ('commands' in row) return [name, groupOf(row, `${typed} `)]
    const load = LOADED[typed]
    if (load === undefined) throw new Error(`commands.json has the command "${typed}", which table.ts does not load`)
    return [name, { ...row, options: optionsOf(row.options ?? {}), load }]
  })
  return { ...rows, commands: Object.fromEntries(made) }
}

export const KTRAIL: GroupSpec = groupOf(commands as Rows, '')
