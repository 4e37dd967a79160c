import { unblockSigusr1 } from '../../native/index.ts'
import { inTurn } from '../../config/base/mutex.ts'

/** Reactions to signals, which may come faster than files reopen. */
export interface Requests {
  /** SIGHUP: reads config and policies again. `reopened` resolves when the `reopen` of the same signal has ended. */
  readonly reload: (reopened: Promise<unknown>) => unknown
  /** SIGUSR1 and SIGHUP: sent by a log rotator after it has moved a file. */
  readonly reopen: () => unknown
  /** A second SIGTERM or SIGINT: stop without waiting for the sinks. */
  readonly hurry: () => void
  /** SIGUSR2: the program has a new version, which is to take over. */
  readonly replace: () => unknown
}

/** Resolves to the first SIGTERM or SIGINT. A third one ends the process at once (Node's default). */
export function handleSignals({ reload, reopen, hurry, replace }: Requests): Promise<NodeJS.Signals> {
  let reopened: Promise<unknown> = Promise.resolve()
  const reopenInTurn = inTurn(reopen)
  const reloadInTurn = inTurn(() => reload(reopened))
  process.on('SIGUSR1', () => void reopenInTurn())
  process.on('SIGHUP', () => {
    // Does not wait for a reload: until its end, a moved file would be written.
    reopened = reopenInTurn()
    void reloadInTurn()
  })
  const replaceInTurn = inTurn(replace)
  process.on('SIGUSR2', () => void replaceInTurn())
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
