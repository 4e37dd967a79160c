/**
 * Everything that the agent has in the kernel: the process programs with the shared maps, and the programs of policies. The kernel
 * frees all of it when this process ends, because only its file descriptors refer to it.
 */
import { join } from 'node:path'
import { builtFile, kernelPreempts, openObject, openRing, watchRing } from '../../native/index.ts'
import type { BpfObject, ObjectOptions, RingReader } from '../../native/types.ts'
import { readOr } from '../host/read.ts'
import { startKey } from '../wire/decode.ts'
import { u32, u64 } from '../wire/bytes.ts'
import { BPF_F_NO_PREALLOC, CREDENTIALS_HOOK, SCRIPT_HOOK, atLeast, preempts } from '../plan/facts.ts'
import type { Finding } from './watched/finding.ts'
import { checkSwitches } from './watched/switches.ts'
import { WatchedLink } from './watched/watched-link.ts'
import { Conditions } from './conditions/conditions.ts'
import { readImage } from './conditions/images.ts'
import { WorkloadMap } from './conditions/workload-entries.ts'
import type { WorkloadSource } from './conditions/workload-entries.ts'
import { structBytes } from '../plan/map-entries.ts'
import { SHARED_MAPS, processObject } from '../plan/objects.ts'
import type { SharedMaps } from '../plan/objects.ts'
import { PolicyPrograms } from './policy-programs.ts'
import type { PolicyProgramOptions } from './policy-programs.ts'
import type { CounterName, Kernel, KernelCounts, KernelProcess } from './port.ts'
import { COUNTERS, CPU_STATE, PROCESS } from '../wire/wire.ts'

export interface KernelOptions extends PolicyProgramOptions {
  readonly workloads: WorkloadSource
  readonly ringBytes: number
  readonly watermarkBytes: number
  /** Exec records have credentials and namespaces. */
  readonly processDetails?: boolean
  /** Also the environment. */
  readonly processEnvironment?: boolean
}

/** Part of the ring reserved for process records; at least one exec record of the largest size. */
const RESERVE_PART = 8
const EXEC_RECORD_BYTES = 32 << 10
/** Part of the ring that long arguments and environments may fill. */
const DATA_PART = 2
const CPU_STATE_KEY = u32(0)
/** Entries of the process table per part: a millisecond or two. */
const ENTRIES_AT_ONCE = 1024

/** In the order in which they are attached: exit first, so that every entry is removed again; exec after that, so that every reported process has an entry. */
const TRACED = ['process_exit', 'process_move', 'process_fork', 'process_exec', 'cgroup_gone', 'cgroup_made']

/** A real kernel; port.ts documents each member. */
export class KernelSide implements Kernel {
  readonly ring: RingReader
  /** The programs of policies. */
  readonly policies: PolicyPrograms
  readonly #object: BpfObject
  /** Links of the process programs. */
  readonly #links: WatchedLink[] = []
  /** Counts of this turn of the event loop. */
  #counts: KernelCounts | undefined
  readonly #maps: SharedMaps
  readonly #workloadMap: WorkloadMap
  readonly #procfs: string

  /** Loads and attaches the process programs. Rejects with NativeError. */
  static async open(options: KernelOptions): Promise<KernelSide> {
    using undo = new DisposableStack()
    kernelPreempts(preempts(options.facts))
    const constants = commonConstants(options)
    const { security, fprobe } = options.facts
    // A multi kind if there is one: perf events need CAP_SYS_ADMIN on hosts with kernel.perf_event_paranoid=3, Debian's default.
    const kind = fprobe ? 'kprobe.multi' : 'kprobe'
    const raises = security && options.processDetails === true
    const object = await openObject(builtFile(processObject(options.facts)), {
      programs: [
        ...TRACED.map((name) => ({ name, kind: 'tp_btf' }) as const),
        // Without it events of scripts have the name given to execve.
        ...(security ? [{ name: 'process_script', kind } as const] : []),
        ...(raises ? [{ name: 'process_raise', kind } as const] : []),
      ],
      constants: {
        ...constants,
        process_details: u32(options.processDetails === true ? 1 : 0),
        process_environment: u32(options.processEnvironment === true ? 1 : 0),
        ring_data_limit: u64(options.ringBytes / DATA_PART),
      },
      ...processMaps(options),
    })
    undo.use(object)
    const kernel = undo.use(new KernelSide(object, options, constants))
    const attach = async (program: string, symbols?: readonly string[]): Promise<void> => {
      kernel.#links.push(new WatchedLink(await object.attach(program, symbols), program))
    }
    if (security) await attach('process_script', [SCRIPT_HOOK])
    if (raises) await attach('process_raise', [CREDENTIALS_HOOK])
    for (const program of TRACED) await attach(program)
    undo.move()
    return kernel
  }

  private constructor(object: BpfObject, options: KernelOptions, constants: Readonly<Record<string, Buffer>>) {
    this.#object = object
    this.#procfs = options.procfs ?? '/proc'
    this.#maps = Object.fromEntries(SHARED_MAPS.map((name) => [name, object.map(name)])) as SharedMaps
    // A process that writes them could hide lost records, or have records name a process that ended. Programs may still write.
    this.#maps.cpu_state.freeze()
    this.#maps.process_changes.freeze()
    this.ring = openRing(this.#maps.ring)
    this.#workloadMap = new WorkloadMap(this.#maps)
    options.workloads.connect(this.#workloadMap)
    const conditions = new Conditions(this.#maps, options.workloads)
    this.policies = new PolicyPrograms(options, this.#maps, constants, conditions)
  }

  watch(wake: () => void): Disposable {
    return watchRing(this.#maps.ring, wake)
  }

  seedProcess(pid: number, startNs: bigint, parentPid: number): boolean {
    this.#maps.images.update(u32(pid), readImage(this.#procfs, pid, parentPid), true)
    return this.#maps.processes.update(u32(pid), structBytes(PROCESS, { startNs, parentTgid: parentPid }), true)
  }

  seedImages(): void {
    for (const part of this.processes()) {
      for (const { pid, parentTgid } of part) {
        if (this.#maps.images.lookup(u32(pid)) !== undefined) continue
        this.#maps.images.update(u32(pid), readImage(this.#procfs, pid, parentTgid), true)
        // Nothing else would remove an exited process's entry.
        if (this.processStart(pid) === undefined) this.#maps.images.delete(u32(pid))
      }
    }
  }

  forgetCgroups(): void {
    this.#workloadMap.forget()
  }

  forgetProcess(pid: number): void {
    for (const map of [this.#maps.processes, this.#maps.images, this.#maps.verdicts, this.#maps.privileges])
      map.delete(u32(pid))
  }

  processStart(pid: number): bigint | undefined {
    return this.#maps.processes.lookup(u32(pid))?.readBigUInt64LE(PROCESS.startNs)
  }

  *processes(): Generator<KernelProcess[]> {
    let from: Buffer | undefined
    do {
      const { keys, values, count, next } = this.#maps.processes.part(ENTRIES_AT_ONCE, from)
      const part: KernelProcess[] = []
      for (let i = 0; i < count; i++) {
        const at = i * PROCESS.bytes
        part.push({
          pid: keys.readUInt32LE(i * 4),
          start: startKey(values, at + PROCESS.startNs),
          parentTgid: values.readUInt32LE(at + PROCESS.parentTgid),
          parentStart: startKey(values, at + PROCESS.parentStartNs),
        })
      }
      yield part
      from = next
    } while (from !== undefined)
  }

  /**
   * The kernel's counters, summed over CPUs; read together, so that they are consistent. All callers in one turn of the event loop share a
   * reading. The counts of programs take two system calls a link: they are read only for callers that need them.
   */
  counts(): KernelCounts {
    if (this.#counts === undefined) {
      this.#counts = this.#readCounts()
      queueMicrotask(() => (this.#counts = undefined))
    }
    return this.#counts
  }

  #readCounts(): KernelCounts {
    const states = this.#maps.cpu_state.lookup(CPU_STATE_KEY) ?? Buffer.alloc(0)
    const sums = COUNTERS.map((name, i) => [name, sumAt(states, CPU_STATE.counters + 8 * i)] as const)
    const counters = Object.fromEntries(sums) as Record<CounterName, number>
    counters.return_missed += this.policies.joins?.lost ?? 0
    let programs: KernelCounts['programs'] | undefined
    let functions: KernelCounts['functions'] | undefined
    const readPrograms = (): KernelCounts['programs'] =>
      new Map([...this.#links.map((link) => [link.on, link.runs()] as const), ...this.policies.lookups.files.runs()])
    const readFunctions = (): KernelCounts['functions'] => this.policies.runs()
    return {
      taken: sumAt(states, CPU_STATE.seq),
      counters,
      get programs() {
        return (programs ??= readPrograms())
      },
      get functions() {
        return (functions ??= readFunctions())
      },
    }
  }

  get keepsStatistics(): boolean {
    return readOr(join(this.#procfs, 'sys/kernel/bpf_stats_enabled'))?.trim() === '1'
  }

  get ringBytes(): number {
    return this.#maps.ring.info.maxEntries
  }

  /** Finds changes by other processes; repairs what it can. Costs a system call for each link, gate, some map entries, and two reads. */
  check(): Finding[] {
    const links = [...this.#links.map(({ link }) => link), ...this.policies.links]
    const switches = checkSwitches(new Set(links.map(({ kind }) => kind)), this.#procfs)
    const own = [...this.#links.flatMap((link) => link.check()), ...this.#workloadMap.check()]
    return [...switches, ...own, ...this.policies.check()]
  }

  [Symbol.dispose](): void {
    this.policies?.[Symbol.dispose]()
    for (const link of this.#links) link[Symbol.dispose]()
    this.ring.close()
    for (const map of Object.values(this.#maps)) map.close()
    this.#object.close()
  }
}

/** Sum over CPUs of the u64 at `offset` of their states. */
function sumAt(states: Buffer, offset: number): number {
  let sum = 0
  for (let at = offset; at < states.length; at += CPU_STATE.bytes) {
    sum += states.readUInt32LE(at) + states.readUInt32LE(at + 4) * 2 ** 32
  }
  return sum
}

/** Processes that the tables have room for. */
const PROCESSES_MAX = 131_072
/** Without maps that grow, tables of programs have less room: 31 MiB instead of 123. */
const FIXED_IMAGES = 32_768
/** Tables with an entry for a process, beside `processes`. */
const OF_PROCESSES = ['images', 'verdicts', 'privileges']
const GROWING = ['processes', ...OF_PROCESSES, 'condition_pids', 'workloads']

function processMaps({ facts, ringBytes, procfs }: KernelOptions): Pick<ObjectOptions, 'mapSizes' | 'mapFlags'> {
  const grows = atLeast(facts, 6, 1)
  const room = processRoom(procfs)
  const images = grows ? room : Math.min(room, FIXED_IMAGES)
  return {
    mapSizes: {
      ring: ringBytes,
      scratch: 1,
      processes: room,
      ...Object.fromEntries(OF_PROCESSES.map((name) => [name, images])),
    },
    mapFlags: Object.fromEntries(grows ? GROWING.map((name) => [name, BPF_F_NO_PREALLOC]) : []),
  }
}

/** Processes that this host can have, at most PROCESSES_MAX: even an empty table takes 16 bytes for each. */
export function processRoom(procfs = '/proc'): number {
  const limits = ['pid_max', 'threads-max'].map((name) => Number(readOr(join(procfs, 'sys/kernel', name))) || Infinity)
  return Math.min(PROCESSES_MAX, ...limits)
}

function commonConstants({ facts, ringBytes, watermarkBytes }: KernelOptions): Record<string, Buffer> {
  return {
    ring_watermark: u64(watermarkBytes),
    ring_hook_limit: u64(ringBytes - Math.max(ringBytes / RESERVE_PART, EXEC_RECORD_BYTES)),
    rename_lock_address: u64(facts.renameLock),
    mount_lock_address: u64(facts.mountLock),
    unified_cgroups: u32(facts.unifiedCgroups ? 1 : 0),
  }
}
