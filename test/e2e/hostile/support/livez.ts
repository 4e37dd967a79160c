import assert from 'node:assert/strict'
import { setTimeout } from 'node:timers/promises'
import type { TestAgent } from '../../support/agent.ts'

/** A kubelet retries after a second by default; the guest is emulated, the agent has one thread, and attacks use both CPUs. */
const WITHIN_MS = 10_000

/**
 * Requests /livez until it is answered and returns the milliseconds that it took. If a flood of connections displaces the client before its request
 * is read (docs/explanation/security.md), it sends another request. Throws if the answer is not 200, or too late.
 */
export async function livez(agent: TestAgent): Promise<number> {
  const fromMs = performance.now()
  const signal = AbortSignal.timeout(WITHIN_MS)
  for (;;) {
    const answer = await agent.get('/livez', signal).catch((error: unknown) => {
      // `fetch` throws a TypeError for a closed connection.
      if (signal.aborted || !(error instanceof TypeError)) throw error
      return undefined
    })
    if (answer !== undefined) {
      assert.equal(answer.status, 200, await answer.text())
      return performance.now() - fromMs
    }
    await setTimeout(10)
  }
}
