/**
 * Raw events → events: looks up the process and its parent, converts boot time to wall time. `call.ts` reads arguments.
 * Forks and moves to another cgroup only update the process table and yield no event.
 */
import type { RawEvent, RawReturn } from '../wire/decode.ts'
import type { HookRecord, RawHook } from '../wire/hook-record.ts'
import type { Executed, HookEvent, ProcessEvent } from '../../exporters/contract/event.ts'
import type { Stacks } from '../../config/policy/policy.ts'
import type { WallClock } from '../process/clock.ts'
import type { ExecutedFacts } from '../process/detail/executed.ts'
import { exitReason } from '../process/signals.ts'
import type { Image } from '../process/image.ts'
import type { ProcessTable } from '../process/table.ts'
import { KERNEL_STACK_INDEX, USER_STACK_INDEX } from '../wire/wire.ts'
import { Call, valueOf } from './call.ts'
import type { KnownHook } from './call.ts'

const PREFIX = 'process_'.length
const ADDRESS_BYTES = 8

/** Makes frames of the addresses of a stack (collector/enrich/stacks/stack-frames.ts). */
export interface FrameSource {
  /** `hooked`: the function that the frames called. A list without addresses makes no stack. */
  framesOf(
    pid: number,
    hooked: string,
    kernel: readonly bigint[],
    user: readonly bigint[],
  ): Pick<HookEvent, 'kernelStack' | 'userStack'>
}

export interface NormalizeOptions {
  readonly table: ProcessTable
  readonly executed?: ExecutedFacts | undefined
  readonly clock: WallClock
  /** Looks up a hook by id; undefined for a retired hook. */
  readonly hook: (id: number, selector: number) => KnownHook | undefined
  readonly nowMs: () => number
  /** Kinds of events that have ancestors; `base`: exec and exit. */
  readonly ancestors?: readonly string[]
  /** Finds the code at the addresses of a call's stacks; absent: events have no stacks. */
  readonly stacks?: FrameSource
}

export class Normalizer {
  readonly #options: NormalizeOptions
  readonly #ancestors: ReadonlySet<string>
  /** Records of retired hooks. */
  orphaned = 0

  constructor(options: NormalizeOptions) {
    this.#options = options
    this.#ancestors = new Set(options.ancestors)
  }

  /**
   * The event of a raw event, not yet numbered, or undefined if it makes none. `bytes`: the chunk that contains the texts.
   */
  event(raw: Exclude<RawEvent, RawReturn>, bytes: Buffer): ProcessEvent | undefined {
    const { table, executed, clock, nowMs } = this.#options
    switch (raw.op) {
      case 'fork':
        table.fork(raw, nowMs())
        return undefined
      case 'move':
        table.move(raw)
        return undefined
      case 'cgroup':
        return undefined
      case 'data':
        executed?.keep(raw)
        return undefined
      case 'exec': {
        const image = table.exec(raw, nowMs())
        return this.exec(image, raw.sec, raw.nsec, executed?.of(raw, image.flags))
      }
      case 'exit': {
        const image =
          table.exit(raw.tgid, raw.startLo, raw.startHi, nowMs()) ??
          table.findOrUnknown(raw.tgid, raw.startLo, raw.startHi)
        const { signal, status } = exitReason(raw.code)
        return this.#withAncestors(image, {
          type: 'process_exit',
          seq: 0,
          time: clock.at(raw.sec, raw.nsec),
          process: image.process,
          parent: image.parent?.process,
          refcnt: image.process.forked === true ? 1 : 0,
          signal,
          status,
        })
      }
      case 'hook':
        return this.#kprobe(raw, bytes)
    }
  }

  /** A process_exec event of an exec record or of the start-up scan. */
  exec(image: Image, sec: number, nsec: number, executed?: Executed): ProcessEvent {
    return this.#withAncestors(image, {
      type: 'process_exec',
      seq: 0,
      time: this.#options.clock.at(sec, nsec),
      process: image.process,
      parent: image.parent?.process,
      refcnt: 0,
      ...(executed === undefined ? {} : { executed }),
    })
  }

  /** Adds them, without the kernel itself. */
  #withAncestors(image: Image, event: ProcessEvent): ProcessEvent {
    if (this.#ancestors.size === 0) return event
    const kind = event.type === 'process_exec' || event.type === 'process_exit' ? 'base' : event.type.slice(PREFIX)
    if (!this.#ancestors.has(kind)) return event
    const ancestors = image.above.map(({ process }) => process).filter(({ pid }) => pid !== 0)
    return Object.assign(event, { ancestors })
  }

  #kprobe(raw: HookRecord, bytes: Buffer): ProcessEvent | undefined {
    const known = this.#options.hook(raw.hookId, raw.selector)
    if (known === undefined) {
      this.orphaned++
      return undefined
    }
    const { table, clock } = this.#options
    const image = table.findOrUnknown(raw.tgid, raw.startLo, raw.startHi)
    const event = new Call(known, image, table.callers.of(image, raw.uid), clock.at(raw.sec, raw.nsec), raw, bytes)
    const stacks = known.stacks?.[raw.selector]
    if (stacks !== undefined) this.#addStacks(event, stacks, raw, bytes)
    return this.#withAncestors(image, event)
  }

  /** The record also has stacks that only other policies on the function request. */
  #addStacks(event: Call, asked: Stacks, raw: RawHook, bytes: Buffer): void {
    if (this.#options.stacks === undefined) return
    const kernel = asked.kernel ? addressesOf(raw, KERNEL_STACK_INDEX, bytes) : []
    const user = asked.user ? addressesOf(raw, USER_STACK_INDEX, bytes) : []
    Object.assign(event, this.#options.stacks.framesOf(raw.tgid, event.hook.functionName, kernel, user))
  }
}

function addressesOf(raw: RawHook, index: number, bytes: Buffer): bigint[] {
  const value = valueOf(raw, index, raw.count - 1)
  const addresses: bigint[] = []
  if (value === undefined) return addresses
  for (let at = value.from; at + ADDRESS_BYTES <= value.to; at += ADDRESS_BYTES)
    addresses.push(bytes.readBigUInt64LE(at))
  return addresses
}
