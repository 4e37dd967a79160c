import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { setTimeout as pause } from 'node:timers/promises'
import { inspect } from 'node:util'
import { configWarnings } from '../../config/agent/warnings.ts'
import { startAgent } from '../agent.ts'
import type { RunningAgent } from '../running.ts'
import { FailedStarts } from '../host/systemd/failed-starts.ts'
import { SystemdNotify } from '../host/systemd/notify.ts'
import { untilReplaced } from '../host/sockets/handed-over.ts'
import { handleSignals } from '../host/signals.ts'
import { createLog } from '../host/log.ts'
import type { Log } from '../host/log.ts'
import { exitCodeOf } from './command.ts'
import type { Command } from './command.ts'
import { readConfig } from './config-file.ts'

const TAKEOVER = '--takeover'

/** `ktrail run`: runs the agent until a signal ends it. */
export const runCommand: Command = async (given, terminal) => {
  // Not the config of an agent that runs: this one may be started to replace it.
  const loaded = await readConfig(given, terminal, false)
  const { file } = loaded
  const log = createLog(loaded.config.log)
  for (const { message } of await configWarnings(loaded, file)) log.warn(message)
  const takesOver = given.flag('takeover')
  const inPod = terminal.env['KUBERNETES_SERVICE_HOST'] !== undefined
  return live(
    (stop) => startAgent({ loaded, configFile: file, log, stop, takesOver }),
    log,
    async (signalled) => inPod && untilReplaced(loaded.config.server.http, signalled),
  )
}

/**
 * Runs an agent in this process until a signal or an uncaught exception ends it; drains it first. `start` must reject with the reason of its
 * AbortSignal when that ends it. `handedOver`: called after another agent took over. Resolves to the exit code. Rejects with any other error of `start`, and with the error that made the agent fail.
 */
export async function live(
  start: (stop: AbortSignal) => Promise<RunningAgent>,
  log: Log,
  handedOver: (signalled: Promise<unknown>) => Promise<unknown>,
): Promise<number> {
  // Signals are handled from here on: else SIGHUP would end the start, and SIGTERM just after "ready" would end the agent without a drain.
  const { promise: running, resolve: runs } = Promise.withResolvers<RunningAgent>()
  const failing = (what: string) => (error: unknown) => log.error({ error: String(error) }, `${what} failed`)
  using exceptions = new Exceptions(log)
  using notify = new SystemdNotify({ warn: (message) => log.warn(message) })
  const signalled = handleSignals({
    reload: (reopened) => running.then((agent) => reload(agent, notify, reopened)).catch(failing('reload')),
    reopen: () => running.then((agent) => agent.reopen()).catch(failing('reopening')),
    hurry: () => void running.then((agent) => agent.hurry()),
    replace: () => running.then(() => startSuccessor(log, notify)),
  })
  const reported = Promise.race([signalled, exceptions.first])
  const stop = new AbortController()
  void reported.then(() => stop.abort())
  const failedStarts = new FailedStarts()
  const agent = await start(stop.signal).catch(async (error: unknown) => {
    if (error === stop.signal.reason) return undefined
    const waitMs = exitCodeOf(error) === 1 ? failedStarts.add() : 0
    if (waitMs > 0) {
      const text = `the start failed again; retrying in ${waitMs / 1000} s: ${error instanceof Error ? error.message : String(error)}`
      log.error(text)
      notify.waiting(waitMs, text)
    }
    await pause(waitMs, undefined, { signal: stop.signal }).catch(() => failedStarts.clear())
    if (stop.signal.aborted) return undefined
    throw error
  })
  if (agent === undefined) {
    log.info({ signal: await reported }, 'stopped before it was ready')
    return exceptions.count === 0 ? 0 : 1
  }
  failedStarts.clear()
  notify.ready(() => agent.alive())
  runs(agent)
  const why = await Promise.race([agent.failed, reported, agent.replaced()]).catch(async (error: unknown) => {
    // Held events may still be delivered.
    await agent.stop()
    throw error
  })
  if (typeof why === 'number') {
    log.info({ pid: why }, 'stopping: another agent has taken over')
    notify.handingOver(why)
  } else {
    log.info({ signal: why }, 'stopping')
    notify.stopping()
  }
  const { droppedAtStop } = await agent.stop()
  if (droppedAtStop > 0) {
    log.error(
      { events: droppedAtStop },
      'stopped before all events were delivered: raise shutdown.grace, or repair the sink',
    )
  }
  if (typeof why === 'number') await handedOver(signalled)
  return droppedAtStop === 0 && exceptions.count === 0 ? 0 : 1
}

/** Starts the program again, in its new version, to take over from this process. Resolves when it has ended: this agent then goes on. */
async function startSuccessor(log: Log, notify: SystemdNotify): Promise<void> {
  const words = process.argv.slice(1).filter((word) => word !== TAKEOVER)
  log.info('starting the next agent, which takes over')
  notify.status('starting the next agent')
  // It answers the watchdog with a pid of its own.
  const { WATCHDOG_PID: _, ...env } = process.env
  // As a child of the service manager, which does not wait for the end of any other main process. The pipe ends with it.
  const child = spawn('/bin/sh', ['-c', '"$0" "$@" &', process.execPath, ...process.execArgv, ...words, TAKEOVER], {
    env,
    stdio: ['inherit', 'inherit', 'inherit', 'pipe'],
  })
  const pipe = child.stdio[3] as Readable
  const ended = await Promise.race([once(pipe.resume(), 'close'), once(child, 'error')]).then(
    ([error]) => (error instanceof Error ? error.message : 'it has ended, with its reason above'),
    (error: unknown) => String(error),
  )
  const text = `the next agent did not take over, and this one goes on: ${ended}`
  log.error(text)
  notify.status(text)
}

async function reload(agent: RunningAgent, notify: SystemdNotify, reopened: Promise<unknown>): Promise<void> {
  notify.reloading()
  const refused = await agent.reload().catch((error: unknown) => {
    notify.reloaded(`the reload failed: ${String(error)}`)
    throw error
  })
  await reopened
  notify.reloaded(
    refused === undefined ? '' : `the changed config is refused, and the previous config stays in effect: ${refused}`,
  )
}

/**
 * Handles uncaught exceptions and rejections, for which Node would end the process and lose the held events. Most likely they come from a timer
 * or callback of a package.
 */
class Exceptions implements Disposable {
  count = 0
  readonly first: Promise<'exception'>
  readonly #handle: (error: unknown) => void

  constructor(log: Log) {
    const first = Promise.withResolvers<'exception'>()
    this.first = first.promise
    this.#handle = (error) => {
      // Only the first is logged: an exception of a periodic timer would fill the log while the agent drains.
      if (++this.count > 1) return
      first.resolve('exception')
      // No custom inspection: it may throw.
      const stack = inspect(error, { customInspect: false })
      const [what] = stack.split('\n', 1)
      log.fatal(
        { stack },
        `the agent drains and stops after an uncaught exception; the stack shows its origin: ${what}`,
      )
    }
    process.on('uncaughtException', this.#handle)
  }

  /** Restores Node's handling: an exception during the exit must not keep the process running. */
  [Symbol.dispose](): void {
    process.off('uncaughtException', this.#handle)
  }
}
