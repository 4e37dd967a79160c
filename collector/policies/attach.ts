/** Attaches policies to the kernel side and registers their hooks with ingest. */
import type { Policy } from '../../config/policy/policy.ts'
import { requireDescriptors } from '../host/descriptors.ts'
import type { HookRegistry } from '../ingest/hooks.ts'
import type { PolicyPrograms } from '../kernel/policy-programs.ts'
import type { Log } from '../telemetry/log.ts'
import type { PolicyChange } from './folder.ts'
import type { Attached } from './registry.ts'

/** Upper bounds of a policy's descriptors: maps and BTF, and for each hook its programs and links. */
const descriptorsOf = ({ hooks }: Policy): number => 16 + 4 * hooks.length

/**
 * Attaches a policy and logs the optional calls that this kernel does not have; disposing detaches it and retires the hooks.
 * Rejects with what loading throws.
 */
export async function attachPolicy(
  policy: Policy,
  programs: PolicyPrograms,
  registry: HookRegistry,
  log: Log,
): Promise<Attached> {
  requireDescriptors(`policy "${policy.name}"`, descriptorsOf(policy))
  const loaded = await programs.load(policy)
  for (const { symbol, message } of loaded.skipped) {
    log.warn({ policy: policy.name, call: symbol }, `optional call skipped: ${message}`)
  }
  const ids = loaded.hooks.map(({ hook }) => hook.id)
  for (const { hook, spec } of loaded.hooks) registry.add(hook, spec)
  return {
    hooks: loaded.hooks,
    skipped: loaded.skipped,
    events: () => registry.eventsOf(ids),
    async [Symbol.asyncDispose]() {
      await loaded[Symbol.asyncDispose]()
      registry.retire(ids)
    },
  }
}

/** Logs changes of policy files. */
export const policyLog =
  (log: Log) =>
  (change: PolicyChange, file: string, detail: string): void => {
    if (change === 'refused') log.error({ file }, `policy refused, the effective policies stay unchanged: ${detail}`)
    else log.info({ file, policy: detail }, `policy ${change}`)
  }
