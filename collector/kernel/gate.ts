/**
 * The gates of one function: what is attached to it, for as long as any policy wants it, and calls the program that knows those policies
 * (bpf/gate.bpf.c). Replacing that program is one store; calls run the old one or the new one.
 */
import type { AttachKind, BpfMap, BpfObject, Link, ProgramSpec } from '../../native/types.ts'
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

export class Gate implements Disposable {
  readonly #map: BpfMap
  readonly #ends: readonly End[]
  #links: Link[] = []

  /** `object`: gate.bpf.o with the function's programs in a slot. */
  constructor(object: BpfObject, way: Way, slot: number) {
    if (slot >= HOOK_SLOTS) throw new RangeError(`slot ${slot}`)
    this.#map = object.map(`gate_${slot}`)
    this.#ends = endsOf(way)
  }

  /** Attaches; the gate must have its programs. Throws NativeError; then nothing is attached. */
  async attach(object: BpfObject, symbol: string, slot: number): Promise<void> {
    try {
      for (const { gate } of this.#ends) this.#links.push(await object.attach(`${gate}_${slot}`, [symbol]))
    } catch (error) {
      this.#detach()
      throw error
    }
  }

  /** From now on calls run the programs of `object`. */
  put(object: BpfObject, slot: number): void {
    for (const { program, index } of this.#ends) object.put(this.#map, index, `${program}_${slot}`)
  }

  get links(): readonly Link[] {
    return this.#links
  }

  #detach(): void {
    for (const link of this.#links) link.close()
    this.#links = []
  }

  [Symbol.dispose](): void {
    this.#detach()
    // A program array that is still loaded keeps its programs.
    for (const { index } of this.#ends) this.#map.delete(u32(index))
    this.#map.close()
  }
}
