import assert from 'node:assert/strict'
import test from 'node:test'
import { parsePolicy } from '../../../../config/policy/parse.ts'
import type { Policy } from '../../../../config/policy/policy.ts'
import { descriptorsOf } from '../../../../collector/policies/attach.ts'

function policyOf(name: string, calls: readonly string[]): Policy {
  const kprobes = calls.map((call) => ({ call, syscall: false, args: [{ index: 0, type: 'file' }] }))
  const document = { apiVersion: 'cilium.io/v1alpha1', kind: 'TracingPolicy', metadata: { name }, spec: { kprobes } }
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
