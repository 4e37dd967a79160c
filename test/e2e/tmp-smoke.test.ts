import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import test from 'node:test'
import { TestAgent, cannotRun, freshFolder } from './support/agent.ts'
import { fileHook, path, policy } from './support/policy.ts'

test('smoke', { skip: cannotRun() }, async () => {
  const t0 = performance.now()
  await using agent = await TestAgent.start()
  const t1 = performance.now()
  const folder = freshFolder('x')
  writeFileSync(`${folder}/y`, 'hello')
  console.log(await agent.apply('mine', policy('mine', [fileHook([path('Prefix', `${folder}/`)])])))
  const t2 = performance.now()
  const lines = await agent.during(() => execFileSync('cat', [`${folder}/y`]))
  const t3 = performance.now()
  for (const line of lines) console.log(JSON.stringify(line))
  console.log({ start: t1 - t0, apply: t2 - t1, during: t3 - t2 })
  await agent.withdraw('mine')
  const m = await agent.metrics()
  console.log(m.losses(), m.sum('ktrail_accounting_imbalance_events'))
  console.log(await agent.stop())
  assert.ok(lines.length > 0)
})
