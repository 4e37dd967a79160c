/**
 * Raw events → events: looks up the process and its parent, converts numbers to the argument types of the policy, and boot time to wall time.
 * Forks and moves to another cgroup only update the process table and yield no event.
 */
import type { ArgumentType } from '../../config/policy/arguments.ts'
import { exact } from '../wire/values.ts'
import type { RawValue } from '../wire/values.ts'
import type { RawEvent, RawHook, RawReturn } from '../wire/decode.ts'
import type { Argument, Executed, Hook, HookEvent, ProcessEvent } from '../../exporters/contract/event.ts'
import type { Stacks } from '../../config/policy/policy.ts'
import { ARCH } from '../kernel/facts.ts'
import type { WallClock } from '../process/clock.ts'
import type { ExecutedFacts } from '../process/detail/executed.ts'
import { exitReason } from '../process/signals.ts'
import type { Image } from '../process/image.ts'
import type { ProcessTable } from '../process/table.ts'
import { decodeText } from '../wire/text.ts'
import { NOT_SEEN } from './returns.ts'
import { fileDetails } from './arguments/files.ts'
import type { AskedDetails } from './arguments/files.ts'
import { namedArgument, objectArgument } from './arguments/objects.ts'
import { socketArgument, unixArgument } from './arguments/sockets.ts'
import {
  BYTES_MAX,
  HOOK_NOT_ACTED,
  HOOK_RETURN_FOLLOWS,
  HOOK_RETURN_MISSED,
  KERNEL_STACK_INDEX,
  RETURN_INDEX,
  SOCKET_INFO,
  USER_STACK_INDEX,
  VALUE_BYTES,
  VALUE_DELETED,
  VALUE_ERROR,
  VALUE_FILE,
  VALUE_INT,
  VALUE_OBJECT,
  VALUE_SOCKET,
  VALUE_STRING,
  VALUE_TRUNCATED,
  VALUE_UNRESOLVED,
  VALUE_UNSTABLE,
} from '../wire/wire.ts'

const PREFIX = 'process_'.length
const ADDRESS_BYTES = 8

/** The parts of a hook that its events need. */
export interface KnownHook {
  /** For calls that are reported and nothing else. */
  readonly hook: Hook
  /** The hook as events show it, by the selector that matched; empty without selectors. */
  readonly bySelector: readonly Hook[]
  /** The policy's `args` without nop; `index`: the number of the value in records (`valueIndex` of kernel/layout/hook.ts). */
  readonly args: ReadonlyArray<{ readonly index: number; readonly type: ArgumentType; readonly maxData?: true }>
  /** The policy's `data`; absent without any. */
  readonly data?: KnownHook['args']
  readonly returned: ArgumentType
  /** Set for a hook that requests more of files than their paths. */
  readonly details?: AskedDetails
  /** Stacks of events, by the selector that matched; absent without any. */
  readonly stacks?: ReadonlyArray<Stacks | undefined>
}

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

  /** Leaves out the kernel itself. */
  #withAncestors(image: Image, event: ProcessEvent): ProcessEvent {
    if (this.#ancestors.size === 0) return event
    const kind = event.type === 'process_exec' || event.type === 'process_exit' ? 'base' : event.type.slice(PREFIX)
    if (!this.#ancestors.has(kind)) return event
    const ancestors = image.above.map(({ process }) => process).filter(({ pid }) => pid !== 0)
    return { ...event, ancestors }
  }

  #kprobe(raw: RawHook, bytes: Buffer): ProcessEvent | undefined {
    const known = this.#options.hook(raw.hookId, raw.selector)
    if (known === undefined) {
      this.orphaned++
      return undefined
    }
    const image = this.#options.table.findOrUnknown(raw.tgid, raw.startLo, raw.startHi)
    // oxlint-disable-next-line unicorn/no-new-array -- exact size: a pushed array allocates 17 slots, half of an event's memory
    const args = new Array<Argument>(known.args.length)
    let length = 0
    for (const { index, type, maxData } of known.args) {
      const value = valueOf(raw, index, length)
      if (value === undefined) continue
      args[length++] =
        value.kind === VALUE_BYTES ? bytesArgument(value, bytes, maxData) : argument(value, type, bytes, known.details)
    }
    // The record lacks some arguments.
    if (length < args.length) args.length = length
    const last = valueOf(raw, RETURN_INDEX, raw.count - 1)
    const later = (raw.flags & (HOOK_RETURN_FOLLOWS | HOOK_RETURN_MISSED)) !== 0
    const returned = later ? NOT_SEEN : last === undefined ? undefined : argument(last, known.returned, bytes)
    const event: HookEvent = {
      type: known.hook.type ?? 'process_kprobe',
      seq: 0,
      time: this.#options.clock.at(raw.sec, raw.nsec),
      process: image.process,
      parent: image.parent?.process,
      refcnt: image.process.refcnt,
      tid: raw.tid,
      hook: (raw.flags & HOOK_NOT_ACTED) === 0 ? (known.bySelector[raw.selector] ?? known.hook) : known.hook,
      args,
      data: known.data && dataOf(known.data, raw, bytes),
      returned,
    }
    const stacks = known.stacks?.[raw.selector]
    return this.#withAncestors(image, stacks === undefined ? event : this.#withStacks(event, stacks, raw, bytes))
  }

  /** The record also has stacks that only other policies on the function request. */
  #withStacks(event: HookEvent, asked: Stacks, raw: RawHook, bytes: Buffer): HookEvent {
    if (this.#options.stacks === undefined) return event
    const kernel = asked.kernel ? addressesOf(raw, KERNEL_STACK_INDEX, bytes) : []
    const user = asked.user ? addressesOf(raw, USER_STACK_INDEX, bytes) : []
    return { ...event, ...this.#options.stacks.framesOf(raw.tgid, event.hook.functionName, kernel, user) }
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

/** Tetragon's error. `step`: number of the pointer on the way of `resolve` that led nowhere, from 1 on; 0: the argument itself. */
const unreadable = (step: number): Argument => ({
  kind: 'error',
  field: 'error_arg',
  message:
    step === 0
      ? 'Bad address for basic type'
      : `Bad address encountered during resolve dereference at depth ${step - 1}`,
})

function dataOf(data: KnownHook['args'], raw: RawHook, bytes: Buffer): Argument[] {
  return data.flatMap(({ index, type }) => {
    const value = valueOf(raw, index, 0)
    return value === undefined ? [] : [argument(value, type, bytes)]
  })
}

/** The value of a record; other policies on the function may have more values, and another order. `near`: the index to check first. */
function valueOf({ values, count }: RawHook, index: number, near: number): RawValue | undefined {
  const expected = values[near]
  if (near < count && expected?.index === index) return expected
  for (let i = 0; i < count; i++) if (values[i]?.index === index) return values[i]
  return undefined
}

function argument(value: RawValue, type: ArgumentType, bytes: Buffer, details?: AskedDetails): Argument {
  const { field, kind, named } = type
  switch (value.kind) {
    case VALUE_FILE: {
      const { text, raw } = decodeText(bytes, value.from, value.to)
      if (kind === 'struct') return unixArgument(field, value.lo, text)
      return {
        kind: 'file',
        field,
        path: text,
        raw,
        mode: value.mode,
        inode: exact(value.lo, value.hi),
        device: value.dev,
        unresolved: (value.flags & VALUE_UNRESOLVED) !== 0,
        unstable: (value.flags & VALUE_UNSTABLE) !== 0,
        deleted: (value.flags & VALUE_DELETED) !== 0,
        // Another policy's hook on the function may need it.
        details:
          details === undefined || value.details === 0
            ? undefined
            : fileDetails(bytes, value.details, value.mode !== 0, details),
      }
    }
    case VALUE_STRING: {
      const { text, raw } = decodeText(bytes, value.from, value.to)
      return { kind: 'string', field, value: text, raw, truncated: (value.flags & VALUE_TRUNCATED) !== 0 }
    }
    case VALUE_BYTES:
      return bytesArgument(value, bytes)
    case VALUE_SOCKET:
      // A record that ends within it: only if kernel and user space have different versions.
      if (value.to - value.from < SOCKET_INFO.bytes) return unreadable(0)
      return socketArgument(field, bytes, value.from)
    case VALUE_OBJECT:
      return objectArgument(type, bytes, value.from, value.to)
    case VALUE_ERROR:
      return unreadable(value.flags)
    default: {
      if (field === 'syscall_id') return systemCall(value.lo)
      const signed = value.kind === VALUE_INT
      if (named !== undefined) return namedArgument(field, named, (BigInt(value.hi) << 32n) | BigInt(value.lo))
      if (kind !== 'wide') return { kind: 'number', field, value: signed ? value.lo | 0 : value.lo }
      const wide = (BigInt(value.hi) << 32n) | BigInt(value.lo)
      return { kind: 'wide', field, value: signed ? BigInt.asIntN(64, wide) : wide }
    }
  }
}

/** Copies the bytes, because the chunk is used again. Another policy on the function may need more. */
function bytesArgument({ from, to, lo, hi }: RawValue, bytes: Buffer, maxData = false): Argument {
  const value = Uint8Array.from(bytes.subarray(from, maxData ? to : Math.min(to, from + BYTES_MAX)))
  const size = (BigInt(hi) << 32n) | BigInt(lo)
  const isWhole = BigInt(value.length) >= size
  return { kind: 'bytes', field: isWhole ? 'bytes_arg' : 'truncated_bytes_arg', value, size }
}

/** The mark of bpf/args/event.h. */
const COMPAT_BIT = 0x8000_0000
const ABIS = { x64: ['x64', 'i386'], arm64: ['arm64', 'arm32'] } as const

function systemCall(number: number): Argument {
  const id = number & ~COMPAT_BIT
  const abi = ABIS[ARCH][number === id ? 0 : 1]
  return {
    kind: 'struct',
    field: 'syscall_id',
    text: callText(id, abi),
    members: [
      ['id', id],
      ['abi', abi],
    ],
  }
}

/** `59`; of a 32-bit program `i386/11`. */
export const callText = (id: number, abi: string): string => (/32|386/.test(abi) ? `${abi}/${id}` : String(id))
