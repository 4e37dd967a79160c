/** A policy on its way into the kernel and out of it, with what the rest of the agent must know of that. */
import type { Policy } from '../../config/policy/policy.ts'
import { takesDescriptors } from '../host/descriptors.ts'
import type { HookRegistry } from '../ingest/hooks.ts'
import type { PolicyPrograms } from '../kernel/policy-programs.ts'
import type { Log } from '../telemetry/log.ts'
import type { PolicyChange } from './folder.ts'
import type { Attached } from './registry.ts'

/** Most that a policy takes: its maps and BTF, and for each hook its programs and links. */
const descriptorsOf = ({ hooks }: Policy): number => 16 + 4 * hooks.length

/**
 * Attaches a policy and logs the optional calls that this kernel does not have; disposing detaches it and retires the hooks.
 * Throws what loading throws.
 */
export function attachPolicy(policy: Policy, programs: PolicyPrograms, registry: HookRegistry, log: Log): Attached {
  takesDescriptors(`policy "${policy.name}"`, descriptorsOf(policy))
  const loaded = programs.load(policy)
  for (const { symbol, message } of loaded.skipped) {
    log.warn({ policy: policy.name, call: symbol }, `optional call skipped: ${message}`)
  }
  const ids = loaded.hooks.map(({ hook }) => hook.id)
  for (const { hook, spec } of loaded.hooks) registry.add(hook, spec)
  return {
    hooks: loaded.hooks,
    skipped: loaded.skipped,
    events: () => registry.eventsOf(ids),
    [Symbol.dispose]() {
      loaded[Symbol.dispose]()
      registry.retire(ids)
    },
  }
}

/** Logs what became of a policy file. */
export const policyLog =
  (log: Log) =>
  (change: PolicyChange, file: string, detail: string): void => {
    if (change === 'refused') log.error({ file }, `policy refused, what was in force stays: ${detail}`)
    else log.info({ file, policy: detail }, `policy ${change}`)
  }
