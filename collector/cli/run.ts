import { inspect } from 'node:util'
import { configWarnings } from '../../config/agent/warnings.ts'
import { startAgent } from '../agent.ts'
import type { RunningAgent } from '../running.ts'
import { notifySystemd } from '../host/notify.ts'
import { handleSignals } from '../host/signals.ts'
import { createLog } from '../telemetry/log.ts'
import type { Log } from '../telemetry/log.ts'
import { CONFIG_OPTION, configFile, readArguments, readConfig, UsageError } from './command.ts'
import type { Command } from './command.ts'

/** `ktrail run`: the agent, until a signal ends it. */
export const runCommand: Command = async (args, terminal) => {
  const given = readArguments(args, CONFIG_OPTION)
  const [extra] = given.positionals
  if (extra !== undefined) throw new UsageError(`run takes no file, got "${extra}": use --config FILE`)
  const loaded = await readConfig(given, terminal)
  const file = configFile(given)
  const log = createLog(loaded.config.log)
  for (const { message } of await configWarnings(loaded, file)) log.warn(message)
  return live((stop) => startAgent(loaded, log, stop, file), log)
}

/**
 * The life of an agent in this process, until a signal or an exception that nobody caught ends it, drained; `start` rejects
 * with the reason of its signal when it is ended by that. Resolves to the exit code. Rejects with what else `start` threw, and
 * with what broke the agent.
 */
export async function live(start: (stop: AbortSignal) => Promise<RunningAgent>, log: Log): Promise<number> {
  // Heard from here on: unheard, a hang-up would end the start, and a SIGTERM just after "ready" the agent without a drain.
  const { promise: running, resolve: runs } = Promise.withResolvers<RunningAgent>()
  const failing = (what: string) => (error: unknown) => log.error({ error: String(error) }, `${what} failed`)
  using exceptions = new Exceptions(log)
  const signalled = handleSignals({
    reload: () => void running.then((agent) => agent.reload()).catch(failing('reload')),
    reopen: () => void running.then((agent) => agent.reopen()).catch(failing('reopening')),
    hurry: () => void running.then((agent) => agent.hurry()),
  })
  const reported = Promise.race([signalled, exceptions.first])
  const stop = new AbortController()
  void reported.then(() => stop.abort())
  const agent = await start(stop.signal).catch((error: unknown) => {
    if (error !== stop.signal.reason) throw error
    return undefined
  })
  if (agent === undefined) {
    log.info({ signal: await reported }, 'stopped before it was ready')
    return exceptions.count === 0 ? 0 : 1
  }
  runs(agent)
  notifySystemd('ready', (message) => log.warn(message))
  const signal = await Promise.race([agent.failed, reported]).catch(async (error: unknown) => {
    // What is held already may still be delivered.
    await agent.stop()
    throw error
  })
  log.info({ signal }, 'stopping')
  notifySystemd('stopping', (message) => log.warn(message))
  const { droppedAtStop } = await agent.stop()
  if (droppedAtStop > 0) {
    log.error(
      { events: droppedAtStop },
      'stopped with events that no exporter took in time: raise shutdown.grace, or repair the sink',
    )
  }
  return droppedAtStop === 0 && exceptions.count === 0 ? 0 : 1
}

/**
 * Exceptions, and rejections of promises, that nobody caught, from now on: Node would end the process and lose the events it holds.
 * Most likely they are a package's, out of a timer or a callback.
 */
class Exceptions implements Disposable {
  count = 0
  readonly first: Promise<'exception'>
  readonly #hear: (error: unknown) => void

  constructor(log: Log) {
    const first = Promise.withResolvers<'exception'>()
    this.first = first.promise
    this.#hear = (error) => {
      // Logged once: one that comes with each turn of a timer would fill the log while the agent drains.
      if (++this.count > 1) return
      first.resolve('exception')
      // Not the value's own words: they may be a getter that throws.
      const stack = inspect(error, { customInspect: false })
      const [what] = stack.split('\n', 1)
      log.fatal(
        { stack },
        `uncaught exception, so the agent drains and stops; the stack shows where it comes from: ${what}`,
      )
    }
    process.on('uncaughtException', this.#hear)
  }

  /** The end of the process is for Node again: one that is thrown by the exit itself must not keep it from ending. */
  [Symbol.dispose](): void {
    process.off('uncaughtException', this.#hear)
  }
}
