/** Loads the programs of functions (bpf/hook.bpf.c) and their gates, and keeps the maps that all functions share. */
import { randomBytes } from 'node:crypto'
import type * as native from '../../../native/index.ts'
import { builtFile } from '../../../native/index.ts'
import type { BpfObject, ObjectOptions } from '../../../native/types.ts'
import { GoneThreads, threadStarts } from '../../host/gone-threads.ts'
import { Turns } from '../../host/turns.ts'
import { Acted, INACTIVE, acts } from '../actions/acted.ts'
import { u32 } from '../../wire/bytes.ts'
import type { Lookups } from '../conditions/lookups.ts'
import type { FilesOptions } from '../files/files.ts'
import { JoinSweep, NO_JOINS } from '../joins.ts'
import { overlayPlaces } from '../../plan/functions/overlay.ts'
import type { Assignment } from '../../plan/layout/assign.ts'
import { hookBytes } from '../../plan/layout/hook.ts'
import { knobsOf } from '../../plan/layout/knobs.ts'
import { Tables, fillMaps, mapSizes } from '../../plan/layout/tables.ts'
import { hookObject } from '../../plan/objects.ts'
import type { SharedMaps } from '../../plan/objects.ts'
import type { AttachMethod } from '../../plan/plan.ts'
import { FunctionRefused } from '../refusal.ts'
import { HOOK, HOOK_SLOTS } from '../../wire/wire.ts'
import { Gate, gatePrograms, hookPrograms } from './gate.ts'

export interface LoaderOptions extends Pick<FilesOptions, 'facts' | 'constants'> {
  /** Host pid of the agent, whose own accesses are not reported. */
  readonly agentPid: number
  /** Path of the host's proc file system. */
  readonly procfs: string
  readonly native: Pick<typeof native, 'openObject' | 'kernelMembers'>
  readonly maps: SharedMaps
  /** Facts that policies need and a call does not contain. */
  readonly lookups: Lookups
}

/** Whether calls wait in the map `join`. */
const joins = ({ mode, returns }: AttachMethod): boolean =>
  mode === 'join' || mode === 'fentry' || mode === 'kprobe.session' || returns === true

/** Loads up to HOOK_SLOTS functions at once. */
export class ProgramLoader implements Disposable {
  readonly #options: LoaderOptions
  readonly #goneThreads: GoneThreads
  readonly #secret: Buffer = randomBytes(8)
  /** Kernel memory of loaded objects. */
  readonly #memory = new WeakMap<BpfObject, number>()
  /** Matched entries that wait for their return, of all functions; made with the first program that joins. */
  joins: JoinSweep | undefined
  /** Made with the first program that acts. */
  acted: Acted | undefined

  constructor(options: LoaderOptions) {
    this.#options = options
    this.#goneThreads = new GoneThreads(threadStarts(options.procfs), options.agentPid)
  }

  /** The object with the programs of the functions, which have these ids. Throws FunctionRefused. */
  async hooks(part: readonly Assignment[], ids: readonly number[]): Promise<BpfObject> {
    const { facts, agentPid } = this.#options
    const tables = new Tables()
    const hooks = Buffer.alloc(HOOK_SLOTS * HOOK.bytes)
    const turns = new Turns()
    for (const [slot, each] of part.entries()) {
      const policyHooks = each.hooks.map(({ hook, spec }) => ({ id: hook.id, spec }))
      hookBytes(ids[slot] ?? 0, policyHooks, tables, this.#options.lookups.facts, each.way).copy(
        hooks,
        slot * HOOK.bytes,
      )
      if (turns.over) await turns.rest()
    }
    const joining = part.some(({ way }) => joins(way))
    const acting = part.some(({ hooks: served }) => served.some(acts))
    const conditional = part.some((_, slot) => hooks.readUInt32LE(slot * HOOK.bytes + HOOK.conditional) > 0)
    const detailed = part.some(({ hooks: served }) => served.some(({ spec }) => spec.fileDetails !== undefined))
    const constants = {
      ...this.#options.constants,
      ...knobsOf(part),
      ...(detailed && { overlay: await overlayPlaces(this.#options.native.kernelMembers) }),
      repeat_secret: this.#secret,
    }
    const lookups = this.#options.lookups.mapsOf(part)
    const options: ObjectOptions = {
      programs: part.flatMap(({ way, symbol }, slot) => hookPrograms(way, symbol, slot)),
      constants: { ...constants, hooks, agent_tgid: u32(agentPid) },
      sharedMaps: this.#sharedMaps(part),
      mapSizes: {
        ...mapSizes(tables),
        ...(acting || this.acted !== undefined ? {} : INACTIVE),
        ...(joining || this.joins !== undefined ? {} : NO_JOINS),
        scratch: part.length,
        evaluations: conditional ? part.length : 1,
        ...lookups.mapSizes,
      },
      valueSizes: { scratch: constants.scratch_bytes.readUInt32LE() },
    }
    const object = await this.#options.native
      .openObject(builtFile(hookObject(facts)), options)
      .catch((cause: unknown) => {
        throw FunctionRefused.of(part, cause)
      })
    using undo = new DisposableStack()
    undo.use(object)
    await fillMaps(object, tables, turns)
    if (joining) this.joins ??= new JoinSweep((name) => object.map(name), this.#goneThreads)
    this.#options.lookups.loaded(object, part)
    if (acting) {
      this.acted ??= new Acted(object)
      this.acted.add(part.flatMap(({ hooks: served }) => served))
    }
    this.#memory.set(object, object.memory(Object.keys(this.#sharedMaps(part))))
    undo.move()
    return object
  }

  /** Bytes of the kernel's memory that the programs of `hooks`, and the maps that only these have, take. */
  memoryOf(object: BpfObject): number {
    return this.#memory.get(object) ?? 0
  }

  /** Maps of all functions. */
  #sharedMaps(part: readonly Assignment[]): NonNullable<ObjectOptions['sharedMaps']> {
    const { maps, lookups } = this.#options
    return { ...maps, ...this.joins?.maps, ...this.acted?.maps, ...lookups.mapsOf(part).sharedMaps }
  }

  /** The gates of the functions; new ones are attached, with their programs. */
  async gates(
    part: readonly Assignment[],
    known: ReadonlyArray<Gate | undefined>,
    object: BpfObject,
    made: DisposableStack,
  ): Promise<Gate[]> {
    const present = known.filter((gate) => gate !== undefined)
    if (present.length === part.length) return present
    using opened = await this.#options.native.openObject(builtFile('gate.bpf.o'), {
      programs: part.flatMap(({ way, symbol }, slot) =>
        known[slot] === undefined ? gatePrograms(way, symbol, slot) : [],
      ),
      sharedMaps: { denials: this.#options.maps.denials },
    })
    const gates: Gate[] = []
    for (const [slot, { way, symbol }] of part.entries()) {
      const gate = known[slot] ?? made.use(new Gate(opened, way, slot))
      gates.push(gate)
      if (known[slot] !== undefined) continue
      gate.put(object, slot)
      await gate.attach(opened, symbol, slot).catch((cause: unknown) => {
        throw new FunctionRefused(symbol, cause)
      })
    }
    return gates
  }

  [Symbol.dispose](): void {
    this.joins?.close()
    this.acted?.close()
  }
}
