/**
 * Conditions on processes in the kernel. A change of policies that brings new ones writes the tables of the next generation beside the present ones,
 * then switches by one store. Processes are evaluated again at the first look-up (bpf/process/conditions.h), so no process is evaluated by half a table.
 * Tables of a generation are removed by the change after the next: no program works with them any more.
 */
import type { HookSpec, Policy, Selector } from '../../../config/policy/policy.ts'
import { NativeError } from '../../../native/index.ts'
import type { BpfMap } from '../../../native/types.ts'
import { CollectorError } from '../../errors.ts'
import { Turns } from '../../host/turns.ts'
import { u32 } from '../../wire/bytes.ts'
import { refusedAt } from '../../plan/refusal.ts'
import type { Finding } from '../watched/finding.ts'
import { KeptMap } from '../watched/kept-map.ts'
import type { HostFacts } from '../../plan/layout/selector.ts'
import { GENERATIONS_AT_ONCE } from '../../wire/wire.ts'
import { conditionEntries, conditionsEntry } from '../../plan/conditions/entries.ts'
import type { ConditionMap } from '../../plan/conditions/entries.ts'
import { ConditionTable } from '../../plan/conditions/table.ts'
import type { WorkloadSource } from './workload-entries.ts'

export type ConditionMaps = Readonly<Record<ConditionMap | 'generation', BpfMap>>
type KeptMaps = Readonly<Record<keyof ConditionMaps, KeptMap>>

const KEYED = ['program_starts', 'program_ends', 'condition_pids'] as const
const ARRAYS = ['conditions', 'generation'] as const

const selectorsOf = (hooks: readonly HookSpec[]): Selector[] => hooks.flatMap(({ selectors }) => selectors)

export class Conditions {
  readonly #maps: KeptMaps
  readonly #workloads: Pick<WorkloadSource, 'refusal' | 'use'>
  readonly #table = new ConditionTable()
  #generation = 0
  /** Keys in the maps, by the place of their generation. */
  readonly #keys: Array<Map<KeptMap, Buffer[]>> = Array.from({ length: GENERATIONS_AT_ONCE }, () => new Map())

  constructor(maps: ConditionMaps, workloads: Pick<WorkloadSource, 'refusal' | 'use'>) {
    const kept = (additions: boolean) => (name: keyof ConditionMaps) =>
      [name, new KeptMap(maps[name], { additions })] as const
    this.#maps = Object.fromEntries([...KEYED.map(kept(true)), ...ARRAYS.map(kept(false))]) as KeptMaps
    this.#workloads = workloads
  }

  /** The bits that a selector of an added policy requires: bits of the process, and bits of its cgroup. */
  readonly bits: Pick<HostFacts, 'conditionsOf' | 'workloadsOf'> = {
    conditionsOf: ({ process = [] }) => this.#table.bitsOf(process),
    workloadsOf: ({ workloads = [] }) => this.#table.bitsOf(workloads),
  }

  /**
   * Adds the conditions of these policies for processes and cgroups. Rejects with POLICY_REFUSED, without a change, if there are too many, or if a
   * condition needs pods and they are not known.
   */
  async add(policies: readonly Policy[]): Promise<void> {
    const next = this.#generation + 1
    const added: HookSpec[] = []
    let [process, workloads] = [false, false]
    try {
      for (const { file, hooks } of policies) {
        this.#requireWorkloads(file, selectorsOf(hooks))
        const isNew = this.#table.take({ file }, selectorsOf(hooks), next)
        process ||= isNew.process
        workloads ||= isNew.workloads
        added.push(...hooks)
      }
      if (process) await this.#write(next)
      // A bit that no program reads yet may be written at any time.
      if (workloads) await this.#workloads.use(this.#table.workloads())
    } catch (error) {
      this.#table.release(selectorsOf(added))
      if (!(error instanceof NativeError)) throw error
      const sentence = 'the conditions on processes of all policies do not fit into the kernel'
      throw new CollectorError('POLICY_REFUSED', `${sentence}: ${error.message}`, { cause: error })
    }
  }

  /** Call it when no program uses the conditions of these policies any more. */
  remove(policies: readonly Policy[]): void {
    const less = this.#table.release(selectorsOf(policies.flatMap(({ hooks }) => hooks)))
    if (!less || this.#generation === 0) return
    // Else each fork and exec would judge the process by unused conditions, until the next generation.
    const [key, value] = conditionsEntry(this.#table.all(), this.#generation)
    this.#maps.conditions.update(key, value)
  }

  /** Finds and repairs changes of the maps by other processes. */
  check(): Finding[] {
    return Object.values(this.#maps).flatMap((map) => map.check())
  }

  #requireWorkloads(file: string, selectors: readonly Selector[]): void {
    for (const filter of selectors.flatMap(({ workloads = [] }) => workloads)) {
      const why = this.#workloads.refusal(filter)
      if (why !== undefined) throw refusedAt({ file }, filter.at, why)
    }
  }

  async #write(generation: number): Promise<void> {
    const keys = this.#keys[generation % GENERATIONS_AT_ONCE]
    if (keys === undefined) return
    const turns = new Turns()
    for (const [map, old] of keys) {
      for (const key of old) {
        map.delete(key)
        if (turns.over) await turns.rest()
      }
    }
    keys.clear()
    const entries = conditionEntries(this.#table.all(), generation)
    for (const name of KEYED) {
      const map = this.#maps[name]
      const written: Buffer[] = []
      keys.set(map, written)
      for (const [key, value] of entries[name]) {
        map.update(key, value)
        written.push(key)
        if (turns.over) await turns.rest()
      }
    }
    for (const [key, value] of entries.conditions) this.#maps.conditions.update(key, value)
    this.#maps.generation.update(u32(0), u32(generation))
    this.#generation = generation
  }
}
