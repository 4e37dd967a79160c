/** Hooks by the id that records carry, with their event counts. Ids are never reused. */
import { NOP } from '../../config/policy/arguments.ts'
import { enforces } from '../../config/policy/selectors/actions.ts'
import type { ArgumentSpec, HookSpec } from '../../config/policy/policy.ts'
import type { Hook, HookEvent } from '../../exporters/contract/event.ts'
import { valueIndex } from '../plan/layout/hook.ts'
import { identityFiltersOf } from '../plan/layout/selector.ts'
import type { NamedPath } from './arguments/files.ts'
import type { KnownHook } from './call.ts'
import { returnPasses } from './return-filter.ts'
import type { Returned } from './return-filter.ts'

/** Time after which no more records of a detached hook can come from the ring. */
const RETIRE_MS = 30_000

/** A hook's aggregation of equal calls. */
export interface Aggregation {
  readonly windowMs: number
  /** Whether its return values are bytes. */
  readonly bytes: boolean
}

interface Registered extends KnownHook {
  aggregation: Aggregation | undefined
  /** By the selector that matched; one number without selectors. */
  readonly events: number[]
  /** The return of calls that no selector filters. */
  readonly anyReturn: Returned
  /** By the selector that matched. */
  readonly returns: readonly Returned[]
}

const knownArgument = (arg: ArgumentSpec): KnownHook['args'][number] => ({
  index: valueIndex(arg),
  type: arg.type,
  ...(arg.maxData && { maxData: arg.maxData }),
})

const NOTHING: Returned = { type: NOP }

/** Whether a selector of the hook reports stacks. */
export const hasStacks = ({ selectors }: Pick<HookSpec, 'selectors'>): boolean =>
  selectors.some(({ stacks }) => stacks !== undefined)

export class HookRegistry {
  /** Paths of policies by the numbers that the kernel side has for them. */
  pathOf: (number: number) => string | undefined = () => undefined
  readonly #hooks = new Map<number, Registered>()
  /** Detached hooks, in their order. */
  readonly #leaving: Array<{ readonly ids: readonly number[]; readonly endMs: number }> = []
  /** Called with detached hooks. */
  retired: (ids: readonly number[]) => void = () => {}
  /** By policy: all of its hooks have events of one type. */
  readonly #types = new Map<string, HookEvent['type']>()
  /** Events of forgotten hooks, by policy and function. */
  readonly #past = new Map<string, Map<string, number>>()

  add(hook: Hook, spec: HookSpec): void {
    // Hooks of an enforcer have no events.
    if (!enforces(spec)) this.#types.set(hook.policy, hook.type ?? 'process_kprobe')
    const type = spec.returnArg?.type ?? NOP
    const anyReturn = { type }
    const shown = spec.args.filter((arg) => arg.type.kind !== 'none')
    const data = shown.filter(({ source }) => source !== undefined)
    const registered: Registered = {
      hook,
      bySelector: spec.selectors.map(({ actions }) =>
        actions === undefined || actions.last === hook.action ? hook : { ...hook, action: actions.last },
      ),
      args: shown.filter(({ source }) => source === undefined).map(knownArgument),
      ...(data.length === 0 ? {} : { data: data.map(knownArgument) }),
      returned: type,
      anyReturn,
      returns: spec.selectors.map(({ matchReturnArgs: filters }, i) =>
        filters === undefined ? anyReturn : { type, passes: (value) => returnPasses(filters, value) || reject(i) },
      ),
      ...(spec.fileDetails && {
        details: { named: this.#namedBy(spec), hashMaxBytes: spec.fileDetails.hash?.maxBytes },
      }),
      ...(hasStacks(spec) && { stacks: spec.selectors.map(({ stacks }) => stacks) }),
      aggregation: spec.aggregate && {
        windowMs: spec.aggregate.windowMs,
        bytes: spec.returnArg?.type.kind === 'wide',
      },
      events: Array.from({ length: Math.max(1, spec.selectors.length) }, () => 0),
    }
    const reject = (selector: number): false => {
      add(registered, selector, -1)
      return false
    }
    this.#hooks.set(hook.id, registered)
  }

  /** Several policies may name folders above one file: only the paths of this hook count. */
  #namedBy(spec: HookSpec): NamedPath {
    const paths = new Set(identityFiltersOf(spec).flatMap(({ values }) => values))
    return (number) => {
      const path = number === 0 ? undefined : this.pathOf(number)
      return path !== undefined && paths.has(path) ? path : undefined
    }
  }

  /** The normalizer's lookup for an event; counts the event. */
  take(id: number, selector: number): KnownHook | undefined {
    const known = this.#hooks.get(id)
    if (known !== undefined) add(known, selector, 1)
    return known
  }

  /** The type of a call's return value, and the filter of the selector that matched the call. */
  returnOf(id: number, selector: number): Returned {
    const known = this.#hooks.get(id)
    return known?.returns[selector] ?? known?.anyReturn ?? NOTHING
  }

  /** The aggregation of a hook's equal calls into one event; undefined: none. */
  aggregationOf(id: number): Aggregation | undefined {
    return this.#hooks.get(id)?.aggregation
  }

  /** `sweep` forgets the detached hooks when no more records of them can come. */
  retire(ids: readonly number[]): void {
    for (const id of ids) {
      const known = this.#hooks.get(id)
      // Nobody waits for equal calls any more.
      if (known?.aggregation !== undefined) known.aggregation = { ...known.aggregation, windowMs: 0 }
    }
    this.retired(ids)
    this.#leaving.push({ ids, endMs: performance.now() + RETIRE_MS })
  }

  /** Housekeeping. */
  sweep(nowMs: number): void {
    while ((this.#leaving[0]?.endMs ?? Infinity) <= nowMs) this.#leaving.shift()?.ids.forEach((id) => this.#forget(id))
  }

  #forget(id: number): void {
    const known = this.#hooks.get(id)
    if (known === undefined) return
    // Clients come without end, each with a policy of another name.
    if (known.hook.private) this.#types.delete(known.hook.policy)
    else addTo(this.#past, known.hook, sumOf(known.events))
    this.#hooks.delete(id)
  }

  /** Events of the given attached hooks. */
  eventsOf(ids: readonly number[]): number {
    return ids.reduce((sum, id) => sum + sumOf(this.eventsBySelector(id)), 0)
  }

  /** Events of an attached hook by the selector that matched; one number without selectors. */
  eventsBySelector(id: number): readonly number[] {
    return this.#hooks.get(id)?.events ?? []
  }

  /** Events by policy, including removed policies. */
  eventsByPolicy(): Array<{ readonly type: HookEvent['type']; readonly policy: string; readonly count: number }> {
    return [...this.eventsByHook()].map(([policy, counts]) => ({
      type: this.#types.get(policy) ?? 'process_kprobe',
      policy,
      count: sumOf(counts.values()),
    }))
  }

  /** Events by policy and function. */
  eventsByHook(): Map<string, Map<string, number>> {
    const sums = new Map([...this.#past].map(([policy, counts]) => [policy, new Map(counts)]))
    for (const { hook, events } of this.#hooks.values()) addTo(sums, hook, sumOf(events))
    return sums
  }
}

/** A record may be damaged. */
function add({ events }: Registered, selector: number, by: number): void {
  const at = selector < events.length ? selector : 0
  events[at] = (events[at] ?? 0) + by
}

function sumOf(counts: Iterable<number>): number {
  let sum = 0
  for (const count of counts) sum += count
  return sum
}

/** Adds to a count by policy and function. */
export function addTo(sums: Map<string, Map<string, number>>, { policy, functionName }: Hook, more: number): void {
  let counts = sums.get(policy)
  if (counts === undefined) sums.set(policy, (counts = new Map()))
  counts.set(functionName, (counts.get(functionName) ?? 0) + more)
}
