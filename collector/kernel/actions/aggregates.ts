/**
 * Equal calls that the kernel side counts instead of reporting each (bpf/call/aggregate.h). The count of an aggregate is taken once, by a program that
 * the agent runs, because calls may continue meanwhile.
 */
import { builtFile } from '../../../native/index.ts'
import type { BpfMap, BpfObject, ObjectOptions } from '../../../native/types.ts'
import { BPF_F_NO_PREALLOC, atLeast } from '../../plan/facts.ts'
import type { KernelFacts } from '../../plan/facts.ts'
import { structBytes } from '../../plan/map-entries.ts'
import type { SharedMaps } from '../../plan/objects.ts'
import { u32 } from '../../wire/bytes.ts'
import { REPEAT_KEY, TAKEN_AGGREGATE, TAKE_DONE, TAKE_LATER } from '../../wire/wire.ts'

/** Size of its map if no policy aggregates. */
export const NO_AGGREGATES = { aggregates: 1 }

/** Identifies an aggregate, as the record of its first call does; `lo`, `hi`: of the hash. */
export interface AggregateKey {
  readonly hookId: number
  readonly tgid: number
  readonly lo: number
  readonly hi: number
}

export interface TakenAggregate {
  /** Calls, the first included. */
  readonly count: number
  /** Sum of their positive return values; 0 if it is not requested. */
  readonly bytes: number
  /** Boot time of the last call. */
  readonly lastNs: bigint
}

/** `later`: a call is being counted. `unknown`: the aggregate is missing, although its first call was reported. */
export type Taken = TakenAggregate | 'later' | 'unknown'

const PROGRAM = 'aggregate_take'
const ZERO = u32(0)

/** One for all functions, made with the first policy that aggregates. */
export class Aggregates implements Disposable {
  /** By its name in bpf/frame/aggregate.h; programs of functions share it. */
  readonly maps: { readonly aggregates: BpfMap }
  readonly #object: BpfObject
  readonly #taken: BpfMap

  /** Rejects with NativeError. */
  static async open(
    openObject: (path: string, options: ObjectOptions) => Promise<BpfObject>,
    facts: KernelFacts,
    { ring, cpu_state, processes, process_changes }: SharedMaps,
  ): Promise<Aggregates> {
    const options: ObjectOptions = {
      programs: [{ name: PROGRAM, kind: 'run' }],
      // Else the object makes maps of its own: 29 MiB.
      sharedMaps: { ring, cpu_state, processes, process_changes },
      mapFlags: atLeast(facts, 6, 1) ? { aggregates: BPF_F_NO_PREALLOC } : {},
    }
    using undo = new DisposableStack()
    const object = undo.use(await openObject(builtFile('aggregate.bpf.o'), options))
    const made = new Aggregates(object, undo.use(object.map('aggregates')), object.map('aggregate_taken'))
    undo.move()
    return made
  }

  private constructor(object: BpfObject, aggregates: BpfMap, taken: BpfMap) {
    this.#object = object
    this.maps = { aggregates }
    this.#taken = taken
  }

  /** Takes an aggregate: from then on equal calls begin a new one. */
  take({ hookId, tgid, lo, hi }: AggregateKey): Taken {
    const hash = Buffer.concat([u32(lo), u32(hi)])
    const key = structBytes(REPEAT_KEY, { policyHook: hookId, caller: tgid, arguments: hash })
    this.#taken.update(ZERO, structBytes(TAKEN_AGGREGATE, { key }))
    const result = this.#object.run(PROGRAM, 0)
    if (result === TAKE_LATER) return 'later'
    const taken = result === TAKE_DONE ? this.#taken.lookup(ZERO) : undefined
    if (taken === undefined) return 'unknown'
    return {
      count: Number(taken.readBigUInt64LE(TAKEN_AGGREGATE.count)),
      bytes: Number(taken.readBigUInt64LE(TAKEN_AGGREGATE.totalBytes)),
      lastNs: taken.readBigUInt64LE(TAKEN_AGGREGATE.lastNs),
    }
  }

  [Symbol.dispose](): void {
    this.maps.aggregates.close()
    this.#taken.close()
    this.#object.close()
  }
}
