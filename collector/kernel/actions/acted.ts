/** Actions on matched calls: the kernel side's counts by selector, and its memory of reported calls for the time of a rateLimit. */
import type { BpfMap, BpfObject } from '../../../native/types.ts'
import type { Hook } from '../../../exporters/contract/event.ts'
import { SIGKILL } from '../../../config/policy/selectors/actions.ts'
import type { Actions } from '../../../config/policy/policy.ts'
import { CollectorError } from '../../errors.ts'
import { structBytes } from '../../plan/map-entries.ts'
import type { PlannedHook } from '../../plan/plan.ts'
import { ACTED, SELECTOR_ID } from '../../wire/wire.ts'

/** Time after which no program that knows a detached hook runs any more. */
const RETIRE_MS = 30_000

/** Sizes of its maps if no policy has actions. */
export const INACTIVE = { repeats: 1, acted: 1, notes: 1 }

export const acts = ({ spec }: Pick<PlannedHook, 'spec'>): boolean =>
  spec.selectors.some(({ actions }) => actions !== undefined)

/** Actions on the calls that a selector with actions matched. `monitor_…`: the actions that mode monitor left out. */
export const DONE = [
  'nopost',
  'rate_limited',
  'signal',
  'sigkill',
  'override',
  'notify_enforcer',
  'monitor_signal',
  'monitor_sigkill',
  'monitor_override',
  'monitor_notify_enforcer',
  'not_done',
] as const

export type Done = Readonly<Record<(typeof DONE)[number], number>>

/** Counts by policy and function. */
export type DoneByHook = ReadonlyMap<string, ReadonlyMap<string, Done>>

export const NOTHING_DONE = Object.fromEntries(DONE.map((each) => [each, 0])) as Done

type Acting = Pick<PlannedHook, 'hook' | 'spec'>

/** One object for all functions, made with the first program that acts, so that a change of policies forgets nothing. */
export class Acted {
  /** By their names in bpf/call/action.h. */
  readonly maps: Readonly<Record<'repeats' | 'acted' | 'notes', BpfMap>>
  /** By hook id. */
  readonly #hooks = new Map<number, Acting>()
  #selectors = 0
  /** Counts of forgotten hooks. */
  readonly #past = new Map<string, Map<string, Done>>()
  #closed = false

  constructor(object: Pick<BpfObject, 'map'>) {
    this.maps = { repeats: object.map('repeats'), acted: object.map('acted'), notes: object.map('notes') }
  }

  /** Starts to count for these hooks, if it does not yet. Throws CollectorError POLICY_REFUSED if there are too many selectors. */
  add(hooks: readonly PlannedHook[]): void {
    const { maxEntries } = this.maps.acted.info
    for (const acting of hooks.filter(acts)) {
      const { hook } = acting
      if (this.#hooks.has(hook.id)) continue
      const selectors = selectorsOf(acting)
      if (this.#selectors + selectors.length > maxEntries) {
        const sentence = `expected at most ${maxEntries} selectors with matchActions in all policies together`
        throw new CollectorError('POLICY_REFUSED', `${sentence}, got more with policy ${hook.policy}: remove some`)
      }
      for (const [index] of selectors) this.maps.acted.update(keyOf(hook.id, index), Buffer.alloc(ACTED.bytes))
      this.#selectors += selectors.length
      this.#hooks.set(hook.id, acting)
    }
  }

  /** Forgets detached hooks, a while later. */
  retire(hooks: readonly PlannedHook[]): void {
    const counted = hooks.filter(acts)
    if (counted.length === 0) return
    setTimeout(() => {
      // An agent that takes long to deliver its last events lives on without its programs.
      if (!this.#closed) for (const each of counted) this.#forget(each)
    }, RETIRE_MS).unref()
  }

  #forget(acting: Acting): void {
    const { hook } = acting
    if (!this.#hooks.delete(hook.id)) return
    const selectors = selectorsOf(acting)
    for (const [index, actions] of selectors) {
      addTo(this.#past, hook, this.#doneBy(hook.id, index, actions))
      this.maps.acted.delete(keyOf(hook.id, index))
    }
    this.#selectors -= selectors.length
  }

  #doneBy(id: number, index: number, { signals: asked, enforces, monitored }: Actions): Done {
    const counts = this.maps.acted.lookup(keyOf(id, index))
    if (counts === undefined) return NOTHING_DONE
    const at = (offset: number): number => Number(counts.readBigUInt64LE(offset))
    // For an enforcer, only the notes have the signals (bpf/frame/filter.h).
    const signals = enforces === undefined ? asked : [SIGKILL, 0]
    const sum = (kills: boolean): number =>
      signals.reduce((all, signal, i) => ((signal === SIGKILL) === kills ? all + at(ACTED.signals + 8 * i) : all), 0)
    const would = (kills: boolean): number =>
      at(ACTED.calls) * (monitored?.signals ?? []).filter((signal) => (signal === SIGKILL) === kills).length
    return {
      nopost: at(ACTED.hidden),
      rate_limited: at(ACTED.repeats),
      signal: sum(false),
      sigkill: sum(true),
      override: at(ACTED.denied),
      notify_enforcer: at(ACTED.notified),
      monitor_signal: would(false),
      monitor_sigkill: would(true),
      monitor_override: monitored?.error === undefined ? 0 : at(ACTED.calls),
      monitor_notify_enforcer: monitored?.notify === undefined ? 0 : at(ACTED.calls),
      not_done: at(ACTED.refused),
    }
  }

  /** Counts of an attached hook, by selector with actions. */
  ofHook(id: number): ReadonlyMap<number, Done> {
    const acting = this.#hooks.get(id)
    const selectors = acting === undefined ? [] : selectorsOf(acting)
    return new Map(selectors.map(([index, actions]) => [index, this.#doneBy(id, index, actions)]))
  }

  /** Counts so far, also of removed policies. */
  byHook(): DoneByHook {
    const sums = new Map([...this.#past].map(([policy, counts]) => [policy, new Map(counts)]))
    for (const [id, { hook }] of this.#hooks) for (const done of this.ofHook(id).values()) addTo(sums, hook, done)
    return sums
  }

  close(): void {
    this.#closed = true
    for (const map of Object.values(this.maps)) map.close()
  }
}

function selectorsOf({ spec: { selectors } }: Pick<Acting, 'spec'>): Array<readonly [number, Actions]> {
  return selectors.flatMap(({ actions }, index) => (actions === undefined ? [] : [[index, actions] as const]))
}

const keyOf = (id: number, index: number): Buffer => structBytes(SELECTOR_ID, { policyHook: id, index })

function addTo(sums: Map<string, Map<string, Done>>, { policy, functionName }: Hook, done: Done): void {
  let counts = sums.get(policy)
  if (counts === undefined) sums.set(policy, (counts = new Map()))
  const before = counts.get(functionName) ?? NOTHING_DONE
  counts.set(functionName, together([before, done]))
}

/** The sum. */
export function together(all: readonly Done[]): Done {
  const sum = { ...NOTHING_DONE }
  for (const done of all) for (const each of DONE) sum[each] += done[each]
  return sum
}
