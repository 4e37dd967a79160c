import { createRequire } from 'node:module'

import { ADDON, HOW_TO_BUILD, builtFile } from './built.ts'
import { NativeError } from './errors.ts'
import type { Failure } from './errors.ts'
import { toNativeError } from './load-log.ts'
import type {
  BpfMap,
  BpfObject,
  Closable,
  KernelFunction,
  KernelMember,
  ObjectOptions,
  PathWorker,
  RingReader,
} from './types.ts'

export { builtFile } from './built.ts'
export { NativeError } from './errors.ts'
export type { NativeErrorCode } from './errors.ts'

/** Exports of native/build/Release/ktrail.node. */
interface Addon {
  onFailure(make: (failure: Failure) => Error): void
  openObject(path: string, options: ObjectOptions): Promise<BpfObject>
  closed(): Promise<void>
  openRing(map: BpfMap): RingReader
  watchRing(map: BpfMap, callback: () => void): Closable
  clockOffset(): bigint
  bootTime(): bigint
  realTime(): boolean
  libbpfVersion(): string
  kernelPreempts(yes: boolean): void
  kernelFunctions(names: readonly string[]): Promise<Array<[string, KernelFunction]>>
  kernelFunctionNames(): Promise<string>
  kernelMembers(paths: readonly string[]): Promise<KernelMember[]>
  kernelSymbols(names: readonly string[]): Promise<Array<[string, bigint]>>
  perfEvents(): boolean
  hasBtf(): boolean
  gzip(chunks: readonly Uint8Array[]): Promise<Buffer>
  zstd(chunks: readonly Uint8Array[]): Promise<Buffer>
  sendDatagram(socket: string, text: string): void
  peerOf(fd: number): { readonly pid: number; readonly uid: number }
  openPathWorker(): PathWorker
  cachedStat(path: string): { readonly ino: bigint; readonly links: number } | undefined
  endProcess(code: number): never
  unblockSigusr1(): void
}

/** Functions that an addon of these sources has; `called` adds to them. */
const needed: Array<keyof Addon> = ['onFailure']

function isAddon(value: unknown): value is Addon {
  if (typeof value !== 'object' || value === null) return false
  const members = new Map(Object.entries(value))
  return needed.every((name) => typeof members.get(name) === 'function')
}

let loaded: Addon | undefined

/** Loads the addon at the first call, so that commands that never touch the kernel (check, help) need no build. */
function addon(): Addon {
  if (loaded) return loaded
  const file = builtFile(ADDON)
  let found: unknown
  try {
    found = createRequire(import.meta.url)(file)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    const isMissing = cause instanceof Error && 'code' in cause && cause.code === 'MODULE_NOT_FOUND'
    const message = isMissing ? `${file} is missing: ${HOW_TO_BUILD}` : `cannot load ${file}: ${why}; run make build`
    throw new NativeError('NOT_BUILT', message, { op: 'load', target: file, log: why })
  }
  if (!isAddon(found)) {
    const message = `${file} was built from other sources: run make build`
    throw new NativeError('NOT_BUILT', message, { op: 'load', target: file })
  }
  found.onFailure(toNativeError)
  loaded = found
  return loaded
}

/** A function of the addon. */
function called<Name extends keyof Addon>(name: Name): Addon[Name] {
  needed.push(name)
  const call = (...given: never[]): unknown => (addon()[name] as (...all: never[]) => unknown)(...given)
  return call as Addon[Name]
}

/** A function that returns a promise, which rejects if the addon cannot be loaded. */
function promised<Name extends keyof Addon>(name: Name): Addon[Name] {
  const call = called(name) as (...given: never[]) => unknown
  return (async (...given: never[]) => call(...given)) as unknown as Addon[Name]
}

/** Functions whose results the addon has in another form than callers get. */
const asLists = {
  kernelFunctions: promised('kernelFunctions'),
  kernelFunctionNames: promised('kernelFunctionNames'),
  kernelSymbols: promised('kernelSymbols'),
}

/**
 * Opens a BPF object file, sets its constants, shares maps, loads the listed programs; all or nothing. The verifier works on a
 * thread of the addon, one object after the other; the options are copied before. The caller closes the object; maps and
 * links taken from it live on by themselves. Rejects with NativeError OPEN_FAILED, NO_PROGRAM, NO_CONSTANT, NO_MAP, NO_SYMBOL, NO_BTF, LOAD_REFUSED (verifier log in
 * `log`), LOAD_FAILED, MAP_FAILED, NOT_PERMITTED, BAD_ARGUMENT.
 */
export const openObject: Addon['openObject'] = promised('openObject')

/**
 * Resolves when every link and object closed before this call is closed in the kernel, and all earlier requests are done. After that no
 * program of such a link runs or writes.
 */
export const closed: Addon['closed'] = promised('closed')

/** Becomes the consumer of a ring buffer map; one reader a ring. Throws NativeError MAP_FAILED, BAD_ARGUMENT, CLOSED. */
export const openRing: Addon['openRing'] = called('openRing')

/**
 * Calls back on the event loop once for each wakeup of the kernel, and when it starts with records already waiting.
 * The callback should read until the ring is empty: records that it leaves bring no new call by themselves, and
 * neither do records submitted with BPF_RB_NO_WAKEUP. Keeps the process alive until closed.
 * An exception of the callback is an uncaught exception. Throws NativeError MAP_FAILED, BAD_ARGUMENT, CLOSED.
 */
export const watchRing: Addon['watchRing'] = called('watchRing')

/**
 * CLOCK_REALTIME − CLOCK_BOOTTIME now, in ns: add it to a record's boot time to get wall time. Changes when the wall
 * clock is set; suspend does not change it.
 */
export const clockOffset: Addon['clockOffset'] = called('clockOffset')

/** CLOCK_BOOTTIME now, in ns; the clock of records, counting through suspend. */
export const bootTime: Addon['bootTime'] = called('bootTime')

/**
 * Whether this process may have a real-time priority (CAP_SYS_NICE or RLIMIT_RTPRIO). Then no ordinary task preempts it in an access to a map, during which the
 * kernel runs no kprobe's program on that CPU.
 */
export const realTime: Addon['realTime'] = called('realTime')

/** Version of the loaded libbpf, as `v1.1`. Throws NativeError NOT_BUILT if the addon cannot be loaded. */
export const libbpfVersion: Addon['libbpfVersion'] = called('libbpfVersion')

/** Whether the kernel preempts tasks in kernel code; if not, accesses to maps need no real-time priority. True before the first call in this process. */
export const kernelPreempts: Addon['kernelPreempts'] = called('kernelPreempts')

/** Whether CAP_PERFMON is enough to open a perf event, as which hooks of some kinds are attached. Else CAP_SYS_ADMIN is required. */
export const perfEvents: Addon['perfEvents'] = called('perfEvents')

/**
 * Signatures of those functions that vmlinux, else a loaded module has by the kernel's BTF. That of vmlinux, some 6 MB, is kept for a second
 * after the last call; modules are read only for names that it lacks. Rejects with NativeError NO_BTF, BAD_ARGUMENT.
 */
export async function kernelFunctions(names: readonly string[]): Promise<Map<string, KernelFunction>> {
  return new Map(await asLists.kernelFunctions(names))
}

/**
 * Members of structs by the BTF of vmlinux, else of loaded modules, in the order of the paths: the struct's name, a space, and a path such as `f_path.dentry.d_name.name` or
 * `numbers[0].nr`, whose pointers are followed. Rejects with NativeError NO_BTF, BAD_ARGUMENT.
 */
export const kernelMembers: Addon['kernelMembers'] = promised('kernelMembers')

/** Names of all functions in vmlinux BTF, some 60,000: for near-name hints. Rejects with NativeError NO_BTF. */
export async function kernelFunctionNames(): Promise<string[]> {
  return (await asLists.kernelFunctionNames()).split('\n')
}

/**
 * Addresses of the names that the kernel has, including those of modules. 0n where they are hidden (no root, kptr_restrict). If several symbols
 * have one
 * name: one of them. Before Linux 5.16 it is a pass over /proc/kallsyms. Rejects with NativeError OPEN_FAILED, BAD_ARGUMENT.
 */
export async function kernelSymbols(names: readonly string[]): Promise<Map<string, bigint>> {
  return new Map(await asLists.kernelSymbols(names))
}

/** Whether this kernel describes its types: CO-RE programs, fexit and tp_btf need it. */
export const hasBtf: Addon['hasBtf'] = called('hasBtf')

/**
 * Compresses the chunks as one gzip file (level 1 of ISA-L) on libuv's threads. They must not change until it settles. Rejects with Error if there
 * is no memory. Throws NativeError BAD_ARGUMENT.
 */
export const gzip: Addon['gzip'] = called('gzip')

/** `gzip`, but one zstd frame (level 1 of libzstd); its header has the content's length. */
export const zstd: Addon['zstd'] = called('zstd')

/** A thread for work on paths whose file system may never answer. It exists only while it has work. */
export const openPathWorker: Addon['openPathWorker'] = called('openPathWorker')

/** Inode and links of a file from the kernel's cache: it waits for no FUSE server. Follows symbolic links. undefined: it cannot be seen. */
export const cachedStat: Addon['cachedStat'] = called('cachedStat')

/**
 * Sends one datagram to a Unix socket, which Node cannot: a path, or `@` and an abstract name. Never blocks. Throws NativeError OPEN_FAILED,
 * NOT_PERMITTED, BAD_ARGUMENT.
 */
export const sendDatagram: Addon['sendDatagram'] = called('sendDatagram')

/** The process that connected a Unix socket, and its user. Throws NativeError for another descriptor. */
export const peerOf: Addon['peerOf'] = called('peerOf')

/**
 * Ends this process at once. `process.exit` waits for every thread of Node's pool, even if a file system never answers it. This function
 * waits for no thread, and runs no handler.
 */
export const endProcess: Addon['endProcess'] = called('endProcess')

/** Lets SIGUSR1 reach this thread, which must be the main one. Node with `--disable-sigusr1` (the launcher) keeps it blocked: no listener would get it. */
export const unblockSigusr1: Addon['unblockSigusr1'] = called('unblockSigusr1')
