/** Changes of policies, by the API and by files, and of the config are records of the real agent. The kernel plays records. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ApiClient } from '../../../collector/api/client.ts'
import { FineGuidanceSensors } from '../../../collector/proto/tetragon/sensors_pb.js'
import { TestAgent, cannotReplay, hostFolder } from '../../e2e/support/agent.ts'
import { fileHook, path, policy } from '../../e2e/support/policy.ts'
import { typed } from '../../unit/collector/cli/support/terminal.ts'

const skip = cannotReplay()

test('changes: each makes a record with its author, and ktrail audit lists them', { skip }, async () => {
  const address = `unix://${hostFolder('changes')}/ktrail.sock`
  await using agent = await TestAgent.start({
    replayed: true,
    archive: { envelope: true },
    config: { server: { http: '127.0.0.1:0', grpc: address } },
  })
  using client = new ApiClient(address)
  const { method } = FineGuidanceSensors
  await client.call(method.addTracingPolicy, { yaml: policy('secret', [fileHook([path('Prefix', '/w/')])]) })
  await client.call(method.deleteTracingPolicy, { name: 'secret' })
  await agent.apply('kills', policy('kills', [fileHook([path('Equal', '/none')])]))
  await agent.withdraw('kills')
  const config = join(agent.folder, 'config.yaml')
  const { exporters, ...rest } = JSON.parse(readFileSync(config, 'utf8'))
  const archive = { ...exporters.archive, filter: { event_types: ['process_exec'] } }
  writeFileSync(config, JSON.stringify({ ...rest, exporters: { archive } }))
  const what = (): unknown[] => agent.lines().flatMap(({ agent_change: change }) => change?.['what'] ?? [])
  await agent.until('the config to be reloaded', () => what().includes('config_changed'))
  const peer = `api uid=0 pid=${process.pid}`
  const file = `file ${join(agent.policies, 'kills.yaml')}`
  const about = { names: ['secret'], count: 1, mode: 'monitor' }
  assert.deepEqual(
    agent.lines().flatMap(({ agent_change: change }) => change ?? []),
    [
      { what: 'policy_added', by: peer, ...about },
      { what: 'policy_removed', by: peer, ...about },
      { what: 'policy_added', by: file, ...about, names: ['kills'] },
      { what: 'policy_removed', by: file, ...about, names: ['kills'] },
      { what: 'config_changed', by: `file ${config}`, names: ['exporters.archive.filter.event_types[0]'], count: 1 },
    ],
  )
  const { stdout } = await typed(['audit', join(agent.folder, 'events.jsonl')])
  assert.match(stdout, new RegExp(`^  \\S+Z policy_removed secret \\(monitor\\) by ${peer}$`, 'm'))
  assert.match(stdout, / config_changed exporters\.archive\.filter\.event_types\S* by file /)
})
