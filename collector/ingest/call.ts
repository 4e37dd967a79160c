/**
 * The event of a hook's record. Encoders read its values from the chunk, into arguments that are used again. Filters, live readers and events
 * that wait need arguments of their own; the first access to one of them makes them all.
 *
 * Constraint: the first access must come before the chunk is read again. An event that waits is measured (`EventSizes`, `sizeOf`), which reads it.
 */
import type { ArgumentType } from '../../config/policy/arguments.ts'
import type { Stacks } from '../../config/policy/policy.ts'
import type {
  Argument,
  FileArgument,
  Hook,
  HookEvent,
  NumberArgument,
  Process,
  TextBytes,
  Timestamp,
} from '../../exporters/contract/event.ts'
import { ARCH } from '../plan/facts.ts'
import type { Image } from '../process/image.ts'
import type { HookRecord, PathShape, RawHook } from '../wire/hook-record.ts'
import { decodeText } from '../wire/text.ts'
import { exact } from '../wire/values.ts'
import type { Mutable, RawValue } from '../wire/values.ts'
import { fileDetails } from './arguments/files.ts'
import type { AskedDetails } from './arguments/files.ts'
import { namedArgument, objectArgument } from './arguments/objects.ts'
import { socketArgument, unixArgument } from './arguments/sockets.ts'
import { NOT_SEEN } from './returns.ts'
import {
  BYTES_MAX,
  HOOK_NOT_ACTED,
  HOOK_RETURN_FOLLOWS,
  HOOK_RETURN_MISSED,
  RETURN_INDEX,
  SOCKET_INFO,
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

/** Members of an event that come from the values of its record. */
type Values = Pick<HookEvent, 'args' | 'data' | 'returned'>

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
  /** Shapes of its calls, by a hash; made with the first one. */
  shapes?: Map<number, PathShape>
}

export class Call implements HookEvent {
  readonly type: HookEvent['type']
  seq = 0
  readonly time: Timestamp
  readonly process: Process
  readonly parent: Process | undefined
  readonly refcnt: number
  readonly tid: number
  readonly hook: Hook
  readonly #known: KnownHook
  readonly #record: HookRecord
  readonly #bytes: Buffer
  readonly #at: number
  readonly #seq: number
  readonly #nsec: number
  #values: Mutable<Values> | undefined

  /** `process`: that of the image, as the user of the call. `record`: in the chunk `bytes`. */
  constructor(known: KnownHook, image: Image, process: Process, time: Timestamp, record: HookRecord, bytes: Buffer) {
    const { hook, bySelector } = known
    this.type = hook.type ?? 'process_kprobe'
    this.time = time
    this.process = process
    this.parent = image.parent?.process
    this.refcnt = image.process.refcnt
    this.tid = record.tid
    this.hook = (record.flags & HOOK_NOT_ACTED) === 0 ? (bySelector[record.selector] ?? hook) : hook
    this.#known = known
    this.#record = record
    this.#bytes = bytes
    this.#at = record.at
    this.#seq = record.seq
    this.#nsec = record.nsec
  }

  get args(): readonly Argument[] {
    return this.#own().args
  }

  get data(): readonly Argument[] | undefined {
    return this.#own().data
  }

  get returned(): Argument | undefined {
    return this.#own().returned
  }

  set returned(value: Argument | undefined) {
    this.#own().returned = value
  }

  view(): Values {
    if (this.#values !== undefined) return this.#values
    // Hashes of files are awaited in objects of their own.
    return this.#known.details === undefined ? this.#read(reused) : this.#own()
  }

  onlyPath(): TextBytes | undefined {
    const known = this.#known
    const index = known.args[0]?.type.kind === 'file' ? known.args[0].index : undefined
    if (index === undefined || (this.#values ?? known.data ?? known.details) !== undefined) return undefined
    return this.#seek().pathShape(index, (known.shapes ??= new Map()))
  }

  #seek(): HookRecord {
    if (this.#record.seek(this.#bytes, this.#at, this.#seq, this.#nsec)) return this.#record
    throw new Error(`cannot read the arguments of event ${this.seq}: its chunk was read again; read them before`)
  }

  #own(): Mutable<Values> {
    return (this.#values ??= this.#read(undefined))
  }

  #read(into: ReusedValues | undefined): Mutable<Values> {
    const raw = this.#seek()
    const bytes = this.#bytes
    const { args: known, data, details } = this.#known
    const args = into?.lists[known.length] ?? Array.from<Argument>({ length: known.length })
    let length = 0
    for (let i = 0; i < known.length; i++) {
      const shown = known[i]
      const value = shown && valueOf(raw, shown.index, length)
      if (shown === undefined || value === undefined) continue
      args[length] =
        value.kind === VALUE_BYTES
          ? bytesArgument(value, bytes, shown.maxData)
          : argument(value, shown.type, bytes, details, into?.arguments[length])
      length++
    }
    const last = valueOf(raw, RETURN_INDEX, raw.count - 1)
    const values = into?.values ?? { args, data: undefined, returned: undefined }
    // The record may lack some arguments.
    values.args = length < args.length ? args.slice(0, length) : args
    values.data = data?.flatMap(({ index, type }) => {
      const value = valueOf(raw, index, 0)
      return value === undefined ? [] : [argument(value, type, bytes)]
    })
    const later = (raw.flags & (HOOK_RETURN_FOLLOWS | HOOK_RETURN_MISSED)) !== 0
    values.returned = later ? NOT_SEEN : last && argument(last, this.#known.returned, bytes, undefined, into?.returned)
    return values
  }
}

/** A file whose path is decoded on demand. */
class ReusedFile implements FileArgument {
  readonly kind = 'file'
  field = ''
  mode = 0
  device = 0
  unresolved = false
  unstable = false
  deleted = false
  readonly details = undefined
  bytes: Buffer = Buffer.alloc(0)
  from = 0
  to = 0
  #inodeLo = 0
  #inodeHi = 0

  of(field: string, { mode, dev, flags, from, to, lo, hi }: RawValue, bytes: Buffer): this {
    this.field = field
    this.mode = mode
    this.device = dev
    this.unresolved = (flags & VALUE_UNRESOLVED) !== 0
    this.unstable = (flags & VALUE_UNSTABLE) !== 0
    this.deleted = (flags & VALUE_DELETED) !== 0
    this.bytes = bytes
    this.from = from
    this.to = to
    this.#inodeLo = lo
    this.#inodeHi = hi
    return this
  }

  get utf8(): TextBytes {
    return this
  }

  get path(): string {
    return decodeText(this.bytes, this.from, this.to).text
  }

  get raw(): Buffer | undefined {
    return decodeText(this.bytes, this.from, this.to).raw
  }

  get inode(): bigint | number {
    return exact(this.#inodeLo, this.#inodeHi)
  }
}

interface Reused {
  readonly file: ReusedFile
  readonly number: Mutable<NumberArgument>
}

interface ReusedValues {
  readonly values: Mutable<Values>
  /** By their length. */
  readonly lists: Argument[][]
  readonly arguments: readonly Reused[]
  readonly returned: Reused
}

/** Hooks with more arguments get new objects for the others. */
const REUSED = 8
const reusable = (): Reused => ({ file: new ReusedFile(), number: { kind: 'number', field: '', value: 0 } })
const reused: ReusedValues = {
  values: { args: [], data: undefined, returned: undefined },
  lists: Array.from({ length: REUSED }, (_, length) => Array.from({ length })),
  arguments: Array.from({ length: REUSED }, reusable),
  returned: reusable(),
}

/** The value of a record; other policies on the function may have more values, and another order. `near`: the index to check first. */
export function valueOf({ values, count }: RawHook, index: number, near: number): RawValue | undefined {
  const expected = values[near]
  if (near < count && expected?.index === index) return expected
  for (let i = 0; i < count; i++) if (values[i]?.index === index) return values[i]
  return undefined
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

/** `into`: arguments to use again. */
function argument(value: RawValue, type: ArgumentType, bytes: Buffer, details?: AskedDetails, into?: Reused): Argument {
  const { field, kind, named } = type
  switch (value.kind) {
    case VALUE_FILE: {
      if (into !== undefined && kind !== 'struct') return into.file.of(field, value, bytes)
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
      if (kind !== 'wide') {
        const number: Mutable<NumberArgument> = into?.number ?? { kind: 'number', field, value: 0 }
        number.field = field
        number.value = signed ? value.lo | 0 : value.lo
        return number
      }
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
