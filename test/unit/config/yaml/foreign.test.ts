/** Files for other programs; test/fixtures/wrong/foreign.txt has the messages. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { loadConfig } from '../../../../config/agent/load.ts'
import { parsePolicy } from '../../../../config/policy/parse.ts'

test('foreign: a valid file is read, whatever its texts look like', () => {
  const policy = `apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata:
  name: p
  annotations:
    about: |
      {{ a template }}
spec: {kprobes: [{call: sys_lseek}]}
`
  assert.ok('policy' in parsePolicy(policy, 'p.yaml'))
  const config = 'exporters: {out: {type: stdout}}\nnode_name: |-\n  {{ a template }}\n'
  assert.ok('config' in loadConfig(config, 'c.yaml', {}))
})

test('foreign: the time is linear in the size of a hostile text', () => {
  for (const line of ['kind: a\n---\n', '- ', 'a:\n', '{', ' ', 'kind: TracingPolicy\n']) {
    const text = line.repeat((256 << 10) / line.length)
    const started = performance.now()
    assert.ok('problems' in parsePolicy(text, 'p.yaml'))
    assert.ok('problems' in loadConfig(text, 'c.yaml', {}))
    const ms = performance.now() - started
    assert.ok(ms < 5_000, `${JSON.stringify(line)}: ${ms} ms`)
  }
})
