/**
 * Everything of ours that lives in the kernel: the process programs with the shared maps, and one set of objects for
 * each loaded policy. All of it hangs on file descriptors of this process and is gone when it ends, however it ends.
 */
import { constants as os } from 'node:os'
import { fileURLToPath } from 'node:url'
import { NativeError, bootTime, openObject, openRing, watchRing } from '../../native/index.ts'
import type { AttachKind, BpfMap, BpfObject, Link, RingReader } from '../../native/types.ts'
import type { Policy } from '../../config/policy/policy.ts'
import { formatProblem } from '../../config/yaml/problems.ts'
import { CollectorError } from '../errors.ts'
import { COUNTERS, CPU_STATE_BYTES, HOOK, LIMITS, PROCESS_VALUE } from './wire.ts'
import { SCRIPT_HOOK } from './facts.ts'
import type { KernelFacts } from './facts.ts'
import { atLeast } from './facts.ts'
import { JoinSweep, threadStarts } from './joins.ts'
import type { ThreadStart } from './joins.ts'
import type { FilterSets } from './layout.ts'
import type { KernelProcess } from '../process/reconcile.ts'
import { startKey } from '../ingest/decode.ts'
import { planPolicy } from './plan.ts'
import type { AttachMode, PlannedHook, PlannedObject, SkippedCall, Symbols } from './plan.ts'

export type CounterName = (typeof COUNTERS)[number]

export interface KernelOptions {
  readonly facts: KernelFacts
  readonly symbols: Symbols
  readonly mode: AttachMode | 'auto'
  readonly ringBytes: number
  readonly watermarkBytes: number
  /** Host pid of the agent: its own accesses are no events. */
  readonly agentPid: number
  /** Where the host's proc file system is; `/proc` when absent. */
  readonly procfs?: string
}

export interface LoadedHook extends PlannedHook {
  readonly links: readonly Link[]
}

export interface LoadedPolicy extends Disposable {
  readonly policy: Policy
  readonly hooks: readonly LoadedHook[]
  /** Optional calls that this kernel does not have. */
  readonly skipped: readonly SkippedCall[]
}

/** include/uapi/linux/bpf.h. Programs of tracing may use such a map since 6.1 (kernel commit 34dd3bad1a6f). */
const BPF_F_NO_PREALLOC = 1
/** Hits leave this part of the ring to records of processes, and room for one exec record of the largest size at least. */
const RESERVE_PART = 8
const EXEC_RECORD_BYTES = 32 << 10
/** Entries of the process table looked at in one go: a millisecond or two. */
const ENTRIES_AT_ONCE = 1024

const { E2BIG } = os.errno
const BUILD = new URL('../../bpf/build/', import.meta.url)
const objectPath = (file: string): string => fileURLToPath(new URL(file, BUILD))

const u64 = (value: bigint | number): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

/** Maps of process.bpf.o that the hook objects share; each takes those that its file has. */
const SHARED = ['ring', 'cpu_state', 'processes'] as const

export class KernelSide implements Disposable {
  readonly ring: RingReader
  readonly #options: KernelOptions
  readonly #object: BpfObject
  readonly #links: Array<{ readonly program: string; readonly link: Link }> = []
  readonly #maps: Record<(typeof SHARED)[number], BpfMap>
  #nextHookId = 1
  /** Links of the attached policies, by kind and kernel function. */
  readonly #hookLinks = new Map<string, number>()
  readonly #threadStart: ThreadStart
  /** Join maps of the policies in force that join. */
  readonly #joins = new Set<JoinSweep>()
  /** Calls that matched at entry and whose return never came: the thread is gone, or the hook was detached before. */
  #cutReturns = 0

  constructor(options: KernelOptions) {
    this.#options = options
    this.#threadStart = threadStarts(options.procfs ?? '/proc')
    this.#object = openObject(objectPath('process.bpf.o'), {
      programs: [
        { name: 'process_fork', kind: 'tp_btf' },
        { name: 'process_exec', kind: 'tp_btf' },
        { name: 'process_exit', kind: 'tp_btf' },
        // Without it scripts keep the name that they were given.
        ...(options.facts.security ? [{ name: 'process_script', kind: 'kprobe' } as const] : []),
      ],
      constants: this.#commonConstants(),
      mapSizes: { ring: options.ringBytes },
      mapFlags: atLeast(options.facts, 6, 1) ? { processes: BPF_F_NO_PREALLOC } : {},
    })
    try {
      this.#maps = {
        ring: this.#object.map('ring'),
        cpu_state: this.#object.map('cpu_state'),
        processes: this.#object.map('processes'),
      }
      this.ring = openRing(this.#maps.ring)
      if (options.facts.security) {
        this.#links.push({ program: 'process_script', link: this.#object.attach('process_script', [SCRIPT_HOOK]) })
      }
      // Exit first and exec last: what is known must also be forgotten, what is reported must be known.
      for (const program of ['process_exit', 'process_fork', 'process_exec']) {
        this.#links.push({ program, link: this.#object.attach(program) })
      }
    } catch (error) {
      this[Symbol.dispose]()
      throw error
    }
  }

  watch(wake: () => void): Disposable {
    return watchRing(this.#maps.ring, wake)
  }

  #commonConstants(): Record<string, Buffer> {
    const { facts, ringBytes, watermarkBytes } = this.#options
    return {
      ring_watermark: u64(watermarkBytes),
      ring_hook_limit: u64(ringBytes - Math.max(ringBytes / RESERVE_PART, EXEC_RECORD_BYTES)),
      rename_lock_address: u64(facts.renameLock),
      mount_lock_address: u64(facts.mountLock),
    }
  }

  /**
   * Enters a process that ran before us; the hooks' own entry wins. False when it was known, or the table is full.
   */
  seedProcess(pid: number, startNs: bigint, parentPid: number): boolean {
    const value = Buffer.alloc(PROCESS_VALUE.bytes)
    value.writeBigUInt64LE(startNs, PROCESS_VALUE.startNs)
    value.writeUInt32LE(parentPid, PROCESS_VALUE.parentTgid)
    return this.#maps.processes.update(u32(pid), value, true)
  }

  forgetProcess(pid: number): void {
    this.#maps.processes.delete(u32(pid))
  }

  /** The start time of the image that the kernel's table has for this pid. */
  processStart(pid: number): bigint | undefined {
    return this.#maps.processes.lookup(u32(pid))?.readBigUInt64LE(PROCESS_VALUE.startNs)
  }

  /** The kernel's table of processes, in parts: the caller decides when to go on. What is there all the while is seen. */
  *processes(): Generator<KernelProcess[]> {
    let from: Buffer | undefined
    do {
      const { keys, values, count, next } = this.#maps.processes.part(ENTRIES_AT_ONCE, from)
      const part: KernelProcess[] = []
      for (let i = 0; i < count; i++) {
        const at = i * PROCESS_VALUE.bytes
        part.push({
          pid: keys.readUInt32LE(i * 4),
          start: startKey(values, at + PROCESS_VALUE.startNs),
          parentTgid: values.readUInt32LE(at + PROCESS_VALUE.parentTgid),
          parentStart: startKey(values, at + PROCESS_VALUE.parentStartNs),
        })
      }
      yield part
      from = next
    } while (from !== undefined)
  }

  /**
   * Loads and attaches a policy, whole or not at all. Throws CollectorError POLICY_REFUSED with the position in the
   * file for what this kernel does not have, or for what it refuses.
   */
  loadPolicy(policy: Policy): LoadedPolicy {
    /** Functions whose trampoline other tracers of the host have filled: their hooks are joined. */
    const full = new Set<string>()
    for (;;) {
      try {
        return this.#load(policy, full)
      } catch (error) {
        const cause = error instanceof CollectorError ? error.cause : undefined
        if (!(cause instanceof NativeError) || cause.errno !== E2BIG || full.has(cause.target)) throw error
        full.add(cause.target)
      }
    }
  }

  #load(policy: Policy, full: ReadonlySet<string>): LoadedPolicy {
    const { facts, symbols, mode } = this.#options
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
    const close = (): void => {
      for (const hook of hooks) for (const link of hook.links) link.close()
      // Links first: nothing enters any more, and what still waits has lost its return.
      for (const { map, sweep } of joins) {
        this.#joins.delete(sweep)
        this.#cutReturns += sweep.waiting()
        map.close()
      }
      for (const object of objects) object.close()
      joins.length = objects.length = 0
    }
    try {
      const loaded = planned.map((plan) => {
        const object = this.#openHooks(plan)
        objects.push(object)
        if (plan.hooks.some((hook) => hook.mode === 'join' || hook.mode === 'kprobe.session')) {
          const map = object.map('join')
          joins.push({ map, sweep: new JoinSweep(map, this.#threadStart) })
        }
        return { plan, object }
      })
      // Everything is loaded before anything is attached: a refusal by the verifier then never shows as half a policy.
      for (const { plan, object } of loaded) {
        for (const hook of plan.hooks) hooks.push({ ...hook, links: attachHook(object, hook) })
      }
    } catch (error) {
      close()
      if (!(error instanceof NativeError)) throw error
      const at = planned.flatMap((plan) => plan.hooks)[hooks.length]?.spec.at ?? { line: 1, col: 1 }
      const problem = formatProblem({ file: policy.file, ...at, message: error.message })
      throw new CollectorError('POLICY_REFUSED', problem, { cause: error })
    }
    for (const { sweep } of joins) this.#joins.add(sweep)
    this.#countLinks(hooks, 1)
    return {
      policy,
      hooks,
      skipped,
      [Symbol.dispose]: () => {
        if (objects.length > 0) this.#countLinks(hooks, -1)
        close()
      },
    }
  }

  #linksOn(kind: AttachKind, symbol: string): number {
    return this.#hookLinks.get(`${kind} ${symbol}`) ?? 0
  }

  #countLinks(hooks: readonly PlannedHook[], by: 1 | -1): void {
    for (const { kind, symbol } of hooks.flatMap(({ attach }) => attach)) {
      this.#hookLinks.set(`${kind} ${symbol}`, this.#linksOn(kind, symbol) + by)
    }
  }

  #openHooks(plan: PlannedObject): BpfObject {
    const constants = Buffer.alloc(LIMITS.hookSlots * HOOK.bytes)
    plan.constants.copy(constants)
    const object = openObject(objectPath(plan.file), {
      programs: plan.hooks.flatMap((hook) => hook.programs),
      constants: { ...this.#commonConstants(), hooks: constants, agent_tgid: u32(this.#options.agentPid) },
      sharedMaps: this.#maps,
      mapSizes: {
        numbers: Math.max(1, plan.sets.numbers.length),
        texts: Math.max(1, plan.sets.texts.length),
        tails: Math.max(1, plan.sets.tails.length),
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

  /** Sequence numbers taken and counters so far, summed over CPUs; from one look, so that they fit together. */
  state(): { readonly taken: number; readonly counters: Readonly<Record<CounterName, number>> } {
    const counters = Object.fromEntries(COUNTERS.map((name) => [name, 0])) as Record<CounterName, number>
    counters.return_missed += this.#cutReturns
    let taken = 0
    for (const state of this.#cpuStates()) {
      taken += Number(state.readBigUInt64LE(0))
      COUNTERS.forEach((name, i) => (counters[name] += Number(state.readBigUInt64LE(8 + 8 * i))))
    }
    return { taken, counters }
  }

  /** Counts calls whose return will never come, and gives their room back; call it every few seconds. */
  sweepJoins(): void {
    if (this.#joins.size === 0) return
    const { agentPid } = this.#options
    // Another namespace's procfs, or none, would make every thread look gone.
    if (typeof this.#threadStart(agentPid, agentPid) !== 'bigint') return
    const now = bootTime()
    for (const join of this.#joins) this.#cutReturns += join.sweep(now)
  }

  /** Calls that matched and have not returned yet, or never will. */
  waitingReturns(): number {
    return [...this.#joins].reduce((sum, join) => sum + join.waiting(), 0)
  }

  /** Runs of the process programs that the kernel skipped, by program. */
  missedRuns(): ReadonlyArray<{ readonly program: string; readonly missed: number }> {
    return this.#links.map(({ program, link }) => ({ program, missed: Number(link.stats().missed) }))
  }

  #cpuStates(): Buffer[] {
    const all = this.#maps.cpu_state.lookup(u32(0)) ?? Buffer.alloc(0)
    const states: Buffer[] = []
    for (let at = 0; at < all.length; at += CPU_STATE_BYTES) states.push(all.subarray(at, at + CPU_STATE_BYTES))
    return states
  }

  [Symbol.dispose](): void {
    for (const { link } of this.#links) link.close()
    this.ring?.close()
    this.#object.close()
  }
}

function attachHook(object: BpfObject, hook: PlannedHook): Link[] {
  const links: Link[] = []
  try {
    for (const { program, symbol } of hook.attach) links.push(object.attach(program, [symbol]))
    return links
  } catch (error) {
    for (const link of links) link.close()
    throw error
  }
}

function fillSets(object: BpfObject, sets: FilterSets): void {
  using numbers = object.map('numbers')
  for (const { filter, number } of sets.numbers) {
    const key = Buffer.alloc(16)
    key.writeUInt32LE(filter, 0)
    key.writeBigUInt64LE(number, 8)
    numbers.update(key, Buffer.from([1]))
  }
  for (const [name, entries, capacity] of [
    ['texts', sets.texts, LIMITS.textKeyBytes],
    ['tails', sets.tails, LIMITS.tailKeyBytes],
  ] as const) {
    using map = object.map(name)
    for (const { filter, bytes } of entries) {
      const key = Buffer.alloc(8 + capacity)
      key.writeUInt32LE(8 * (4 + bytes.length), 0)
      key.writeUInt32LE(filter, 4)
      bytes.copy(key, 8)
      map.update(key, u32(bytes.length))
    }
  }
}
