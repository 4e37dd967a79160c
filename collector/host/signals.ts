import { unblockSigusr1 } from '../../native/index.ts'

/** Reactions to signals. */
export interface Requests {
  /** SIGHUP. */
  readonly reload: () => unknown
  /** SIGUSR1: sent by a log rotator after it has moved a file. */
  readonly reopen: () => unknown
  /** A second SIGTERM or SIGINT: stop without waiting for the sinks. */
  readonly hurry: () => void
}

/** Resolves to the first SIGTERM or SIGINT. A third one ends the process at once (Node's default). */
export function handleSignals({ reload, reopen, hurry }: Requests): Promise<NodeJS.Signals> {
  process.on('SIGHUP', inTurn(reload))
  process.on('SIGUSR1', inTurn(reopen))
  unblockSigusr1()
  const first = end()
  void first.then(end).then(hurry)
  return first
}

/** Runs `work` for each call, but one at a time, and at most one waits: signals may come faster than files reopen. `work` must not reject. */
function inTurn(work: () => unknown): () => void {
  let isWaiting = false
  let turn: Promise<unknown> = Promise.resolve()
  return () => {
    if (isWaiting) return
    isWaiting = true
    turn = turn.then(() => {
      isWaiting = false
      return work()
    })
  }
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
