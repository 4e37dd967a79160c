/**
 * Builds ring records as the kernel side writes them (bpf/event.h, collector/wire/wire.ts): for benches and tests
 * that need ring bytes without a kernel. Arguments are not checked.
 */
import {
  CGROUP_WHOLE,
  EVENT_EXEC,
  EVENT_EXIT,
  EVENT_FORK,
  EVENT_HOOK,
  EXEC_BODY,
  EXIT_BODY,
  FILE_INFO,
  FORK_BODY,
  EVENT_HEADER,
  EVENT_RETURN,
  HOOK_HAS_RETURN,
  HOOK_RETURN_FOLLOWS,
  HOOK_RETURN_KEPT,
  HOOK_RETURN_MISSED,
  RETURN_BODY,
  RETURN_INDEX,
  TEXT_KEY,
  VALUE,
  VALUE_FILE,
  VALUE_INT,
  VALUE_UINT,
} from '../../../collector/wire/wire.ts'

/** Boot clock in nanoseconds, and the process and thread. */
export interface Stamp {
  readonly ns: bigint
  readonly tgid: number
  readonly tid: number
  /** Start of the process's image; with the tgid its key. */
  readonly startNs: bigint
}

export interface ExecBody {
  readonly parentTgid: number
  readonly parentStartNs: bigint
  readonly euid: number
  readonly flags: number
  readonly filename: string
  readonly cwd: string
  readonly cgroup: string
  readonly argv: readonly string[]
}

export type HookValue =
  | { readonly kind: 'file'; readonly path: string; readonly inode: bigint; readonly mode: number }
  | { readonly kind: 'int' | 'uint'; readonly value: bigint }

const NSEC = 1_000_000_000n
const padded = (length: number): number => (length + 7) & ~7

/** Records one after another, each padded to 8 bytes, as RingReader.read returns them. */
export class RingRecords {
  readonly #records: Buffer[] = []
  /** Users of processes; 0 for others. */
  readonly #users = new Map<number, number>()
  #seq: bigint

  /** `first`: the number of the first record. */
  constructor(first = 0n) {
    this.#seq = first
  }

  get count(): number {
    return this.#records.length
  }

  /** All records so far, back to back. */
  bytes(): Buffer {
    return Buffer.concat(this.#records)
  }

  exec(stamp: Stamp, exec: ExecBody): void {
    // The last is the path that the kernel resolved.
    const texts = [exec.cgroup, exec.filename, exec.cwd, exec.filename].map((text) => Buffer.from(text))
    const argv = Buffer.from(exec.argv.map((word) => `${word}\0`).join(''))
    const [cgroup = argv, filename = argv, cwd = argv] = texts
    const body = Buffer.alloc(EXEC_BODY.bytes)
    body.writeBigUInt64LE(exec.parentStartNs, EXEC_BODY.parentStartNs)
    body.writeUInt32LE(exec.parentTgid, EXEC_BODY.parentTgid)
    body.writeUInt32LE(exec.euid, EXEC_BODY.euid)
    body.writeUInt32LE(4294967295, EXEC_BODY.auid)
    body.writeUInt32LE(exec.flags, EXEC_BODY.flags)
    body.writeUInt32LE(exec.argv.length, EXEC_BODY.argc)
    body.writeUInt16LE(filename.length, EXEC_BODY.filenameLen)
    body.writeUInt16LE(cwd.length, EXEC_BODY.cwdLen)
    body.writeUInt16LE(cgroup.length, EXEC_BODY.cgroupLen)
    body.writeUInt16LE(CGROUP_WHOLE, EXEC_BODY.cgroupState)
    body.writeUInt16LE(filename.length, EXEC_BODY.pathLen)
    body.writeUInt32LE(argv.length, EXEC_BODY.argvLen)
    body.writeBigUInt64LE(7n, EXEC_BODY.fileIno)
    body.writeUInt32LE(1, EXEC_BODY.fileLinks)
    this.#users.set(stamp.tgid, exec.euid)
    this.#add(EVENT_EXEC, stamp, [body, ...texts.map(pad), argv])
  }

  fork(stamp: Stamp, parentTgid: number, parentStartNs: bigint): void {
    const body = Buffer.alloc(FORK_BODY.bytes)
    body.writeBigUInt64LE(parentStartNs, FORK_BODY.parentStartNs)
    body.writeUInt32LE(parentTgid, FORK_BODY.parentTgid)
    this.#users.set(stamp.tgid, this.#users.get(parentTgid) ?? 0)
    this.#add(EVENT_FORK, stamp, [body])
  }

  /** `code` is the wait status. */
  exit(stamp: Stamp, code: number): void {
    const body = Buffer.alloc(EXIT_BODY.bytes)
    body.writeUInt32LE(code, EXIT_BODY.code)
    this.#add(EVENT_EXIT, stamp, [body])
  }

  /** `values` with their indexes in records (`valueIndex`). */
  hook(stamp: Stamp, hookId: number, values: ReadonlyArray<readonly [number, HookValue]>, returned?: HookValue): void {
    const all = values.map(([index, value]) => valueBytes(value, index))
    if (returned !== undefined) all.push(valueBytes(returned, RETURN_INDEX))
    const header = this.#add(EVENT_HOOK, stamp, all)
    header[EVENT_HEADER.nargs] = all.length
    header.writeUInt32LE(hookId, EVENT_HEADER.hookId)
    if (returned !== undefined) header.writeUInt16LE(HOOK_HAS_RETURN, EVENT_HEADER.flags)
  }

  /** A call that has not returned; this number is its key in the kernel's map. */
  waiting(stamp: Stamp, hookId: number, values: ReadonlyArray<readonly [number, HookValue]>, call: bigint): void {
    const all = [
      ...values.map(([index, value]) => valueBytes(value, index)),
      valueBytes({ kind: 'uint', value: call }, RETURN_INDEX),
    ]
    const header = this.#add(EVENT_HOOK, stamp, all)
    header[EVENT_HEADER.nargs] = all.length
    header.writeUInt32LE(hookId, EVENT_HEADER.hookId)
    header.writeUInt16LE(HOOK_RETURN_FOLLOWS | HOOK_RETURN_KEPT, EVENT_HEADER.flags)
  }

  /** Adds the return of a call with this `stamp`; without a value, it was missed. */
  returned(stamp: Stamp, call: bigint, value?: bigint): void {
    const body = Buffer.alloc(RETURN_BODY.bytes)
    body.writeBigUInt64LE(call, RETURN_BODY.call)
    body.writeBigUInt64LE(BigInt.asUintN(64, value ?? 0n), RETURN_BODY.returned)
    const header = this.#add(EVENT_RETURN, stamp, [body])
    header.writeUInt16LE(value === undefined ? HOOK_RETURN_MISSED : HOOK_HAS_RETURN, EVENT_HEADER.flags)
  }

  /** Returns the record, which may still be changed. */
  #add(type: number, stamp: Stamp, body: readonly Buffer[]): Buffer {
    const size = EVENT_HEADER.bytes + body.reduce((sum, part) => sum + part.length, 0)
    const record = Buffer.concat([Buffer.alloc(EVENT_HEADER.bytes), ...body], padded(size))
    record.writeUInt32LE(size, EVENT_HEADER.size)
    record[EVENT_HEADER.type] = type
    record.writeBigUInt64LE(this.#seq++, EVENT_HEADER.seq)
    record.writeUInt32LE(Number(stamp.ns / NSEC), EVENT_HEADER.timeSec)
    record.writeUInt32LE(Number(stamp.ns % NSEC), EVENT_HEADER.timeNsec)
    record.writeUInt32LE(stamp.tgid, EVENT_HEADER.tgid)
    record.writeUInt32LE(stamp.tid, EVENT_HEADER.tid)
    record.writeBigUInt64LE(stamp.startNs, EVENT_HEADER.startNs)
    if (type === EVENT_HOOK) record.writeUInt32LE(this.#users.get(stamp.tgid) ?? 0, EVENT_HEADER.uid)
    this.#records.push(record)
    return record
  }
}

const pad = (bytes: Buffer): Buffer => Buffer.concat([bytes], padded(bytes.length))

function valueBytes(value: HookValue, index: number): Buffer {
  const head = Buffer.alloc(VALUE.bytes)
  head[VALUE.index] = index
  if (value.kind !== 'file') {
    head.writeUInt32LE(8, VALUE.len)
    head[VALUE.kind] = value.kind === 'int' ? VALUE_INT : VALUE_UINT
    const number = Buffer.alloc(8)
    number.writeBigUInt64LE(BigInt.asUintN(64, value.value))
    return Buffer.concat([head, number])
  }
  const path = Buffer.from(value.path)
  head.writeUInt32LE(path.length, VALUE.len)
  head[VALUE.kind] = VALUE_FILE
  const info = Buffer.alloc(FILE_INFO.bytes)
  info.writeBigUInt64LE(value.inode, FILE_INFO.ino)
  info.writeUInt32LE(value.mode, FILE_INFO.mode)
  return Buffer.concat([head, info, Buffer.alloc(TEXT_KEY.bytes), pad(path)])
}
