import { unblockSigusr1 } from '../../native/index.ts'

/** Reactions to signals. */
export interface Requests {
  /** SIGHUP. */
  readonly reload: () => void
  /** SIGUSR1: sent by a log rotator after it has moved a file. */
  readonly reopen: () => void
  /** A second SIGTERM or SIGINT: stop without waiting for the sinks. */
  readonly hurry: () => void
}

/** Resolves to the first SIGTERM or SIGINT. A third one ends the process at once (Node's default). */
export function handleSignals({ reload, reopen, hurry }: Requests): Promise<NodeJS.Signals> {
  process.on('SIGHUP', reload)
  process.on('SIGUSR1', reopen)
  unblockSigusr1()
  const first = end()
  void first.then(end).then(hurry)
  return first
}

/** The next SIGTERM or SIGINT. */
function end(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    const heard = (signal: NodeJS.Signals): void => {
      process.off('SIGTERM', heard)
      process.off('SIGINT', heard)
      resolve(signal)
    }
    process.on('SIGTERM', heard)
    process.on('SIGINT', heard)
  })
}
