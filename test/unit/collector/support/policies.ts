/** Policies without attached programs. */
import { Policies } from '../../../../collector/policies/registry.ts'
import type { PolicyId } from '../../../../collector/policies/registry.ts'
import type { Policy } from '../../../../config/policy/policy.ts'

export const idOf = (name: string, source = 'test'): PolicyId => ({ source, namespace: '', name })

export const policyOf = (name: string): Policy => ({ name, file: `${name}.yaml`, hooks: [] })

interface Row {
  readonly name: string
  /** Of its hooks. */
  readonly modes?: readonly string[]
  /** Optional calls that are missing. */
  readonly skipped?: readonly string[]
}

export function enabledPolicies(...rows: readonly Row[]): Policies {
  const policies = new Policies(({ name }) => {
    const { modes = [], skipped = [] } = rows.find((row) => row.name === name) ?? {}
    return {
      hooks: modes.map((mode, i) => ({ symbol: `f${i}`, mode })),
      skipped: skipped.map((symbol) => ({ symbol })),
      events: () => 0,
      [Symbol.dispose]() {},
    }
  })
  for (const { name } of rows) policies.add(idOf(name), policyOf(name))
  return policies
}
