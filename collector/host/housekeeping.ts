/** What the parts of the agent do every two seconds, one after the other. */
const TICK_MS = 2_000

/** Begins with it; disposing ends it. */
export function housekeeping(tasks: ReadonlyArray<() => void>): Disposable {
  const timer = setInterval(() => {
    for (const task of tasks) task()
  }, TICK_MS)
  return { [Symbol.dispose]: () => clearInterval(timer) }
}
