const TICK_MS = 2_000

/** Runs the periodic tasks of the agent's parts every TICK_MS; disposing ends it. */
export function housekeeping(tasks: ReadonlyArray<() => void>): Disposable {
  const timer = setInterval(() => {
    for (const task of tasks) task()
  }, TICK_MS)
  return { [Symbol.dispose]: () => clearInterval(timer) }
}
