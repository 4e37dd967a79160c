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

// The YAML parser is not timed here: it takes a second for such a text, and ten on a busy machine.
test('foreign: the time is linear in the size of a hostile text', () => {
  const problem = { file: 'c.yaml', line: 1, col: 1, message: 'no config' }
  for (const line of ['kind: a\n---\n', '- ', 'a:\n', '{', ' ', 'kind: TracingPolicy\n', 'a-: ', '\n', '-w']) {
    const text = line.repeat((1 << 20) / line.length)
    const started = performance.now()
    orForeign({ problems: [problem] }, text, 'c.yaml')
    const ms = performance.now() - started
    // It takes 30 ms at most; the square of the length would take minutes.
    assert.ok(ms < 2_000, `${JSON.stringify(line)}: ${ms} ms`)
  }
})
