/**
 * One agent for all files of this folder, which only add policies: an emulated guest takes a third of a minute to start one. test/run.sh runs
 * them in one process; a file that runs alone starts its own.
 *
 *   const agent = sharedAgent()
 *   before(() => agent().apply('mine', text))
 */
import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, before } from 'node:test'
import assert from 'node:assert/strict'
import { TestAgent } from '../support/agent.ts'

let shared: TestAgent | undefined

/** Withdraws the policies that a suite has added. */
async function leave(agent: TestAgent): Promise<void> {
  for (const file of readdirSync(agent.policies)) rmSync(join(agent.policies, file))
  const page = async (): Promise<string> => (await agent.get('/metrics')).text()
  await agent.until('no policy', async () => !(await page()).includes('\nktrail_policy_hooks{'))
  const metrics = await agent.metrics()
  assert.deepEqual(metrics.losses(), [])
  assert.equal(metrics.sum('ktrail_accounting_imbalance_events'), 0)
}

/** Call it in a suite: its tests get the agent without a policy, and leave it like that, with nothing lost. */
export function sharedAgent(): () => TestAgent {
  before(async () => {
    shared ??= await TestAgent.start()
  })
  after(async () => {
    if (shared !== undefined) await leave(shared)
  })
  return () => shared ?? assert.fail('the agent has not started')
}

// When all files of this process have ended.
after(async () => {
  if (shared !== undefined) assert.deepEqual(await shared.stop(), { code: 0, signal: null })
})
