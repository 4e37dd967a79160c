/** Rate limits of policies: the kernel side's memory of what was reported, and how many repeats had no event. */
import type { BpfMap, BpfObject } from '../../../native/types.ts'
import { CollectorError } from '../../errors.ts'
import { u32, u64 } from '../bytes.ts'
import type { PlannedHook } from '../plan.ts'

/** Time after which no program that knows a detached hook runs any more. */
const RETIRE_MS = 30_000

export const isLimited = ({ spec }: Pick<PlannedHook, 'spec'>): boolean =>
  spec.selectors.some(({ actions }) => actions?.limit !== undefined)

/** One for all functions, made with the first program that limits: so a change of policies forgets nothing. */
export class Repeats {
  /** By their names in bpf/call/action.h. */
  readonly maps: { readonly repeats: BpfMap; readonly suppressed: BpfMap }
  /** Policies by hook id. */
  readonly #policies = new Map<number, string>()
  /** Of forgotten hooks, by policy. */
  readonly #past = new Map<string, number>()

  constructor(object: Pick<BpfObject, 'map'>) {
    this.maps = { repeats: object.map('repeats'), suppressed: object.map('suppressed') }
  }

  /** Begins to count the repeats of these hooks, if it does not yet. Throws CollectorError POLICY_REFUSED when there are too many. */
  add(hooks: readonly PlannedHook[]): void {
    for (const { hook } of hooks.filter(isLimited)) {
      if (this.#policies.has(hook.id)) continue
      const { maxEntries } = this.maps.suppressed.info
      if (this.#policies.size >= maxEntries) {
        const sentence = `expected at most ${maxEntries} hooks with rateLimit in all policies together, got one more`
        throw new CollectorError('POLICY_REFUSED', `${sentence} in policy ${hook.policy}: drop rateLimit from some`)
      }
      this.maps.suppressed.update(u32(hook.id), u64(0))
      this.#policies.set(hook.id, hook.policy)
    }
  }

  /** Forgets detached hooks, a while later. */
  retire(hooks: readonly PlannedHook[]): void {
    const limited = hooks.filter(isLimited)
    if (limited.length === 0) return
    setTimeout(() => {
      for (const { hook } of limited) this.#forget(hook.id, hook.policy)
    }, RETIRE_MS).unref()
  }

  #forget(id: number, policy: string): void {
    if (!this.#policies.delete(id)) return
    this.#past.set(policy, (this.#past.get(policy) ?? 0) + this.#countOf(id))
    this.maps.suppressed.delete(u32(id))
  }

  #countOf(id: number): number {
    return Number(this.maps.suppressed.lookup(u32(id))?.readBigUInt64LE() ?? 0n)
  }

  close(): void {
    this.maps.repeats.close()
    this.maps.suppressed.close()
  }

  /** Repeats without an event so far, by policy; also of policies that are gone. */
  suppressed(): ReadonlyMap<string, number> {
    const sums = new Map(this.#past)
    for (const [id, policy] of this.#policies) sums.set(policy, (sums.get(policy) ?? 0) + this.#countOf(id))
    return sums
  }
}
