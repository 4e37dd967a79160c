import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import test from 'node:test'
import { parsePolicy } from '../../../../config/policy/parse.ts'
import type { Policy } from '../../../../config/policy/policy.ts'
import { HookRegistry } from '../../../../collector/ingest/hooks.ts'
import { KernelPolicies, descriptorsOf } from '../../../../collector/policies/attach.ts'
import { createLog } from '../../../../collector/host/log.ts'
import { Policies } from '../../../../collector/policies/registry.ts'
import { SYMBOLS } from '../../../support/kernel/functions.ts'
import { ReplayKernel } from '../../../support/kernel/replay.ts'
import { kernel } from '../support/facts.ts'
import { idOf } from '../support/policies.ts'

function policyOf(name: string, calls: readonly string[], keys: object = {}): Policy {
  const kprobes = calls.map((call) => ({ call, syscall: false, args: [{ index: 0, type: 'file' }], ...keys }))
  const metadata = { name, annotations: { 'ktrail.dev/without-bpf-loop': 'by-name' } }
  const document = { apiVersion: 'ktrail.dev/v1alpha1', kind: 'TracingPolicy', metadata, spec: { kprobes } }
  const parsed = parsePolicy(JSON.stringify(document), `${name}.yaml`)
  assert.ok('policy' in parsed)
  return parsed.policy
}

test('attach: descriptors are needed for each function, not for each policy on it', () => {
  const policies = Array.from({ length: 200 }, (_, i) => policyOf(`p${i}`, ['f', 'g']))
  assert.equal(descriptorsOf(policies), descriptorsOf(policies.slice(0, 1)))
  const functions = Array.from({ length: 100 }, (_, i) => `f${i}`)
  assert.equal(descriptorsOf([policyOf('p', functions)]), 7 * 40 + 36 + 100 * 10)
})

test('attach: more selectors than a program has need a second one', () => {
  const policies = Array.from({ length: 600 }, (_, i) => policyOf(`p${i}`, ['f']))
  assert.equal(descriptorsOf(policies), 40 + 36 + 2 * 10)
})

test('attach: policies that match by name have one line in the log, and each has it in its status', async () => {
  const stream = new PassThrough()
  const log = createLog({ level: 'info', format: 'json' }, stream)
  const facts = kernel(5, 10)
  const programs = new ReplayKernel({ facts, symbols: SYMBOLS })
  const policies = new Policies(
    new KernelPolicies({ programs, hooks: new HookRegistry(), facts, log, begin: () => {} }),
  )
  const documents = ['any', 'one', 'two'].map((name) => {
    const by = name === 'any' ? { operator: 'Prefix', values: ['/etc'] } : { operator: 'UnderDir', values: ['/etc'] }
    return policyOf(name, ['security_file_permission'], { selectors: [{ matchArgs: [{ index: 0, ...by }] }] })
  })
  await policies.put(documents.map((policy) => ({ id: idOf(policy.name), policy, replaces: [] })))
  const limit = 'this kernel lacks bpf_loop: files by name, so hard links, other mounts and containers stay unseen'
  assert.deepEqual(
    String(stream.read())
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
      .map(({ msg, policies: names }) => [msg, names]),
    [[`2 policies limited: ${limit}`, ['one', 'two']]],
  )
  assert.deepEqual(
    policies.list().map(({ id, limited }) => [id.name, limited]),
    [
      ['any', []],
      ['one', [limit]],
      ['two', [limit]],
    ],
  )
})
