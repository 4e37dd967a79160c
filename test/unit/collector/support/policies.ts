/** Policies without attached programs. */
import type { Policies, PolicyId, PolicyStatus } from '../../../../collector/policies/registry.ts'
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

export function enabledPolicies(...rows: readonly Row[]): Pick<Policies, 'list'> {
  const enabled = rows.map(({ name, modes = [], skipped = [] }): PolicyStatus => ({
    id: idOf(name),
    state: 'enabled',
    error: undefined,
    policy: policyOf(name),
    hooks: modes.map((mode, i) => ({ symbol: `f${i}`, mode })),
    skipped: skipped.map((symbol) => ({ symbol })),
    events: 0,
  }))
  return { list: () => enabled }
}
