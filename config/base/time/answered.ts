/**
 * Work on paths whose file system may never answer (a network mount with an unreachable server, FUSE). Such work blocks one of Node's four
 * threads until the kernel returns, and `process.exit` waits for all of them. So it is done one at a time, given up after a deadline, and not
 * begun while two threads are still blocked.
 */
import { Mutex } from '../mutex.ts'
import { inTime } from './in-time.ts'

const DEADLINE_MS = 5000
const MOST_HUNG = 2

/** Paths whose work was given up but still blocks a thread. */
const hung = new Set<string>()
/** Other abandoned work. It does not block reads of files. */
let givenUp = 0
const turns = new Mutex()

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
  return turns.run(() => unlessHung(path, work, deadlineMs))
}

async function unlessHung<T>(path: string, work: () => Promise<T>, deadlineMs: number): Promise<T> {
  const seconds = deadlineMs / 1000
  const silent = new Error(`its file system does not answer within ${seconds} s; check its server`)
  if (hung.has(path)) throw silent
  if (hung.size >= MOST_HUNG) {
    throw new Error(
      `not read: the file systems of ${[...hung].map((other) => JSON.stringify(other)).join(' and ')} do not answer`,
    )
  }
  const working = work()
  return inTime(working, deadlineMs, (over: PromiseWithResolvers<never>) => {
    hung.add(path)
    const gone = (): void => void hung.delete(path)
    working.then(gone, gone)
    over.reject(silent)
  })
}
