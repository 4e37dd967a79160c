/**
 * The gates of one function: programs that stay attached to it as long as any policy needs it, and call the program of those policies
 * (bpf/gate.bpf.c). The replacement of that program is one store; calls run the old one or the new one.
 */
import type { AttachKind, BpfMap, BpfObject, Link, ProgramSpec } from '../../../native/types.ts'
import type { Finding } from '../watched/finding.ts'
import { attempt } from '../watched/attempt.ts'
import { WatchedLink } from '../watched/watched-link.ts'
import type { Runs } from '../watched/watched-link.ts'
import { HOOK_SLOTS } from '../../wire/wire.ts'
import type { AttachMethod } from '../../plan/plan.ts'
import { u32 } from '../../wire/bytes.ts'

/** A program of hook.bpf.c, and its place in a program array. */
interface Behind {
  readonly array: 'gate' | 'gate_back'
  readonly index: number
  readonly program: `hook_${string}`
}

/** An attached program, and the one that it calls, if any. */
interface End {
  readonly kind: AttachKind
  readonly gate: `gate_${string}`
  readonly behind?: Behind
  /** Its runs do not count for the function: a return, or a second program at the entry. */
  readonly second?: true
}

const first = (program: Behind['program']): Behind => ({ array: 'gate', index: 0, program })
const back = (program: Behind['program']): Behind => ({ array: 'gate_back', index: 0, program })

/** The return if the entry is a program of the same trampoline. */
const FEXIT_END: End = { kind: 'fexit', gate: 'gate_exit', behind: back('hook_left'), second: true }

/** A function with a program behind its gate. */
export interface ScreenedFunction {
  readonly symbol: string
  /** At its entry; one object while the function is attached. */
  readonly link: Pick<Link, 'kind'>
  /** Number of calls that the program began since it was loaded; without calls from cgroups that it remembers (bpf/call/workload.h). */
  readonly calls: () => bigint
}

/** In the order of attaching, the return side first: an entry must never be seen if its return cannot be. */
export function endsOf({ mode, multi, returns = false }: AttachMethod): readonly End[] {
  const kretprobe = multi ? 'kretprobe.multi' : 'kretprobe'
  switch (mode) {
    case 'kprobe.multi':
    case 'kprobe':
      return [{ kind: mode, gate: 'gate_entry', behind: first('hook_entry') }]
    case 'fexit':
      return [{ kind: mode, gate: 'gate_fexit', behind: first('hook_fexit') }]
    case 'tracepoint':
      return [{ kind: mode, gate: 'gate_event', behind: first('hook_event') }]
    case 'raw_tracepoint':
      return [{ kind: mode, gate: 'gate_raw', behind: first('hook_raw') }]
    case 'kprobe.session':
      return [{ kind: mode, gate: 'gate_entry', behind: first('hook_session') }]
    case 'join':
      return [
        {
          kind: kretprobe,
          gate: 'gate_return',
          behind: { array: 'gate', index: 1, program: 'hook_leave' },
          second: true,
        },
        { kind: multi ? 'kprobe.multi' : 'kprobe', gate: 'gate_entry', behind: first('hook_enter') },
      ]
    case 'fentry':
      return [FEXIT_END, { kind: mode, gate: 'gate_fentry', behind: first('hook_fentry') }]
    case 'override':
      return [
        ...(returns
          ? [{ kind: kretprobe, gate: 'gate_leave', behind: back('hook_leave'), second: true } as const]
          : []),
        // Before gate_entry, so that it runs after it (bpf/call/deny.h).
        { kind: 'kprobe', gate: 'gate_override', second: true },
        { kind: 'kprobe', gate: 'gate_entry', behind: first('hook_deny') },
      ]
    case 'fmod_ret':
      return [...(returns ? [FEXIT_END] : []), { kind: mode, gate: 'gate_modify', behind: first('hook_modify') }]
  }
}

/** Whether the kernel opens perf events for it, which some kernels leave to CAP_SYS_ADMIN. */
export const isPerfEvent = (way: AttachMethod): boolean =>
  endsOf(way).some(({ kind }) => kind === 'kprobe' || kind === 'kretprobe' || kind === 'tracepoint')

/** Kinds whose program is loaded for one function. */
const TARGETED: ReadonlySet<AttachKind> = new Set(['fentry', 'fexit', 'fmod_ret'])

const specOf = (name: string, kind: AttachKind, symbol: string): ProgramSpec =>
  TARGETED.has(kind) ? { name, kind, target: symbol } : { name, kind }

/** The programs to load from gate.bpf.o, or from hook.bpf.o, for a function in a slot. */
export const gatePrograms = (way: AttachMethod, symbol: string, slot: number): ProgramSpec[] =>
  endsOf(way).map(({ gate, kind }) => specOf(`${gate}_${slot}`, kind, symbol))

export const hookPrograms = (way: AttachMethod, symbol: string, slot: number): ProgramSpec[] =>
  endsOf(way).flatMap(({ behind, kind }) =>
    behind === undefined ? [] : [specOf(`${behind.program}_${slot}`, kind, symbol)],
  )

/** The programs of a function: a slot of an object that it shares with other functions. */
export interface Programs {
  readonly object: BpfObject
  readonly slot: number
}

/**
 * The number of calls that the program of a function began, on all CPUs, since it was loaded. It is the first word of the scratch
 * (bpf/base/path_text.h), which has 6 KiB a CPU or more: use it seldom.
 */
function callsBegun({ object, slot }: Programs): bigint {
  using scratch = object.map('scratch')
  const value = scratch.lookup(u32(slot)) ?? Buffer.alloc(0)
  const bytes = value.length / scratch.info.perCpu
  let sum = 0n
  for (let at = 0; at < value.length; at += bytes) sum += value.readBigUInt64LE(at)
  return sum
}

/** The link at the entry of a function, with the calls of its program. */
export function screened(attached: {
  readonly symbol: string
  readonly gate: Gate
  readonly programs: Programs
}): ScreenedFunction[] {
  const link = attached.gate.links.at(-1)
  return link === undefined ? [] : [{ symbol: attached.symbol, link, calls: () => callsBegun(attached.programs) }]
}

export class Gate implements Disposable {
  readonly #arrays: ReadonlyMap<Behind['array'], BpfMap>
  readonly #ends: readonly End[]
  #links: WatchedLink[] = []
  /** Programs in the arrays, as the kernel numbers them. */
  readonly #programs = new Map<Behind, number>()

  /** `object`: gate.bpf.o with the function's programs in a slot. */
  constructor(object: BpfObject, way: AttachMethod, slot: number) {
    if (slot >= HOOK_SLOTS) throw new RangeError(`slot ${slot}`)
    this.#ends = endsOf(way)
    const names = new Set(this.#ends.flatMap(({ behind }) => behind?.array ?? []))
    this.#arrays = new Map([...names].map((name) => [name, object.map(`${name}_${slot}`)]))
  }

  /** Attaches; the gate must have its programs. Throws NativeError; then nothing is attached. */
  async attach(object: BpfObject, symbol: string, slot: number): Promise<void> {
    try {
      for (const { gate, kind } of this.#ends) {
        // The kernel knows a raw tracepoint by its event alone.
        const name = kind === 'raw_tracepoint' ? symbol.slice(symbol.indexOf(':') + 1) : symbol
        this.#links.push(new WatchedLink(await object.attach(`${gate}_${slot}`, [name]), symbol))
      }
    } catch (error) {
      this.#detach()
      throw error
    }
  }

  /** Makes calls run the programs of `object`. */
  put(object: BpfObject, slot: number): void {
    for (const { behind } of this.#ends) {
      if (behind === undefined) continue
      const array = this.#arrays.get(behind.array)
      if (array === undefined) continue
      object.put(array, behind.index, `${behind.program}_${slot}`)
      this.#programs.set(behind, this.#programAt(behind))
    }
  }

  /** 0 for none. */
  #programAt({ array, index }: Behind): number {
    return this.#arrays.get(array)?.lookup(u32(index))?.readUInt32LE() ?? 0
  }

  /** Finds changes by other processes. Restores the program of `object`. */
  check(symbol: string, { object, slot }: Programs): Finding[] {
    const links = this.#links.flatMap((link) => link.check())
    const ends = [...this.#programs].flatMap(([behind, program]) => {
      const now = this.#programAt(behind)
      return now === program
        ? []
        : [{ expected: `program ${program}`, got: now === 0 ? 'no program' : `program ${now}` }]
    })
    if (ends.length === 0) return links
    // Not if another process has frozen the array: only a new gate would help.
    const repaired = attempt(() => this.put(object, slot))
    return [...links, ...ends.map((end): Finding => ({ kind: 'gate_changed', on: symbol, ...end, repaired }))]
  }

  /**
   * For a joined function only missed runs of the entry side count: an event whose return was missed is sent, marked.
   * A session has one program for both sides, so its missed returns count too: the number may be too high, never too low.
   */
  runs(): Runs {
    const sum = { missed: 0, runs: 0, runNs: 0 }
    for (const [i, link] of this.#links.entries()) {
      const { missed, runs, runNs } = link.runs()
      sum.runNs += runNs
      if (this.#ends[i]?.second === true) continue
      sum.missed += missed
      sum.runs += runs
    }
    return sum
  }

  /** The attached links; the side of the entry is the last. */
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
    for (const { behind } of this.#ends)
      if (behind !== undefined) this.#arrays.get(behind.array)?.delete(u32(behind.index))
    for (const array of this.#arrays.values()) array.close()
  }
}
