/**
 * The programs of policies: one for each kernel function, whatever the number of policies on it. A change of policies loads the next programs of
 * the functions that it concerns, then replaces the present ones (programs/gate.ts). So it misses no call and reports none twice, and other functions run
 * on undisturbed. A change takes effect as a whole or not at all. Missed runs of functions stay counted after they were detached.
 */
import * as native from '../../native/index.ts'
import { NativeError } from '../../native/index.ts'
import type { Link } from '../../native/types.ts'
import type { Policy } from '../../config/policy/policy.ts'
import type { MapEnds } from '../wire/decode.ts'
import { CollectorError } from '../errors.ts'
import { Turns } from '../host/turns.ts'
import type { Done, DoneByHook } from './actions/acted.ts'
import { Lookups } from './conditions/lookups.ts'
import type { Conditions } from './conditions/conditions.ts'
import type { FilesOptions } from './files/files.ts'
import { numbering } from '../plan/functions/places.ts'
import { screened } from './programs/gate.ts'
import type { Gate, Programs } from './programs/gate.ts'
import { ProgramLoader } from './programs/loader.ts'
import type { JoinSweep } from './joins.ts'
import type { ScreenedFunction } from './programs/gate.ts'
import type { Finding } from './watched/finding.ts'
import { addRuns } from './watched/watched-link.ts'
import type { Runs } from './watched/watched-link.ts'
import { assign, wayOf } from '../plan/layout/assign.ts'
import type { Assignment } from '../plan/layout/assign.ts'
import type { Constants, SharedMaps } from '../plan/objects.ts'
import { planPolicy } from '../plan/plan.ts'
import type { AttachMode, LoadedPolicy, Plan, PlannedHook } from '../plan/plan.ts'
import type { KernelPrograms } from './port.ts'
import { FunctionRefused, refusal } from './refusal.ts'
import { symbolsOf } from './symbols.ts'
import type { KernelTypes } from './symbols.ts'
import { HOOK_SLOTS } from '../wire/wire.ts'

export interface PolicyProgramOptions extends Pick<FilesOptions, 'facts' | 'procfs' | 'warn' | 'debug'> {
  readonly mode: AttachMode | 'auto'
  /** Host pid of the agent, whose own accesses are not reported. */
  readonly agentPid: number
  readonly native?: KernelTypes & Pick<typeof native, 'openObject' | 'closed'>
}

interface Attached extends Assignment {
  /** Its number in records of the join map; stays when policies change. */
  readonly id: number
  readonly gate: Gate
  readonly programs: Programs
}

/** The programs in a real kernel; port.ts documents each member. */
export class PolicyPrograms implements KernelPrograms, Disposable {
  readonly #options: PolicyProgramOptions
  readonly #native: NonNullable<PolicyProgramOptions['native']>
  #nextHookId = 1
  readonly #placeNumber = numbering()
  #nextFunctionId = 1
  #closed = false
  readonly #attached = new Map<string, Attached>()
  /** Runs of detached functions, by name. */
  readonly #past = new Map<string, Runs>()
  /** Functions that were detached since `takeEnds`. */
  readonly #ended: number[] = []
  readonly #loader: ProgramLoader
  /** Facts that policies need and a call does not contain. */
  readonly lookups: Lookups

  constructor(options: PolicyProgramOptions, maps: SharedMaps, constants: Constants, conditions: Conditions) {
    this.#options = options
    const procfs = options.procfs ?? '/proc'
    this.#native = options.native ?? native
    const shared = { ...options, procfs, constants }
    this.lookups = new Lookups(conditions, { ...shared, openObject: this.#native.openObject }, maps, procfs)
    this.#loader = new ProgramLoader({ ...shared, native: this.#native, maps, lookups: this.lookups })
  }

  async change(
    remove: readonly LoadedPolicy[],
    add: readonly Policy[],
    planned: (hooks: readonly PlannedHook[]) => void = () => {},
  ): Promise<LoadedPolicy[]> {
    const { facts, mode } = this.#options
    const symbols = await symbolsOf(add, facts, this.#native)
    const hookId = (): number => this.#nextHookId++
    const plan = (policy: Policy): Plan => planPolicy(policy, facts, symbols, mode, hookId, this.#placeNumber)
    const plans: Plan[] = []
    const turns = new Turns()
    for (const policy of add) {
      plans.push(plan(policy))
      if (turns.over) await turns.rest()
    }
    planned(plans.flatMap(({ hooks }) => hooks))
    await this.lookups.add(plans.map(({ policy }) => policy))
    let unused: ReadonlyArray<Pick<Plan, 'policy' | 'hooks'>> = plans
    try {
      const loaded = await this.#exchange(remove, plans)
      unused = remove
      return loaded
    } finally {
      this.lookups.remove(unused.map(({ policy }) => policy))
      this.#loader.acted?.retire(unused.flatMap(({ hooks }) => hooks))
    }
  }

  async #exchange(remove: readonly LoadedPolicy[], plans: readonly Plan[]): Promise<LoadedPolicy[]> {
    const added = plans.flatMap(({ hooks }) => hooks)
    const gone = new Set(remove.flatMap(({ hooks }) => hooks.map(({ hook }) => hook.id)))
    /** Functions that take no more programs in their trampoline: other tracers have filled it, or this kernel cannot make one for them. */
    const full = new Set<string>()
    for (;;) {
      const changed = assign(this.#attached, gone, added, full)
      try {
        await this.#apply(changed)
      } catch (error) {
        const { symbol, cause } = error instanceof FunctionRefused ? error : { symbol: '', cause: error }
        if (!(cause instanceof NativeError)) throw cause
        if (cause.code === 'ATTACH_FAILED' && !full.has(symbol)) {
          full.add(symbol)
          continue
        }
        throw refusal(cause, plans, symbol)
      }
      return plans.map(({ hooks, ...plan }) => ({
        ...plan,
        hooks: hooks.map((hook) => ({ ...hook, mode: wayOf(hook, full).mode })),
      }))
    }
  }

  /** Loads everything, attaches new functions, and only then replaces programs. */
  async #apply(changed: readonly Assignment[]): Promise<void> {
    const wanted = changed.filter(({ hooks }) => hooks.length > 0)
    using made = new DisposableStack()
    const next: Attached[] = []
    for (let from = 0; from < wanted.length; from += HOOK_SLOTS) {
      const part = wanted.slice(from, from + HOOK_SLOTS)
      const ids = part.map(({ key }) => this.#attached.get(key)?.id ?? this.#nextFunctionId++)
      const known = part.map(({ key }) => this.#attached.get(key)?.gate)
      const object = made.use(await this.#loader.hooks(part, ids))
      const gates = await this.#loader.gates(part, known, object, made)
      part.forEach((each, slot) => {
        const [id, gate] = [ids[slot], gates[slot]]
        if (id !== undefined && gate !== undefined) next.push({ ...each, id, gate, programs: { object, slot } })
      })
    }
    if (this.#closed) throw new CollectorError('POLICY_REFUSED', 'the agent is stopping')
    this.#replace(next)
    made.move()
    await this.#detach(changed.flatMap(({ key, hooks }) => (hooks.length === 0 ? [key] : [])))
  }

  /** Puts the next programs in the place of the present ones. Throws NativeError; then the present ones are back. */
  #replace(next: readonly Attached[]): void {
    const before = next.flatMap(({ key }) => this.#attached.get(key) ?? [])
    try {
      for (const { key, gate, programs } of next) {
        if (this.#attached.has(key)) gate.put(programs.object, programs.slot)
      }
    } catch (error) {
      for (const { gate, programs } of before) gate.put(programs.object, programs.slot)
      throw error
    }
    for (const each of next) this.#attached.set(each.key, each)
    this.#closeUnused(before)
  }

  /** Closes the objects of these programs that no function has any more. */
  #closeUnused(before: readonly Attached[]): void {
    const used = new Set([...this.#attached.values()].map(({ programs }) => programs.object))
    for (const { programs } of before) if (!used.has(programs.object)) programs.object.close()
  }

  /** Ends when no program of these functions runs any more. */
  async #detach(keys: readonly string[]): Promise<void> {
    const gone = keys.flatMap((key) => this.#attached.get(key) ?? [])
    for (const attached of gone) {
      addRuns(this.#past, attached.symbol, attached.gate.runs())
      attached.gate[Symbol.dispose]()
      this.#attached.delete(attached.key)
    }
    if (gone.length === 0) return
    await this.#native.closed()
    // Now no call enters any more, and waiting calls have lost their return.
    for (const { id } of gone) this.#loader.joins?.forget(id)
    this.#ended.push(...gone.map(({ id }) => id))
    this.#closeUnused(gone)
  }

  /**
   * Bytes of the kernel's memory for a policy: its share of the programs and maps of the functions that it hooks, by the number of its
   * hooks. Maps that all policies share, such as the table of processes, do not count.
   */
  memoryOf({ hooks }: LoadedPolicy): number {
    const ids = new Set(hooks.map(({ hook }) => hook.id))
    const objects = Map.groupBy(this.#attached.values(), ({ programs }) => programs.object)
    const shares = [...objects].map(([object, functions]) => {
      const all = functions.flatMap((each) => each.hooks)
      const own = all.filter(({ hook }) => ids.has(hook.id))
      return own.length === 0 ? 0 : (this.#loader.memoryOf(object) * own.length) / all.length
    })
    return Math.round(shares.reduce((sum, share) => sum + share, 0))
  }

  /** Finds changes by other processes; puts programs back into their gates, and entries into maps. */
  check(): Finding[] {
    const gates = [...this.#attached.values()].flatMap(({ symbol, gate, programs }) => gate.check(symbol, programs))
    return [...gates, ...this.lookups.check()]
  }

  /** All links. */
  get links(): Link[] {
    const followers = this.lookups.files.links.map(({ link }) => link)
    return [...[...this.#attached.values()].flatMap(({ gate }) => gate.links), ...followers]
  }

  functions(): ScreenedFunction[] {
    return [...this.#attached.values()].flatMap(screened)
  }

  /** Runs of functions, also of detached ones, by name. */
  runs(): ReadonlyMap<string, Runs> {
    const runs = new Map(this.#past)
    for (const attached of this.#attached.values()) addRuns(runs, attached.symbol, attached.gate.runs())
    return runs
  }

  get joins(): JoinSweep | undefined {
    return this.#loader.joins
  }

  takeEnds(): MapEnds {
    return { calls: this.#loader.joins?.takeEnds() ?? [], functions: this.#ended.splice(0) }
  }

  doneByHook(): DoneByHook {
    return this.#loader.acted?.byHook() ?? new Map()
  }

  doneBy(hookId: number): ReadonlyMap<number, Done> {
    return this.#loader.acted?.ofHook(hookId) ?? new Map()
  }

  sweepJoins(): void {
    this.#loader.joins?.sweep(native.bootTime())
  }

  /** Ends when no program runs any more. */
  async detachAll(): Promise<void> {
    this.#closed = true
    await this.#detach([...this.#attached.keys()])
  }

  [Symbol.dispose](): void {
    this.lookups.stop()
    void this.detachAll().finally(() => {
      this.#loader[Symbol.dispose]()
      this.lookups.close()
    })
  }
}
