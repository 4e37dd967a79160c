/** What signals ask of the agent besides its end. */
export interface Requests {
  /** SIGHUP. */
  readonly reload: () => void
  /** SIGUSR1: what a log rotator sends after it has moved a file. */
  readonly reopen: () => void
  /** SIGTERM or SIGINT once more: nobody wants to wait for the sinks. */
  readonly hurry: () => void
}

/** The first signal that ends the agent. After the second, further ones are left to Node's default: they end it at once. */
export function hearSignals({ reload, reopen, hurry }: Requests): Promise<NodeJS.Signals> {
  process.on('SIGHUP', reload)
  process.on('SIGUSR1', reopen)
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
