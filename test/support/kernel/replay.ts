/**
 * A kernel that plays records instead of running programs: policies are planned as on a real one, and the records that a test plays come out of
 * its ring. With it the real agent runs on any host.
 */
import { takeLock, takeOver } from '../../../collector/host/sockets/lock.ts'
import { numbering } from '../../../collector/plan/functions/places.ts'
import type { KernelFacts } from '../../../collector/plan/facts.ts'
import type { KernelSource } from '../../../collector/kernel/open.ts'
import { planPolicy } from '../../../collector/plan/plan.ts'
import type { LoadedPolicy, PlannedHook, Symbols } from '../../../collector/plan/plan.ts'
import type {
  Kernel,
  KernelCounts,
  KernelLookups,
  KernelPrograms,
  KernelProcess,
} from '../../../collector/kernel/port.ts'
import type { MapEnds } from '../../../collector/wire/decode.ts'
import { COUNTERS, EVENT_HEADER, EVENT_HOOK } from '../../../collector/wire/wire.ts'
import type { Policy } from '../../../config/policy/policy.ts'
import type { RingReader } from '../../../native/types.ts'

/** RingReader stops when less room than a largest record is left. */
const LARGEST_RECORD = 64 << 10

const NO_ENDS: MapEnds = { calls: [], functions: [] }

export interface ReplayOptions {
  readonly facts: KernelFacts
  /** Functions and tracepoints that this kernel has, for planning. */
  readonly symbols: Symbols
  /** Agents with the same path are on the same host; default: on a host of its own. */
  readonly lockPath?: string
}

export class ReplayKernel implements Kernel, KernelPrograms {
  ringBytes: number = 16 << 20
  readonly keepsStatistics = false
  readonly policies: KernelPrograms = this
  readonly joins = undefined
  readonly lookups: KernelLookups = {
    files: { pathOf: () => undefined, refresh: async () => {} },
    contents: { read: () => Promise.reject(new Error('no file contents are recorded')), idle: true },
    takeAggregate: () => 'unknown',
  }
  /** The policies that are attached. */
  readonly attached = new Set<LoadedPolicy>()
  /** Counters as the kernel has them; a test may raise some. */
  readonly counters: Record<(typeof COUNTERS)[number], number>
  /** Why the next change of policies is refused. */
  refusal: Error | undefined
  /** Ends of calls that the ring does not report: the next ends in the kernel's map. */
  ends: MapEnds = NO_ENDS
  readonly #options: ReplayOptions
  readonly #processes = new Map<number, bigint>()
  readonly #place = numbering()
  #nextHookId = 1
  #waiting: Buffer[] = []
  #waitingBytes = 0
  #taken = 0
  #wake: () => void = () => {}

  constructor(options: ReplayOptions) {
    this.#options = options
    this.counters = Object.fromEntries(COUNTERS.map((name) => [name, 0])) as typeof this.counters
  }

  /** For `startAgent`. */
  get source(): KernelSource {
    return {
      check: () => {},
      lock: async (takesOver, temporary) => {
        const { lockPath } = this.#options
        if (lockPath !== undefined) return takesOver ? takeOver(lockPath) : takeLock(lockPath, temporary)
        return {
          since: undefined,
          lost: new AbortController().signal,
          confirm: async () => {},
          asked: () => new Promise(() => {}),
          [Symbol.dispose]: () => {},
        }
      },
      facts: async () => this.#options.facts,
      open: async ({ ring }) => {
        this.ringBytes = ring.size
        return this
      },
    }
  }

  /** Puts records into the ring, as the kernel's programs write them: a full ring refuses them, and each is counted. */
  play(records: Buffer): void {
    for (let at = 0; at < records.length;) {
      const end = at + ((records.readUInt32LE(at + EVENT_HEADER.size) + 7) & ~7)
      this.#taken++
      if (this.#waitingBytes + end - at <= this.ringBytes) {
        this.#waiting.push(records.subarray(at, end))
        this.#waitingBytes += end - at
      } else if (records[at + EVENT_HEADER.type] === EVENT_HOOK) this.counters.ring_full_hook++
      else this.counters.ring_full_process++
      at = end
    }
    this.#wake()
  }

  /** Numbers that the kernel took for records that never came. */
  lose(records: number): void {
    this.#taken += records
  }

  readonly ring: RingReader = {
    read: (into) => {
      let length = 0
      while (this.#waiting.length > 0 && length + LARGEST_RECORD <= into.length) {
        const record = this.#waiting.shift() as Buffer
        into.set(record, length)
        length += record.length
      }
      this.#waitingBytes -= length
      return length
    },
    available: () => this.#waitingBytes,
    malformed: () => 0,
    close: () => {},
    [Symbol.dispose]: () => {},
  }

  watch(wake: () => void): Disposable {
    this.#wake = wake
    return { [Symbol.dispose]: () => void (this.#wake = () => {}) }
  }

  async change(
    remove: readonly LoadedPolicy[],
    add: readonly Policy[],
    planned: (hooks: readonly PlannedHook[]) => void = () => {},
  ): Promise<LoadedPolicy[]> {
    const { refusal } = this
    this.refusal = undefined
    if (refusal !== undefined) throw refusal
    const { facts, symbols } = this.#options
    const plans = add.map((policy) => planPolicy(policy, facts, symbols, 'auto', () => this.#nextHookId++, this.#place))
    planned(plans.flatMap(({ hooks }) => hooks))
    const loaded = plans.map((plan) => ({
      ...plan,
      hooks: plan.hooks.map((hook) => ({ ...hook, mode: hook.way.mode })),
    }))
    for (const policy of remove) this.attached.delete(policy)
    for (const policy of loaded) this.attached.add(policy)
    return loaded
  }

  counts(): KernelCounts {
    return { taken: this.#taken, counters: { ...this.counters }, programs: new Map(), functions: new Map() }
  }

  seedProcess(pid: number, startNs: bigint): boolean {
    if (this.#processes.has(pid)) return false
    this.#processes.set(pid, startNs)
    return true
  }

  forgetProcess(pid: number): void {
    this.#processes.delete(pid)
  }

  processStart(pid: number): bigint | undefined {
    return this.#processes.get(pid)
  }

  processes(): Iterable<readonly KernelProcess[]> {
    return []
  }

  takeEnds(): MapEnds {
    const { ends } = this
    this.ends = NO_ENDS
    return ends
  }

  seedImages = (): void => {}
  forgetCgroups = (): void => {}
  sweepJoins = (): void => {}
  check = (): [] => []
  functions = (): [] => []
  memoryOf = (): number => 0
  doneByHook = (): ReturnType<KernelPrograms['doneByHook']> => new Map()
  doneBy = (): ReturnType<KernelPrograms['doneBy']> => new Map()
  detachAll = (): Promise<void> => Promise.resolve();
  [Symbol.dispose](): void {}
}
