/** Files for other programs; test/fixtures/wrong/foreign.txt has the messages. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { loadConfig } from '../../../../config/agent/load.ts'
import { parsePolicy } from '../../../../config/policy/parse.ts'
import { orForeign } from '../../../../config/yaml/foreign.ts'

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

const HOSTILE = [
  'kind: a\n---\n',
  '- ',
  'a:\n',
  '{',
  ' ',
  'kind: TracingPolicy\n',
  'a-: ',
  '\n',
  '-w',
  'services:\n',
  'groups:\n',
  ' image:\n',
  '{"events_lost":',
  'exporters:\n',
]

test('foreign: a hostile text is refused as a policy and as a config', () => {
  for (const line of HOSTILE) {
    const text = line.repeat((256 << 10) / line.length)
    assert.ok('problems' in parsePolicy(text, 'p.yaml'), line)
    assert.ok('problems' in loadConfig(text, 'c.yaml', {}), line)
  }
})

// The YAML parser is not timed here: for 256 KiB it took 0.6 s on one machine, and 6 s on a busy one.
test('foreign: the time is linear in the size of a hostile text', () => {
  const problem = { file: 'c.yaml', line: 1, col: 1, message: 'no config' }
  for (const line of HOSTILE) {
    const text = line.repeat((1 << 20) / line.length)
    const started = performance.now()
    orForeign({ problems: [problem] }, text, 'c.yaml', 'config')
    orForeign({ problems: [problem] }, text, 'c.yaml', 'policy')
    const ms = performance.now() - started
    // It takes 30 ms at most; the square of the length would take minutes.
    assert.ok(ms < 2_000, `${JSON.stringify(line)}: ${ms} ms`)
  }
})
