/**
 * The conditions on processes, and on their places, of all policies, each distinct one once, with its bit (bpf/process/conditions.h,
 * workload.h). A bit stays as long as a policy uses it: programs that run have it in their sets.
 */
import type { PidFilter, Policy, ProcessFilter, Selector, WorkloadFilter } from '../../../config/policy/policy.ts'
import {
  CONDITION_INNER_PID,
  CONDITION_PARENT,
  CONDITION_PID,
  CONDITION_PROGRAM,
  CONDITION_WORDS,
  FOLLOWING_MAX,
} from '../../wire/wire.ts'
import { refusedAt } from '../refusal.ts'

export const CONDITIONS_MAX: number = 64 * CONDITION_WORDS

const KINDS = {
  program: CONDITION_PROGRAM,
  parent: CONDITION_PARENT,
  pid: CONDITION_PID,
  innerPid: CONDITION_INNER_PID,
} as const

/** A condition on a process: true if one of the values fits; `negated`: if none does. */
export interface Condition {
  readonly bit: number
  /** `enum condition_kind` */
  readonly kind: number
  readonly test: 'is' | 'begins' | 'ends' | 'pid'
  /** Texts as bytes (latin1), pids as decimals. */
  readonly values: readonly string[]
  readonly negated: boolean
  /** The generation from which on the bit has this meaning. */
  readonly since: number
}

interface Kept {
  readonly bit: number
  /** Set for a condition on a process; else the condition is on the place of a task (bpf/frame/workload.h). */
  readonly condition: Condition | undefined
  readonly filter: Filter
  users: number
}

type Filter = ProcessFilter | WorkloadFilter

const isProcess = (filter: Filter): filter is ProcessFilter => 'class' in filter

const TESTS = {
  Equal: ['is', false],
  NotEqual: ['is', true],
  Prefix: ['begins', false],
  NotPrefix: ['begins', true],
  Postfix: ['ends', false],
  NotPostfix: ['ends', true],
} as const

function keyOf(filter: Filter): string {
  if (!isProcess(filter)) {
    const { namespace, pods = null, containers = null, host } = filter
    return JSON.stringify([namespace, pods, containers, host])
  }
  const { class: kind, operator, values, descendants } = filter
  return JSON.stringify([kind, operator, descendants, [...new Set<string | number>(values)].toSorted()])
}

export class ConditionTable {
  readonly #kept = new Map<string, Kept>()
  readonly #used = new Set<number>()

  /**
   * Adds the conditions of these selectors, new ones from generation `since`. Returns the kinds with new ones. Throws POLICY_REFUSED, without a
   * change, if there are not enough bits.
   */
  take(
    policy: Pick<Policy, 'file'>,
    selectors: readonly Selector[],
    since: number,
  ): { readonly process: boolean; readonly workloads: boolean } {
    const isNew = { process: false, workloads: false }
    const taken: Filter[] = []
    for (const filter of filtersOf(selectors)) {
      const key = keyOf(filter)
      const kept = this.#kept.get(key)
      if (kept === undefined) {
        const bit = this.#freeBit(isProcess(filter) && filter.descendants)
        if (bit === undefined) {
          this.#drop(taken)
          throw refusedAt(policy, filter.at, sentenceOf(filter))
        }
        this.#used.add(bit)
        const condition = isProcess(filter) ? conditionOf(filter, bit, since) : undefined
        this.#kept.set(key, { bit, condition, filter, users: 1 })
        isNew[isProcess(filter) ? 'process' : 'workloads'] = true
      } else {
        kept.users++
      }
      taken.push(filter)
    }
    return isNew
  }

  /** The reverse of `take`, once no program uses them any more. True if processes hand down less than before. */
  release(selectors: readonly Selector[]): boolean {
    return this.#drop(filtersOf(selectors)).some((bit) => bit < FOLLOWING_MAX)
  }

  /** The bits of filters of a selector that was taken. */
  bitsOf(filters: readonly Filter[]): bigint {
    return filters.reduce((bits, filter) => bits | (1n << BigInt(this.#kept.get(keyOf(filter))?.bit ?? 0)), 0n)
  }

  /** Conditions on processes. */
  all(): readonly Condition[] {
    return [...this.#kept.values()].flatMap(({ condition }) => condition ?? [])
  }

  workloads(): ReadonlyArray<{ readonly bit: number; readonly filter: WorkloadFilter }> {
    return [...this.#kept.values()].flatMap(({ bit, filter }) => (isProcess(filter) ? [] : [{ bit, filter }]))
  }

  /** Returns the bits that are free now. */
  #drop(filters: readonly Filter[]): number[] {
    const free: number[] = []
    for (const filter of filters) {
      const key = keyOf(filter)
      const kept = this.#kept.get(key)
      if (kept === undefined || --kept.users > 0) continue
      this.#kept.delete(key)
      this.#used.delete(kept.bit)
      free.push(kept.bit)
    }
    return free
  }

  /** Conditions that descendants keep have bits of the first word. */
  #freeBit(follows: boolean): number | undefined {
    const [from, to] = follows ? [0, FOLLOWING_MAX] : [FOLLOWING_MAX, CONDITIONS_MAX]
    for (let bit = from; bit < to; bit++) if (!this.#used.has(bit)) return bit
    return undefined
  }
}

function sentenceOf(filter: Filter): string {
  const following = isProcess(filter) && filter.descendants
  const what = following ? 'conditions with followChildren or followForks' : 'conditions on processes'
  const most = following ? FOLLOWING_MAX : CONDITIONS_MAX - FOLLOWING_MAX
  return `expected at most ${most} different ${what} in all policies together, got one more; remove a policy with others`
}

const filtersOf = (selectors: readonly Selector[]): Filter[] =>
  selectors.flatMap(({ process = [], workloads = [] }) => [...process, ...workloads])

const isPids = (filter: ProcessFilter): filter is PidFilter => filter.class === 'pid' || filter.class === 'innerPid'

function conditionOf(filter: ProcessFilter, bit: number, since: number): Condition {
  const kind = KINDS[filter.class]
  const [test, negated] = TESTS[filter.operator]
  if (isPids(filter)) {
    return { bit, kind, test: 'pid', values: filter.values.map(String), negated, since }
  }
  const values = filter.values.map((value) => Buffer.from(value).toString('latin1'))
  return { bit, kind, test, values, negated, since }
}
