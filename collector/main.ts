/** The command line: dispatches to `commands/`; help, exit codes, and how errors are told. */
import { ConfigError, EXIT_CONFIG } from '../config/errors.ts'
import { didYouMean } from '../config/near.ts'
import { EXIT_USAGE, systemTerminal, UsageError } from './commands/command.ts'
import type { Command } from './commands/command.ts'
import { CollectorError } from './errors.ts'

const HELP = `ktrail: runs Tetragon-compatible tracing policies and ships what matched

  ktrail run [--config FILE]             the agent, in the foreground; needs root
  ktrail check FILE...                   mistakes in configs and policies, as
                                         file:line:col: message; needs no root
  ktrail config print [--effective]      the config, with --effective also every
                       [--config FILE]   default and where each value comes from
  ktrail spool ls|verify|repair|replay   events that wait on disk for a sink;
                                         ktrail spool --help says more
  ktrail version                         versions of ktrail, Node and the kernel
  ktrail help                            this

FILE is config/ktrail.yaml where none is given. While it runs, the agent answers
GET /livez, /readyz, /metrics and /status on server.http (127.0.0.1:2112).
SIGHUP reopens log files and looks at the policies; SIGTERM and SIGINT drain and
stop.

Exit codes: 0 done, 1 failed, 2 wrong usage, 78 a file of yours is wrong.
`

/** In the design, not in this version. */
const LATER = ['events', 'policy', 'status', 'top']

const help: Command = async (_args, { print }) => {
  await print(HELP)
  return 0
}
const version = async (): Promise<Command> => (await import('./commands/version.ts')).versionCommand

// Loaded when wanted: only the agent needs the addon and the exporters.
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  run: async () => (await import('./commands/run.ts')).runCommand,
  check: async () => (await import('./commands/check.ts')).checkCommand,
  config: async () => (await import('./commands/config.ts')).configCommand,
  spool: async () => (await import('./commands/spool.ts')).spoolCommand,
  version,
  help: () => Promise.resolve(help),
}
const FLAGS: Readonly<Record<string, string>> = {
  '--version': 'version',
  '-v': 'version',
  '--help': 'help',
  '-h': 'help',
}

async function main([word, ...args]: readonly string[]): Promise<number> {
  if (word === undefined) {
    process.stderr.write(HELP)
    return EXIT_USAGE
  }
  const name = Object.hasOwn(FLAGS, word) ? (FLAGS[word] ?? word) : word
  const load = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
  if (load !== undefined) return (await load())(args, systemTerminal)
  if (LATER.includes(name)) throw new UsageError(`"${name}" is not built in this version`)
  throw new UsageError(`no such command: "${name}"${didYouMean(name, Object.keys(COMMANDS))}`)
}

/** Messages of known errors are whole sentences; anything else is a fault of ours and shows its stack. */
function report(error: unknown): number {
  if (error instanceof UsageError) {
    console.error(`ktrail: ${error.message}\nSee: ktrail help`)
    return EXIT_USAGE
  }
  if (error instanceof ConfigError) {
    console.error(error.message)
    return error.exitCode
  }
  if (error instanceof CollectorError && error.code === 'POLICY_REFUSED') {
    console.error(error.message)
    return EXIT_CONFIG
  }
  const known = error instanceof Error && 'code' in error
  console.error(`ktrail: ${known ? error.message : error instanceof Error ? error.stack : String(error)}`)
  return error instanceof CollectorError && error.code === 'EXPORTER_REFUSED' ? EXIT_CONFIG : 1
}

process.exit(await main(process.argv.slice(2)).catch(report))
