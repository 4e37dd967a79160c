/**
 * The records of each kernel for a short workload (`make record`), played to the real agent: its lines are those of
 * test/golden/recorded/KERNEL.jsonl. UPDATE_GOLDEN=1 rewrites these; review as code. Times of the host that plays are left out.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { summary } from '../../e2e/support/summary.ts'
import { RecordedAgent } from '../../support/kernel/recorded.ts'
import { KERNELS, loadScripted } from '../../support/recording/scripted.ts'
import { kernel as factsOf } from '../collector/support/facts.ts'
import { Folder } from '../exporters/support/folder.ts'
import { matchesGolden } from '../exporters/support/golden.ts'

for (const kernel of KERNELS) {
  test(`recorded: ${kernel}: the agent writes the golden lines`, async () => {
    const renew = `test/golden/recorded/${kernel}.json: expected records of this collector/wire/wire.ts: run make record KERNEL=${kernel}`
    const { parent, ends, bytes } = loadScripted(kernel) ?? assert.fail(renew)
    using folder = new Folder()
    const yaml = `node_name: recorder\nexporters: { archive: { type: file, path: ${folder.at('events.jsonl')} } }\n`
    const [major = 0, minor = 0] = kernel.split('.').map(Number)
    const recording = { bytes, processes: [parent] }
    const options = { facts: factsOf(major, minor), ends, rounds: 1 }
    const { kernel: played, agent } = await RecordedAgent.start({ folder: folder.path, yaml, recording, ...options })
    await played.played
    assert.deepEqual(await agent.stop(), { droppedAtStop: 0 })
    const lines = readFileSync(folder.at('events.jsonl'), 'utf8')
    matchesGolden(`recorded/${kernel}.jsonl`, lines.replaceAll(/"\d{4}-\d\d-\d\dT[\d:.]+Z"/g, '"TIME"'))
  })
}

test('recorded: all kernels have the same events', () => {
  const of = (kernel: string): string[] =>
    readFileSync(new URL(`../../golden/recorded/${kernel}.jsonl`, import.meta.url), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => summary(JSON.parse(line)))
  for (const kernel of KERNELS) assert.deepEqual(of(kernel), of('6.12'), kernel)
})
