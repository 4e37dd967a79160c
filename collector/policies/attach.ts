/** Attaches policies to the kernel side and registers their hooks with ingest. */
import { plural } from '../../config/base/counts.ts'
import type { Policy } from '../../config/policy/policy.ts'
import { isShipped } from '../../config/policy/sources/library.ts'
import { requireDescriptors } from '../host/descriptors.ts'
import type { HookRegistry } from '../ingest/hooks.ts'
import type { KernelFacts } from '../plan/facts.ts'
import { NOTHING_DONE } from '../kernel/actions/acted.ts'
import { HOOK_SLOTS, SELECTORS_MAX } from '../wire/wire.ts'
import type { KernelPrograms } from '../kernel/port.ts'
import type { LoadedPolicy } from '../plan/plan.ts'
import { hookedOtherwise } from '../kernel/symbols.ts'
import type { Log } from '../host/log.ts'
import type { PolicyChange } from './folder.ts'
import type { Attached, PolicyKernel, SelectorDone } from './registry.ts'

/** Maps and BTF of a loaded hook.bpf.o. */
const OBJECT_DESCRIPTORS = 40
/** Descriptors of gate.bpf.o, which is closed when its programs are attached: one at a time. */
const GATE_DESCRIPTORS = 2 * HOOK_SLOTS + 4
/** Programs, gates, attached programs and links of a function, with two ends and a program that makes calls fail. */
const FUNCTION_DESCRIPTORS = 10

/** Upper bound of the descriptors of a change. */
export function descriptorsOf(policies: readonly Policy[]): number {
  const hooks = policies.flatMap((policy) => policy.hooks)
  const functions = new Set(hooks.map((hook) => `${hook.call} ${hook.syscall} ${hook.return}`)).size
  const selectors = hooks.reduce((sum, hook) => sum + Math.max(1, hook.selectors.length), 0)
  const programs = functions + Math.floor(selectors / SELECTORS_MAX)
  return OBJECT_DESCRIPTORS * Math.ceil(programs / HOOK_SLOTS) + GATE_DESCRIPTORS + FUNCTION_DESCRIPTORS * programs
}

interface AttachedPolicy extends Attached {
  readonly loaded: LoadedPolicy
}

const idsOf = ({ hooks }: LoadedPolicy): number[] => hooks.map(({ hook }) => hook.id)

export interface KernelPoliciesOptions {
  readonly programs: KernelPrograms
  readonly hooks: HookRegistry
  readonly facts: KernelFacts
  readonly log: Log
  /** Called when a change begins, with the policies that are added. */
  readonly begin: (add: readonly Policy[]) => Promise<void> | void
}

/** Changes the policies in the kernel and logs the parts that this kernel lacks. */
export class KernelPolicies implements PolicyKernel<AttachedPolicy> {
  readonly #options: KernelPoliciesOptions

  constructor(options: KernelPoliciesOptions) {
    this.#options = options
  }

  /** Throws the errors of KernelPrograms, and CollectorError NO_DESCRIPTORS. */
  async change(remove: readonly AttachedPolicy[], add: readonly Policy[]): Promise<AttachedPolicy[]> {
    const { programs, hooks: registry, begin } = this.#options
    await begin(add)
    const [first] = add
    if (first !== undefined) {
      const more = add.length === 1 ? `policy "${first.name}"` : plural(add.length, 'policy')
      requireDescriptors(more, descriptorsOf(add))
    }
    let ids: number[] = []
    try {
      const loaded = await programs.change(
        remove.map((each) => each.loaded),
        add,
        (hooks) => {
          ids = hooks.map(({ hook }) => hook.id)
          for (const { hook, spec } of hooks) registry.add(hook, spec)
        },
      )
      registry.retire(remove.flatMap((each) => idsOf(each.loaded)))
      this.#logLimits(loaded)
      return loaded.map((each) => this.#attached(each))
    } catch (error) {
      registry.retire(ids)
      throw error
    }
  }

  stale({ loaded }: AttachedPolicy): Promise<boolean> {
    return hookedOtherwise(loaded.policy, loaded.hooks, this.#options.facts)
  }

  #attached(loaded: LoadedPolicy): AttachedPolicy {
    const { programs, hooks: registry, log } = this.#options
    // A client that watches by a policy takes what this kernel has.
    for (const { symbol, message } of loaded.policy.private === true ? [] : loaded.skipped) {
      log.warn(
        { policy: loaded.policy.name, call: symbol },
        `optional call skipped until a module provides it: ${message}`,
      )
    }
    for (const message of loaded.lacking) {
      log.error({ policy: loaded.policy.name }, `the agent is not ready: policy ${loaded.policy.name}: ${message}`)
    }
    const { hooks, skipped, lacking, limited } = loaded
    return {
      loaded,
      hooks,
      skipped,
      lacking,
      limited,
      events: () => registry.eventsOf(idsOf(loaded)),
      kernelMemory: () => programs.memoryOf(loaded),
      done: () => this.#doneBy(loaded),
    }
  }

  #doneBy({ hooks }: LoadedPolicy): SelectorDone[] {
    const { programs, hooks: registry } = this.#options
    return hooks.flatMap(({ hook: { id }, spec: { selectors } }, hook) => {
      const bySelector = programs.doneBy(id)
      return registry.eventsBySelector(id).flatMap((posts, index) => {
        const done = bySelector.get(index) ?? NOTHING_DONE
        const any = posts > 0 || Object.values(done).some((count) => count > 0)
        const { label = '' } = selectors[index] ?? {}
        return any ? [{ hook, selector: selectors.length === 0 ? undefined : index, label, posts, done }] : []
      })
    })
  }

  /** One line for all policies, because a bundle has dozens of such. */
  #logLimits(loaded: readonly LoadedPolicy[]): void {
    for (const limit of new Set(loaded.flatMap(({ limited }) => limited))) {
      const policies = loaded.filter(({ limited }) => limited.includes(limit)).map(({ policy }) => policy.name)
      this.#options.log.warn({ policies }, `${plural(policies.length, 'policy')} limited: ${limit}`)
    }
  }

  detachAll(): Promise<void> {
    return this.#options.programs.detachAll()
  }
}

/** Logs changes of policy files. A bundle of the library has dozens of policies, and `ready` has their number. */
export const policyLog =
  (log: Log) =>
  (change: PolicyChange, file: string, detail: string): void => {
    if (change === 'refused') log.error({ file }, `policy refused; effective policies stay unchanged: ${detail}`)
    else log[isShipped(file) && change === 'added' ? 'debug' : 'info']({ file, policy: detail }, `policy ${change}`)
  }
