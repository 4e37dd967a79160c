/** What policies suppress: the kernel side's memory of what was reported, and how many matched calls had no event, as repeats or by NoPost. */
import type { BpfMap, BpfObject } from '../../../native/types.ts'
import type { Hook } from '../../../exporters/contract/event.ts'
import { CollectorError } from '../../errors.ts'
import { u32, u64 } from '../bytes.ts'
import type { PlannedHook } from '../plan.ts'

/** Time after which no program that knows a detached hook runs any more. */
const RETIRE_MS = 30_000

/** Sizes of its maps where no policy suppresses. */
export const UNLIMITED = { repeats: 1, suppressed: 1 }

export const suppresses = ({ spec }: Pick<PlannedHook, 'spec'>): boolean =>
  spec.selectors.some(({ actions }) => actions !== undefined && (actions.limit !== undefined || !actions.reports))

/** By policy and function. */
export type Suppressed = ReadonlyMap<string, ReadonlyMap<string, number>>

/** One for all functions, made with the first program that suppresses: so a change of policies forgets nothing. */
export class Repeats {
  /** By their names in bpf/call/action.h. */
  readonly maps: { readonly repeats: BpfMap; readonly suppressed: BpfMap }
  /** By hook id. */
  readonly #hooks = new Map<number, Hook>()
  /** Of forgotten hooks. */
  readonly #past = new Map<string, Map<string, number>>()

  constructor(object: Pick<BpfObject, 'map'>) {
    this.maps = { repeats: object.map('repeats'), suppressed: object.map('suppressed') }
  }

  /** Begins to count for these hooks, if it does not yet. Throws CollectorError POLICY_REFUSED when there are too many. */
  add(hooks: readonly PlannedHook[]): void {
    for (const { hook } of hooks.filter(suppresses)) {
      if (this.#hooks.has(hook.id)) continue
      const { maxEntries } = this.maps.suppressed.info
      if (this.#hooks.size >= maxEntries) {
        const sentence = `expected at most ${maxEntries} hooks with rateLimit or NoPost in all policies together, got one more`
        throw new CollectorError('POLICY_REFUSED', `${sentence} in policy ${hook.policy}: drop these from some`)
      }
      this.maps.suppressed.update(u32(hook.id), u64(0))
      this.#hooks.set(hook.id, hook)
    }
  }

  /** Forgets detached hooks, a while later. */
  retire(hooks: readonly PlannedHook[]): void {
    const counted = hooks.filter(suppresses)
    if (counted.length === 0) return
    setTimeout(() => {
      for (const { hook } of counted) this.#forget(hook)
    }, RETIRE_MS).unref()
  }

  #forget(hook: Hook): void {
    if (!this.#hooks.delete(hook.id)) return
    add(this.#past, hook, this.#countOf(hook.id))
    this.maps.suppressed.delete(u32(hook.id))
  }

  #countOf(id: number): number {
    return Number(this.maps.suppressed.lookup(u32(id))?.readBigUInt64LE() ?? 0n)
  }

  close(): void {
    this.maps.repeats.close()
    this.maps.suppressed.close()
  }

  /** Matched calls without an event so far; also of policies that are gone. */
  suppressed(): Suppressed {
    const sums = new Map([...this.#past].map(([policy, counts]) => [policy, new Map(counts)]))
    for (const [id, hook] of this.#hooks) add(sums, hook, this.#countOf(id))
    return sums
  }
}

function add(sums: Map<string, Map<string, number>>, { policy, functionName }: Hook, count: number): void {
  let counts = sums.get(policy)
  if (counts === undefined) sums.set(policy, (counts = new Map()))
  counts.set(functionName, (counts.get(functionName) ?? 0) + count)
}
