/**
 * The programs of policies: one set of objects per loaded policy. A policy is loaded as a whole before any of it is attached. Missed runs of its
 * hooks stay counted after it was detached.
 */
import { constants as os } from 'node:os'
import { NativeError, bootTime, closed, kernelFunctionNames, kernelFunctions, openObject } from '../../native/index.ts'
import type { AttachKind, BpfMap, BpfObject, Link } from '../../native/types.ts'
import type { Policy } from '../../config/policy/policy.ts'
import { formatProblem } from '../../config/yaml/problems.ts'
import { CollectorError } from '../errors.ts'
import { u32 } from './bytes.ts'
import type { KernelFacts } from './facts.ts'
import { JoinSweep, threadStarts } from './joins.ts'
import type { ThreadStart } from './joins.ts'
import type { FilterSets } from './layout.ts'
import { objectPath } from './objects.ts'
import type { SharedMaps } from './objects.ts'
import { planPolicy, symbolOf } from './plan.ts'
import type { AttachMode, PlannedHook, PlannedObject, SkippedCall, Symbols } from './plan.ts'
import { HOOK, HOOK_SLOTS, NUMBER_KEY, SUFFIX_ENTRY, TEXT_ENTRY } from './wire.ts'

export interface PolicyProgramOptions {
  readonly facts: KernelFacts
  readonly mode: AttachMode | 'auto'
  /** Host pid of the agent, whose own accesses are not reported. */
  readonly agentPid: number
  /** Path of the host's proc file system; default `/proc`. */
  readonly procfs?: string
}

export interface LoadedHook extends PlannedHook {
  readonly links: readonly Link[]
}

/** A policy attached in the kernel; disposing detaches it, and ends when no program of it runs any more. */
export interface LoadedPolicy extends AsyncDisposable {
  readonly policy: Policy
  readonly hooks: readonly LoadedHook[]
  /** Optional calls missing in this kernel. */
  readonly skipped: readonly SkippedCall[]
}

const { E2BIG } = os.errno

export class PolicyPrograms {
  readonly #options: PolicyProgramOptions
  readonly #maps: SharedMaps
  /** Also used by the process programs. */
  readonly #constants: Readonly<Record<string, Buffer>>
  readonly #threadStart: ThreadStart
  #nextHookId = 1
  /** Number of links of attached policies, by kind and kernel function. */
  readonly #links = new Map<string, number>()
  /** Attached hooks. */
  readonly #hooks = new Set<LoadedHook>()
  /** Missed runs of detached hooks, by kernel function. */
  readonly #pastMissed = new Map<string, number>()
  /** Join maps of attached policies. */
  readonly #joins = new Set<JoinSweep>()
  /** Calls that matched at entry without a return: the thread is gone, or the hook was detached before. */
  #cutReturns = 0

  constructor(options: PolicyProgramOptions, maps: SharedMaps, constants: Readonly<Record<string, Buffer>>) {
    this.#options = options
    this.#maps = maps
    this.#constants = constants
    this.#threadStart = threadStarts(options.procfs ?? '/proc')
  }

  /**
   * Loads and attaches a policy as a whole or not at all; one policy at a time. Rejects with CollectorError POLICY_REFUSED with the position in the file for anything that
   * this kernel does not have or refuses.
   */
  async load(policy: Policy): Promise<LoadedPolicy> {
    const symbols = await symbolsOf(policy, this.#options.facts)
    /** Functions whose trampoline is full because of other tracers: their hooks are joined. */
    const full = new Set<string>()
    for (;;) {
      try {
        return await this.#load(policy, symbols, full)
      } catch (error) {
        const cause = error instanceof CollectorError ? error.cause : undefined
        if (!(cause instanceof NativeError) || cause.errno !== E2BIG || full.has(cause.target)) throw error
        full.add(cause.target)
      }
    }
  }

  async #load(policy: Policy, symbols: Symbols, full: ReadonlySet<string>): Promise<LoadedPolicy> {
    const { facts, mode } = this.#options
    const { objects: planned, skipped } = planPolicy(
      policy,
      facts,
      symbols,
      mode,
      () => this.#nextHookId++,
      (kind, symbol) => (kind === 'fexit' && full.has(symbol) ? Infinity : this.#linksOn(kind, symbol)),
    )
    const objects: BpfObject[] = []
    const hooks: LoadedHook[] = []
    const joins: Array<{ readonly map: BpfMap; readonly sweep: JoinSweep }> = []
    const close = async (): Promise<void> => {
      for (const hook of hooks) for (const link of hook.links) link.close()
      await closed()
      // Links first: then no call enters any more, and waiting calls have lost their return.
      for (const { map, sweep } of joins) {
        this.#joins.delete(sweep)
        this.#cutReturns += sweep.waiting()
        map.close()
      }
      for (const object of objects) object.close()
      joins.length = objects.length = 0
    }
    try {
      const loaded: Array<{ readonly plan: PlannedObject; readonly object: BpfObject }> = []
      for (const plan of planned) {
        const object = await this.#openHooks(plan)
        objects.push(object)
        if (plan.hooks.some((hook) => hook.mode === 'join' || hook.mode === 'kprobe.session')) {
          const map = object.map('join')
          joins.push({ map, sweep: new JoinSweep(map, this.#threadStart) })
        }
        loaded.push({ plan, object })
      }
      // Load everything before attaching anything, so that a refusal by the verifier never leaves half a policy.
      for (const { plan, object } of loaded) {
        for (const hook of plan.hooks) hooks.push({ ...hook, links: await attachHook(object, hook) })
      }
    } catch (error) {
      await close()
      if (!(error instanceof NativeError)) throw error
      const at = planned.flatMap((plan) => plan.hooks)[hooks.length]?.spec.at ?? { line: 1, col: 1 }
      const problem = formatProblem({ file: policy.file, ...at, message: error.message })
      throw new CollectorError('POLICY_REFUSED', problem, { cause: error })
    }
    for (const { sweep } of joins) this.#joins.add(sweep)
    this.#enter(hooks)
    let attached = true
    return {
      policy,
      hooks,
      skipped,
      [Symbol.asyncDispose]: async () => {
        if (attached) this.#leave(hooks)
        attached = false
        await close()
      },
    }
  }

  #enter(hooks: readonly LoadedHook[]): void {
    this.#countLinks(hooks, 1)
    for (const hook of hooks) this.#hooks.add(hook)
  }

  #leave(hooks: readonly LoadedHook[]): void {
    this.#countLinks(hooks, -1)
    for (const hook of hooks) {
      this.#hooks.delete(hook)
      add(this.#pastMissed, hook.symbol, missedBy(hook))
    }
  }

  #linksOn(kind: AttachKind, symbol: string): number {
    return this.#links.get(`${kind} ${symbol}`) ?? 0
  }

  #countLinks(hooks: readonly PlannedHook[], by: 1 | -1): void {
    for (const { kind, symbol } of hooks.flatMap(({ attach }) => attach)) {
      this.#links.set(`${kind} ${symbol}`, this.#linksOn(kind, symbol) + by)
    }
  }

  async #openHooks(plan: PlannedObject): Promise<BpfObject> {
    const constants = Buffer.alloc(HOOK_SLOTS * HOOK.bytes)
    plan.constants.copy(constants)
    const object = await openObject(objectPath(plan.file), {
      programs: plan.hooks.flatMap((hook) => hook.programs),
      constants: { ...this.#constants, hooks: constants, agent_tgid: u32(this.#options.agentPid) },
      sharedMaps: this.#maps,
      mapSizes: {
        numbers: Math.max(1, plan.sets.numbers.length),
        texts: Math.max(1, plan.sets.texts.length),
        suffixes: Math.max(1, plan.sets.suffixes.length),
        scratch: plan.hooks.length,
      },
    })
    try {
      fillSets(object, plan.sets)
      return object
    } catch (error) {
      object.close()
      throw error
    }
  }

  /** Missed runs of hooks, also of detached ones, by kernel function. */
  missedRuns(): ReadonlyMap<string, number> {
    const missed = new Map(this.#pastMissed)
    for (const hook of this.#hooks) add(missed, hook.symbol, missedBy(hook))
    return missed
  }

  /** Matched calls whose return never came. */
  get cutReturns(): number {
    return this.#cutReturns
  }

  /** Counts and removes calls whose return will never come; call it every few seconds. */
  sweepJoins(): void {
    if (this.#joins.size === 0) return
    const { agentPid } = this.#options
    // With no /proc, or that of another pid namespace, every thread would seem to be gone.
    if (typeof this.#threadStart(agentPid, agentPid) !== 'bigint') return
    const now = bootTime()
    for (const join of this.#joins) this.#cutReturns += join.sweep(now)
  }

  /** Matched calls that have not returned (yet). */
  waitingReturns(): number {
    return [...this.#joins].reduce((sum, join) => sum + join.waiting(), 0)
  }
}

/** The kernel's types of a policy's functions; the names of all functions, for suggestions, only when one is missing. */
export async function symbolsOf(policy: Policy, { arch }: KernelFacts): Promise<Symbols> {
  const names = policy.hooks.map((spec) => symbolOf(spec, arch))
  const types = await kernelFunctions(names)
  const all = names.every((name) => types.has(name)) ? [] : await kernelFunctionNames()
  return { functionType: (name) => types.get(name), functionNames: () => all }
}

function add(counts: Map<string, number>, key: string, count: number): void {
  counts.set(key, (counts.get(key) ?? 0) + count)
}

/**
 * For a joined hook only the entry side counts: a missed return of a match leaves its entry in the join map and is counted as return_missed.
 * A session has one program for both sides, so its missed returns are counted under both reasons: too many, never too few.
 */
function missedBy({ mode, links }: LoadedHook): number {
  return links
    .filter(({ kind }) => mode !== 'join' || (kind !== 'kretprobe' && kind !== 'kretprobe.multi'))
    .reduce((sum, link) => sum + Number(link.stats().missed), 0)
}

async function attachHook(object: BpfObject, hook: PlannedHook): Promise<Link[]> {
  const links: Link[] = []
  try {
    for (const { program, symbol } of hook.attach) links.push(await object.attach(program, [symbol]))
    return links
  } catch (error) {
    for (const link of links) link.close()
    throw error
  }
}

function fillSets(object: BpfObject, sets: FilterSets): void {
  using numbers = object.map('numbers')
  for (const { filter, number } of sets.numbers) {
    const key = Buffer.alloc(NUMBER_KEY.bytes)
    key.writeUInt32LE(filter, NUMBER_KEY.filter)
    key.writeBigUInt64LE(number, NUMBER_KEY.number)
    numbers.update(key, Buffer.from([1]))
  }
  for (const [name, entries, layout] of [
    ['texts', sets.texts, TEXT_ENTRY],
    ['suffixes', sets.suffixes, SUFFIX_ENTRY],
  ] as const) {
    using map = object.map(name)
    for (const { filter, bytes } of entries) {
      const key = Buffer.alloc(layout.bytes)
      // Prefix length in bits, of everything after this field.
      key.writeUInt32LE(8 * (layout.text - layout.filter + bytes.length), layout.bits)
      key.writeUInt32LE(filter, layout.filter)
      bytes.copy(key, layout.text)
      map.update(key, u32(bytes.length))
    }
  }
}
