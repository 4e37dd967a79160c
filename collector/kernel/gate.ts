/**
 * The gates of one function: what is attached to it, for as long as any policy wants it, and calls the program that knows those policies
 * (bpf/gate.bpf.c). Replacing that program is one store; calls run the old one or the new one.
 */
import type { AttachKind, BpfMap, BpfObject, Link, ProgramSpec } from '../../native/types.ts'
import type { ScreenedFunction } from './guard/canary.ts'
import type { Finding } from './guard/finding.ts'
import { WatchedLink } from './guard/watched-link.ts'
import { HOOK_SLOTS } from './wire.ts'
import type { Way } from './plan.ts'
import { u32 } from './bytes.ts'

/** A program that is attached, and the program of hook.bpf.c behind it. */
interface End {
  readonly kind: AttachKind
  readonly gate: 'gate_entry' | 'gate_fexit' | 'gate_return'
  /** Place in the program array. */
  readonly index: number
  readonly program: 'hook_entry' | 'hook_fexit' | 'hook_session' | 'hook_enter' | 'hook_leave'
}

/** Return side first: an entry must never be seen when its return cannot be. */
export function endsOf({ mode, multi }: Way): readonly End[] {
  switch (mode) {
    case 'kprobe.multi':
    case 'kprobe':
      return [{ kind: mode, gate: 'gate_entry', index: 0, program: 'hook_entry' }]
    case 'fexit':
      return [{ kind: mode, gate: 'gate_fexit', index: 0, program: 'hook_fexit' }]
    case 'kprobe.session':
      return [{ kind: mode, gate: 'gate_entry', index: 0, program: 'hook_session' }]
    case 'join':
      return [
        { kind: multi ? 'kretprobe.multi' : 'kretprobe', gate: 'gate_return', index: 1, program: 'hook_leave' },
        { kind: multi ? 'kprobe.multi' : 'kprobe', gate: 'gate_entry', index: 0, program: 'hook_enter' },
      ]
  }
}

const specOf = (name: string, kind: AttachKind, symbol: string): ProgramSpec =>
  kind === 'fexit' ? { name, kind, target: symbol } : { name, kind }

/** The programs to load from gate.bpf.o, or from hook.bpf.o, for a function in a slot. */
export const gatePrograms = (way: Way, symbol: string, slot: number): ProgramSpec[] =>
  endsOf(way).map(({ gate, kind }) => specOf(`${gate}_${slot}`, kind, symbol))

export const hookPrograms = (way: Way, symbol: string, slot: number): ProgramSpec[] =>
  endsOf(way).map(({ program, kind }) => specOf(`${program}_${slot}`, kind, symbol))

/** The programs of a function: a slot of an object that it shares with other functions. */
export interface Programs {
  readonly object: BpfObject
  readonly slot: number
}

/** What the kernel counts of the programs on a function. */
export interface Runs {
  /** Skipped runs. */
  readonly missed: number
  /** While the kernel keeps statistics: runs, and their time. Of a function that is joined, the runs at its entry and the time of both sides. */
  readonly runs: number
  readonly runNs: number
}

/**
 * How often the program of a function began a call, on all CPUs, since it was loaded. The first word of its scratch (bpf/call/scratch.h), which has 30 KiB
 * a CPU: for seldom.
 */
function callsBegun({ object, slot }: Programs): bigint {
  using scratch = object.map('scratch')
  const value = scratch.lookup(u32(slot)) ?? Buffer.alloc(0)
  const bytes = value.length / scratch.info.perCpu
  let sum = 0n
  for (let at = 0; at < value.length; at += bytes) sum += value.readBigUInt64LE(at)
  return sum
}

/** What is attached to the entry of a function, and its program. */
export function screened(attached: {
  readonly symbol: string
  readonly gate: Gate
  readonly programs: Programs
}): ScreenedFunction[] {
  const link = attached.gate.links.at(-1)
  return link === undefined ? [] : [{ symbol: attached.symbol, link, calls: () => callsBegun(attached.programs) }]
}

export function addRuns(all: Map<string, Runs>, key: string, more: Runs): void {
  const { missed, runs, runNs } = all.get(key) ?? { missed: 0, runs: 0, runNs: 0 }
  all.set(key, { missed: missed + more.missed, runs: runs + more.runs, runNs: runNs + more.runNs })
}

export class Gate implements Disposable {
  readonly #map: BpfMap
  readonly #ends: readonly End[]
  #links: WatchedLink[] = []
  /** Programs in the array, by index, as the kernel numbers them. */
  readonly #programs = new Map<number, number>()

  /** `object`: gate.bpf.o with the function's programs in a slot. */
  constructor(object: BpfObject, way: Way, slot: number) {
    if (slot >= HOOK_SLOTS) throw new RangeError(`slot ${slot}`)
    this.#map = object.map(`gate_${slot}`)
    this.#ends = endsOf(way)
  }

  /** Attaches; the gate must have its programs. Throws NativeError; then nothing is attached. */
  async attach(object: BpfObject, symbol: string, slot: number): Promise<void> {
    try {
      for (const { gate } of this.#ends) {
        this.#links.push(new WatchedLink(await object.attach(`${gate}_${slot}`, [symbol]), symbol))
      }
    } catch (error) {
      this.#detach()
      throw error
    }
  }

  /** From now on calls run the programs of `object`. */
  put(object: BpfObject, slot: number): void {
    for (const { program, index } of this.#ends) {
      object.put(this.#map, index, `${program}_${slot}`)
      this.#programs.set(index, this.#programAt(index))
    }
  }

  /** 0 for none. */
  #programAt(index: number): number {
    return this.#map.lookup(u32(index))?.readUInt32LE() ?? 0
  }

  /** What others have changed. A program that is not the one of `object` is replaced by it. */
  check(symbol: string, { object, slot }: Programs): Finding[] {
    const links = this.#links.flatMap((link) => link.check())
    const ends = [...this.#programs].flatMap(([index, program]) => {
      const now = this.#programAt(index)
      return now === program
        ? []
        : [{ expected: `program ${program}`, got: now === 0 ? 'no program' : `program ${now}` }]
    })
    if (ends.length === 0) return links
    const repaired = this.#putBack(object, slot)
    return [...links, ...ends.map((end): Finding => ({ kind: 'gate_changed', on: symbol, ...end, repaired }))]
  }

  #putBack(object: BpfObject, slot: number): boolean {
    try {
      this.put(object, slot)
      return true
    } catch {
      // Frozen by another: only a new gate would help.
      return false
    }
  }

  /**
   * For a joined function only missed runs of the entry side count: an event whose return was missed is there, and marked.
   * A session has one program for both sides, so returns missed by it count too: too many, never too few.
   */
  runs(): Runs {
    const sum = { missed: 0, runs: 0, runNs: 0 }
    for (const { link } of this.#links) {
      const { missed, runs, runNs } = link.stats()
      sum.runNs += Number(runNs)
      if (link.kind === 'kretprobe' || link.kind === 'kretprobe.multi') continue
      sum.missed += Number(missed)
      sum.runs += Number(runs)
    }
    return sum
  }

  /** What is attached; the side of the entry is the last. */
  get links(): readonly Link[] {
    return this.#links.map(({ link }) => link)
  }

  #detach(): void {
    for (const link of this.#links) link[Symbol.dispose]()
    this.#links = []
  }

  [Symbol.dispose](): void {
    this.#detach()
    // A program array that is still loaded keeps its programs.
    for (const { index } of this.#ends) this.#map.delete(u32(index))
    this.#map.close()
  }
}
