/** The command line: what `ktrail COMMAND` does, its exit codes, its signals. */
import { parseArgs } from 'node:util'
import { checkFile, configOrThrow, parseConfigFile } from '../config/check.ts'
import { ConfigError, EXIT_CONFIG } from '../config/errors.ts'
import { didYouMean } from '../config/near.ts'
import { printConfig } from '../config/print.ts'
import { formatProblem } from '../config/problems.ts'
import { startAgent } from './agent.ts'
import type { RunningAgent } from './agent.ts'
import { CollectorError } from './errors.ts'
import { createLog } from './log.ts'
import { notifySystemd } from './host/notify.ts'
import { version } from './version.ts'

const HELP = `ktrail: runs Tetragon-compatible tracing policies and ships what matched

  ktrail run [--config FILE]             the agent, in the foreground; needs root
  ktrail check FILE...                   mistakes in configs and policies, as
                                         file:line:col: message; needs no root
  ktrail config print [--effective]      the config, with --effective also every
                       [--config FILE]   default and where each value comes from
  ktrail version                         versions of ktrail, Node and the kernel
  ktrail help                            this

FILE is config/ktrail.yaml where none is given. While it runs, the agent answers
GET /livez, /readyz and /metrics on server.http (127.0.0.1:2112). SIGHUP reopens
log files and looks at the policies; SIGTERM and SIGINT drain and stop.

Exit codes: 0 done, 1 failed, 2 wrong usage, 78 a file of yours is wrong.
`

const EXIT_USAGE = 2
/** In the design, not in this version. */
const LATER = ['events', 'policy', 'status', 'top', 'spool']
const COMMANDS = ['run', 'check', 'config', 'version', 'help']

class UsageError extends Error {}

/** A command's answer. A reader that has gone away wants no more of it; any other failure is one, also for the exit code. */
async function answer(text: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const end = (error: Error | null | undefined): void => {
      if (error === null || error === undefined) resolve()
      else if ('code' in error && error.code === 'EPIPE') resolve()
      else reject(Object.assign(new Error(`cannot write to standard output: ${error.message}`), { code: 'STDOUT' }))
    }
    // The callback has it already; unheard, it would end the process.
    if (process.stdout.listenerCount('error') === 0) process.stdout.on('error', () => {})
    process.stdout.write(text, end)
  })
}

const defaultConfig = (): string => new URL('../config/ktrail.yaml', import.meta.url).pathname

async function run(args: string[]): Promise<number> {
  const { values, positionals } = parse(args, { config: { type: 'string' } })
  if (positionals.length > 0) throw new UsageError(`run takes no file, got "${positionals[0]}": use --config FILE`)
  const { config } = configOrThrow(await parseConfigFile(String(values['config'] ?? defaultConfig()), process.env))
  const log = createLog(config.log)
  // Heard from here on: unheard, a hang-up would end the start, and a SIGTERM just after "ready" the agent without a drain.
  let running: RunningAgent | undefined
  let hungUp = false
  const reload = (): void => {
    hungUp = running === undefined
    running?.reload().catch((error: unknown) => log.error({ error: String(error) }, 'reload failed'))
  }
  const told = stopSignal(reload)
  const agent = await startAgent(config, log)
  running = agent
  if (hungUp) reload()
  notifySystemd('ready', (message) => log.warn(message))
  const signal = await Promise.race([agent.failed, told]).catch(async (error: unknown) => {
    // What is held already may still be delivered.
    await agent.stop()
    throw error
  })
  log.info({ signal }, 'stopping')
  notifySystemd('stopping', (message) => log.warn(message))
  const { droppedAtStop } = await agent.stop()
  if (droppedAtStop === 0) return 0
  log.error(
    { events: droppedAtStop },
    'stopped with events that no exporter took in time: raise shutdown.grace, or mend the sink',
  )
  return 1
}

/** The first signal that ends the agent. Further ones are left to Node's default: a second Ctrl-C ends it at once. */
function stopSignal(onHangup: () => void): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    process.on('SIGHUP', onHangup)
    process.on('SIGUSR1', onHangup)
    const end = (signal: NodeJS.Signals): void => {
      process.off('SIGTERM', end)
      process.off('SIGINT', end)
      resolve(signal)
    }
    process.on('SIGTERM', end)
    process.on('SIGINT', end)
  })
}

async function check(args: string[]): Promise<number> {
  const { positionals } = parse(args, {})
  if (positionals.length === 0) throw new UsageError('check needs at least one file')
  let wrong = 0
  for (const file of positionals) {
    const problems = await checkFile(file, process.env)
    if (problems.length > 0) await answer(problems.map((problem) => `${formatProblem(problem)}\n`).join(''))
    wrong += problems.length > 0 ? 1 : 0
  }
  const total = positionals.length
  console.error(
    wrong === 0
      ? `${total} file${total === 1 ? '' : 's'} checked, no mistakes`
      : `${wrong} of ${total} files with mistakes`,
  )
  return wrong === 0 ? 0 : EXIT_CONFIG
}

async function printed(args: string[]): Promise<number> {
  const { values, positionals } = parse(args, { config: { type: 'string' }, effective: { type: 'boolean' } })
  if (positionals.length !== 1 || positionals[0] !== 'print')
    throw new UsageError('expected: ktrail config print [--effective] [--config FILE]')
  const loaded = configOrThrow(await parseConfigFile(String(values['config'] ?? defaultConfig()), process.env))
  await answer(printConfig(loaded, { effective: values['effective'] === true }))
  return 0
}

function parse(
  args: string[],
  options: Record<string, { type: 'string' | 'boolean' }>,
): { values: Record<string, unknown>; positionals: string[] } {
  try {
    return parseArgs({ args, options, allowPositionals: true })
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error })
  }
}

async function main([command, ...args]: string[]): Promise<number> {
  switch (command) {
    case 'run':
      return run(args)
    case 'check':
      return check(args)
    case 'config':
      return printed(args)
    case 'version':
    case '--version':
    case '-v': {
      const { release } = await import('node:os')
      await answer(`ktrail ${version()}, node ${process.version}, kernel ${release()}\n`)
      return 0
    }
    case 'help':
    case '--help':
    case '-h':
      await answer(HELP)
      return 0
    case undefined:
      process.stderr.write(HELP)
      return EXIT_USAGE
    default:
      if (LATER.includes(command)) throw new UsageError(`"${command}" is not built in this version`)
      throw new UsageError(`no such command: "${command}"${didYouMean(command, COMMANDS)}`)
  }
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
  return 1
}

process.exit(await main(process.argv.slice(2)).catch(report))
