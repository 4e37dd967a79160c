/** An agent during an attack, and after it: /livez never fails, memory returns to its former level, and the accounting is exact. */
import { setTimeout } from 'node:timers/promises'
import { memoryOf } from '../../../support/memory.ts'
import type { TestAgent } from '../../support/agent.ts'
import { audited, balanced } from '../../support/faults.ts'
import { livez } from './livez.ts'

/** How long memory may take to return. */
const REST_MS = 60_000
/** Memory at rest differs by 10 MiB from one sample to the next: V8 collects only worthwhile amounts, and code comes and goes. */
const REST_SLACK_BYTES = 12 << 20
const restBound = (restBytes: number): number => 1.2 * restBytes + REST_SLACK_BYTES

/** Requests /livez again and again until `work` is done. Returns the longest time of an answer. */
export async function alive(agent: TestAgent, work: Promise<unknown>): Promise<number> {
  let longestMs = 0
  const done = work.then(() => true)
  do {
    longestMs = Math.max(longestMs, await livez(agent))
  } while (!(await Promise.race([done, setTimeout(100, false)])))
  return longestMs
}

/** Waits until private memory is back at `restBytes`, and checks the accounting. Returns the private memory. */
export async function recovered(agent: TestAgent, restBytes: number): Promise<number> {
  const peakBytes = memoryOf(agent.pid).privateBytes
  let nowBytes = peakBytes
  await agent.until(
    `private memory to go back from ${restBytes >> 20} MiB before and ${peakBytes >> 20} now to ${restBound(restBytes) >> 20}`,
    () => (nowBytes = memoryOf(agent.pid).privateBytes) <= restBound(restBytes),
    REST_MS,
  )
  await audited(agent)
  await balanced(agent)
  return nowBytes
}
