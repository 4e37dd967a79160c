/**
 * Work on paths whose file system may never answer (a network mount with an unreachable server, FUSE). Such work blocks one of Node's four
 * threads until the kernel returns, and `process.exit` waits for all of them. So it is done one at a time, given up after a deadline, and not
 * begun while two threads are still blocked.
 */
const DEADLINE_MS = 5000
const DEADLINE_PARTS = 5
const MOST_HUNG = 2

/** Paths whose work was given up but still blocks a thread. */
const hung = new Set<string>()
/** Other abandoned work. It does not block reads of files. */
let givenUp = 0
let turn: Promise<unknown> = Promise.resolve()

/** Number of blocked threads. `process.exit` would wait for them. */
export function hungThreads(): number {
  return hung.size + givenUp
}

/** Counts work on one of Node's threads that nothing waits for any more, until it ends. */
export function giveUp(working: Promise<unknown>): void {
  givenUp++
  const over = (): void => void givenUp--
  working.then(over, over)
}

/** The result of `work` on `path`. Rejects like `work`, and when the file system does not answer. */
export function answered<T>(path: string, work: () => Promise<T>, deadlineMs: number = DEADLINE_MS): Promise<T> {
  const result = turn.then(() => inTime(path, work, deadlineMs))
  turn = result.catch(() => undefined)
  return result
}

async function inTime<T>(path: string, work: () => Promise<T>, deadlineMs: number): Promise<T> {
  const seconds = deadlineMs / 1000
  const silent = new Error(`its file system does not answer within ${seconds} s; check its server`)
  if (hung.has(path)) throw silent
  if (hung.size >= MOST_HUNG) {
    throw new Error(
      `not read: the file systems of ${[...hung].map((other) => JSON.stringify(other)).join(' and ')} do not answer`,
    )
  }
  const { promise: late, reject } = Promise.withResolvers<never>()
  const working = work()
  // The wait is in parts: after a delay of seconds the answer may be ready, and the event loop must handle it first.
  let left = DEADLINE_PARTS
  const timer = setInterval(() => {
    if (--left > 0) return
    clearInterval(timer)
    hung.add(path)
    const over = (): void => void hung.delete(path)
    working.then(over, over)
    reject(silent)
  }, deadlineMs / DEADLINE_PARTS)
  try {
    return await Promise.race([working, late])
  } finally {
    clearInterval(timer)
  }
}
