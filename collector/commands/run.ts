import { startAgent } from '../agent.ts'
import type { RunningAgent } from '../agent.ts'
import { notifySystemd } from '../host/notify.ts'
import { createLog } from '../log.ts'
import { CONFIG_OPTION, configFile, readArguments, readConfig, UsageError } from './command.ts'
import type { Command } from './command.ts'

/** `ktrail run`: the agent, until a signal ends it. */
export const runCommand: Command = async (args, terminal) => {
  const given = readArguments(args, CONFIG_OPTION)
  const [file] = given.positionals
  if (file !== undefined) throw new UsageError(`run takes no file, got "${file}": use --config FILE`)
  const { config } = await readConfig(given, terminal)
  const log = createLog(config.log)
  // Heard from here on: unheard, a hang-up would end the start, and a SIGTERM just after "ready" the agent without a drain.
  let running: RunningAgent | undefined
  let hungUp = false
  const reload = (): void => {
    hungUp = running === undefined
    running?.reload().catch((error: unknown) => log.error({ error: String(error) }, 'reload failed'))
  }
  const told = stopSignal(reload)
  const agent = await startAgent(config, log, configFile(given))
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
