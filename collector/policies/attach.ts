/** A policy on its way into the kernel and out of it, with what the rest of the agent must know of that. */
import { takesDescriptors } from '../host/descriptors.ts'
import type { HookRegistry } from '../ingest/hooks.ts'
import type { KernelSide, LoadedPolicy } from '../kernel/kernel-side.ts'
import type { Log } from '../telemetry/log.ts'
import type { Losses } from '../telemetry/losses.ts'

/** Most that a policy takes: its maps and BTF, and for each hook its programs and links. */
const descriptorsOf = ({ kprobes }: LoadedPolicy['policy']): number => 16 + 4 * kprobes.length

/**
 * Attaches a policy and logs the optional calls that this kernel does not have; disposing detaches it, keeps what its
 * hooks missed, and retires the hooks. Throws what loading throws.
 */
export function attachPolicy(
  policy: LoadedPolicy['policy'],
  kernel: KernelSide,
  hooks: HookRegistry,
  losses: () => Losses | undefined,
  log: Log,
): LoadedPolicy {
  takesDescriptors(`policy "${policy.name}"`, descriptorsOf(policy))
  const loaded = kernel.loadPolicy(policy)
  for (const { symbol, message } of loaded.skipped) {
    log.warn({ policy: policy.name, call: symbol }, `optional call skipped: ${message}`)
  }
  for (const { hook, spec } of loaded.hooks) hooks.add(hook, spec)
  let detached = false
  return {
    policy,
    hooks: loaded.hooks,
    skipped: loaded.skipped,
    [Symbol.dispose]() {
      if (detached) return
      detached = true
      losses()?.remember(loaded)
      loaded[Symbol.dispose]()
      hooks.retire(loaded.hooks.map(({ hook }) => hook.id))
    },
  }
}

/** Says what became of a policy file. */
export function logPolicy(log: Log, change: string, file: string, detail: string): void {
  if (change === 'refused') log.error({ file }, `policy refused, what was in force stays: ${detail}`)
  else log.info({ file, policy: detail }, `policy ${change}`)
}
